# syntax=docker/dockerfile:1
# colorize-run with its models, for CPUs:
#   docker build -f docker/cpu.Dockerfile -t colorize .
#   docker run --rm -v "$PWD:/work" --user "$(id -u):$(id -g)" colorize film.mp4

FROM python:3.13-slim AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM python:3.13-slim
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel \
    pip install --no-cache-dir /wheel/*.whl
RUN useradd --create-home --uid 1000 colorize && \
    install -d -m 1777 /var/cache/colorize
USER 1000
# Any user may run it: the caches go where all may write.
ENV XDG_CACHE_HOME=/var/cache/colorize
WORKDIR /work
ENTRYPOINT ["colorize-run"]
CMD ["--help"]
