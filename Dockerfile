# syntax=docker/dockerfile:1
#
# One image for every command: `docker run IMAGE controller`, `docker run IMAGE speaker`, and so on.
#
#   docker build --build-arg PYTHON_IMAGE=python:3.12-slim-bookworm@sha256:<digest> --tag porter .
#
# The base has no default on purpose: a tag moves, so the build takes a digest alone.
ARG PYTHON_IMAGE

FROM ${PYTHON_IMAGE} AS builder
ARG PYTHON_IMAGE
RUN case "${PYTHON_IMAGE}" in *@sha256:*) ;; *) echo "PYTHON_IMAGE must name a digest" >&2; exit 1 ;; esac
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# What runs: checked against its hashes, without anything that only tests or builds need.
COPY requirements-runtime.lock ./
RUN python -m venv /opt/porter \
    && /opt/porter/bin/python -m pip install --require-hashes -r requirements-runtime.lock

# What builds: the same build backend as in development, out of the image's environment.
COPY requirements.lock ./
RUN python -m venv /opt/build \
    && /opt/build/bin/python -m pip install --require-hashes -r requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY deploy/crds deploy/crds
COPY porter porter
RUN /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/porter/bin/python -m pip install --no-deps --no-index dist/porter-*.whl \
    && /opt/porter/bin/python -m pip uninstall --yes pip setuptools
# Typed models and calls of the Kubernetes client are never imported (porter/kube/client.py), and are most of its size.
# `make image-check` runs the controller against a real API server without them.
RUN find /opt/porter/lib/python3*/site-packages/kubernetes -type f -regex '.*/\(api\|models\)/.*' ! -name '__init__*' -delete

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Porter" \
      org.opencontainers.image.description="An event-sourced load balancer for bare-metal Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0"
# BIRD runs BFD beside a speaker that is asked for it (`porter bfd`); it comes from the base's own distribution.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends bird2 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log
# ExaBGP looks its own user up by name, so that the user needs an entry in /etc/passwd.
RUN useradd --uid 65532 --user-group --create-home --home-dir /var/lib/porter --shell /usr/sbin/nologin porter
COPY --from=builder /opt/porter /opt/porter
ENV PATH=/opt/porter/bin:$PATH \
    HOME=/var/lib/porter \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
WORKDIR /var/lib/porter
STOPSIGNAL SIGTERM
# No shell stands between the signal and the process.
ENTRYPOINT ["/opt/porter/bin/porter"]
CMD ["--help"]
