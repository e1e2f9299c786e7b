# Training, evaluation and export on the CPU; with REQUIREMENTS=train-gpu, training on an NVIDIA GPU with torch.
# Build from the repository's root:
#   docker build -f docker/training.Dockerfile -t facet:train .
#   docker build -f docker/training.Dockerfile -t facet:train-gpu --build-arg REQUIREMENTS=train-gpu .
# Arguments: a module and its arguments, for example `docker run facet:train training.make_models --help`.

ARG BASE=python:3.13.18-slim-trixie
FROM ${BASE}
# ONNX Runtime would report usage to its publisher; training connects to no other host.
ENV ORT_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
RUN useradd --uid 10001 --no-log-init --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin facet
WORKDIR /srv/facet
ARG REQUIREMENTS=train
COPY requirements/${REQUIREMENTS}.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r "requirements/${REQUIREMENTS}.txt"
COPY models/ models/
COPY pyproject.toml LICENSE THIRD_PARTY_NOTICES.md ./
COPY app/ app/
COPY training/ training/
USER 10001
# No service runs in this image.
HEALTHCHECK NONE
ENTRYPOINT ["python", "-m"]
CMD ["training.make_models", "--help"]
