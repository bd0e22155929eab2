# syntax=docker/dockerfile:1
# colorize-run, and colorize-export for TensorRT engines, on NVIDIA GPUs:
#   docker build -f docker/cuda.Dockerfile -t colorize-cuda .
#   docker run --rm --gpus all -v "$PWD:/work" --user "$(id -u):$(id -g)" \
#     --entrypoint colorize-export colorize-cuda --engine fp16 -o film-fp16.onnx
#   docker run --rm --gpus all -v "$PWD:/work" --user "$(id -u):$(id -g)" \
#     colorize-cuda --backend tensorrt --model film-fp16.onnx film.mp4

# NVIDIA's image with TensorRT, its Python module, CUDA's headers and a compiler; TensorRT 10.13
# or newer is needed.
ARG BASE=nvcr.io/nvidia/tensorrt:25.10-py3

# hadolint ignore=DL3006
FROM ${BASE} AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

# hadolint ignore=DL3006
FROM ${BASE}
# The extra export brings onnxruntime for CPUs, which shares its module with that for GPUs: the last
# two commands leave the latter alone.
# hadolint ignore=DL3013
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    wheel=$(echo /wheel/*.whl) && \
    pip install --no-cache-dir "${wheel}[gpu,export,web]" && \
    pip uninstall --yes onnxruntime onnxruntime-gpu && \
    pip install --no-cache-dir "onnxruntime-gpu>=1.22,<2"
# The base may have a user 1000 of its own.
RUN useradd --create-home --uid 1001 colorize && \
    install -d -m 1777 /var/cache/colorize
USER 1001
ENV XDG_CACHE_HOME=/var/cache/colorize
WORKDIR /work
ENTRYPOINT ["colorize-run"]
CMD ["--help"]
