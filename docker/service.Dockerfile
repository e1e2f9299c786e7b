# The service. Build from the repository's root:
#   docker build -f docker/service.Dockerfile --target cpu -t facet:cpu .
#   docker build -f docker/service.Dockerfile --target gpu -t facet:gpu .
# The GPU image needs no CUDA base image: CUDA 13 and cuDNN 9 are installed as wheels, the host has the driver.
# For another base image (from a mirror, or with a digest): --build-arg BASE=...
# Without the models that are for research only: --build-arg WEIGHTS=free
# To read HEIC and HEIF images (libheif and libde265, LGPL): --build-arg HEIF=1
# To send traces to an OpenTelemetry collector: --build-arg OTEL=1
# To keep the gallery in PostgreSQL (psycopg, LGPL): --build-arg POSTGRES=1

ARG BASE=python:3.13.18-slim-trixie
FROM ${BASE} AS base
# ONNX Runtime would report usage to its publisher; the service connects to no other host.
ENV ORT_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
RUN useradd --uid 10001 --no-log-init --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin facet
WORKDIR /srv/facet
# The gallery: people and the embeddings of their faces. A new volume on this folder gets its owner and mode.
RUN install --directory --owner=facet --group=facet --mode=0700 gallery
EXPOSE 8000
# /readyz answers 200 when every model is warm; 503 before that and while the service stops. Proxies that are set in the
# environment are not used.
HEALTHCHECK --interval=15s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import ProxyHandler as P, build_opener; build_opener(P({})).open('http://127.0.0.1:8000/readyz', timeout=2)"]
CMD ["python", "-m", "app", "serve", "--host", "0.0.0.0", "--port", "8000"]

FROM base AS models
ARG WEIGHTS=all
COPY docker/select_models.py ./
COPY models/ models/
RUN python select_models.py models "${WEIGHTS}"

FROM base AS gpu
ARG HEIF
ARG OTEL
ARG POSTGRES
ARG WEIGHTS=all
COPY requirements/gpu.txt requirements/heif.txt requirements/otel.txt \
    requirements/postgres.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/gpu.txt \
    ${HEIF:+-r requirements/heif.txt} ${OTEL:+-r requirements/otel.txt} \
    ${POSTGRES:+-r requirements/postgres.txt}
COPY --from=models /srv/facet/models/ models/
COPY pyproject.toml LICENSE THIRD_PARTY_NOTICES.md ./
COPY app/ app/
RUN python -m compileall -q app
# Without the two NVIDIA variables the container runtime provides the GPU but not libcuda.
ENV FACE_DEVICE=cuda \
    FACE_WEIGHTS=${WEIGHTS} \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    CUDA_CACHE_PATH=/tmp/cuda
USER 10001

FROM base AS cpu
ARG HEIF
ARG OTEL
ARG POSTGRES
ARG WEIGHTS=all
COPY requirements/cpu.txt requirements/heif.txt requirements/otel.txt \
    requirements/postgres.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/cpu.txt \
    ${HEIF:+-r requirements/heif.txt} ${OTEL:+-r requirements/otel.txt} \
    ${POSTGRES:+-r requirements/postgres.txt}
COPY --from=models /srv/facet/models/ models/
COPY pyproject.toml LICENSE THIRD_PARTY_NOTICES.md ./
COPY app/ app/
RUN python -m compileall -q app
ENV FACE_DEVICE=cpu \
    FACE_WEIGHTS=${WEIGHTS}
USER 10001
