# syntax=docker/dockerfile:1
# colorize-run and colorize-web with their models, for CPUs:
#   docker build -f docker/cpu.Dockerfile -t colorize .
#   docker run --rm -v "$PWD:/work" --user "$(id -u):$(id -g)" colorize film.mp4
#   docker run --rm -p 127.0.0.1:7860:7860 -v "$PWD:/work" --user "$(id -u):$(id -g)" \
#     --entrypoint colorize-web colorize --host 0.0.0.0 --no-browser --workspace colorize-web

FROM python:3.13-slim AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM python:3.13-slim
# hadolint ignore=DL3013
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    wheel=$(echo /wheel/*.whl) && \
    pip install --no-cache-dir "${wheel}[web]"
RUN useradd --create-home --uid 1000 colorize && \
    install -d -m 1777 /var/cache/colorize
USER 1000
# Any user may run it: the caches go where all may write.
ENV XDG_CACHE_HOME=/var/cache/colorize
WORKDIR /work
ENTRYPOINT ["colorize-run"]
CMD ["--help"]
