# The listener as a container. Any base image with Python 3.11 or newer, its venv module, pip and
# GNU's env will do, such as Debian's. Where no package index is reachable, put wheels into
# build/wheels (`make wheels`) and build with PIP_NO_INDEX=1 (`make image OFFLINE=1`).
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
ARG PIP_NO_INDEX=0
# For what pip installs, and for what it builds that with: up to pip 25.2 the first goes for both,
# later the second for the latter.
ENV PIP_CONSTRAINT=/source/constraints.txt PIP_BUILD_CONSTRAINT=/source/constraints.txt \
    PIP_NO_INDEX=${PIP_NO_INDEX} PIP_FIND_LINKS=/source/build/wheels PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
ARG REVISION=unknown
WORKDIR /source
COPY . .
# Rich shows source in colour and Markdown with what goes with pip: a tenth of the image, and we show
# neither.
RUN mkdir -p build/wheels \
 && if [ "${REVISION}" != unknown ]; then echo "${REVISION}" > listener/COMMIT; fi \
 && python3 -m venv /opt/topology-reaper \
 && /opt/topology-reaper/bin/python -m pip install ".[all]" \
 && /opt/topology-reaper/bin/python -m pip uninstall --yes \
      pip setuptools Pygments markdown-it-py mdurl

FROM ${BASE_IMAGE}
ARG BASE_IMAGE
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="topology-reaper" \
      org.opencontainers.image.description="Removes a DECNET topology's Docker containers and networks the moment its database row disappears." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}" \
      topology-reaper.protect="true"
COPY --from=build /opt/topology-reaper /opt/topology-reaper
# Whatever user it runs as keeps here what outlives a restart; a volume, so that the root file
# system may be read-only.
RUN mkdir -m 1777 /var/lib/topology-reaper
VOLUME /var/lib/topology-reaper
ENV PATH=/opt/topology-reaper/bin:${PATH} REAPER_STATE_DIR=/var/lib/topology-reaper
USER 65534:65534
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=2 \
    CMD ["/opt/topology-reaper/bin/python", "-m", "listener.telemetry.healthcheck"]
# PID 1 loses every signal that it does not handle yet. One that is blocked waits instead, so that a
# stop in the very first moments is not lost; the command itself lifts that again.
ENTRYPOINT ["env", "--block-signal=TERM", "topology-reaper"]
CMD ["run"]
