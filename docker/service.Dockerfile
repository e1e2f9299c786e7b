# The service. Build from the repository's root:
#   docker build -f docker/service.Dockerfile --target cpu -t facet:cpu .
#   docker build -f docker/service.Dockerfile --target gpu -t facet:gpu .
# The GPU image needs no CUDA base: CUDA 13 and cuDNN 9 come as wheels, the driver is the host's.
# Another base (a mirror's, one with a digest): --build-arg BASE=...

ARG BASE=python:3.13.18-slim-trixie
FROM ${BASE} AS base
# ONNX Runtime would report its use to its publisher; the service contacts nobody.
ENV ORT_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
RUN useradd --uid 10001 --no-log-init --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin facet
WORKDIR /srv/facet
EXPOSE 8000
# 200 once every model is warm, 503 before that and while it ends. No proxy of the environment is asked.
HEALTHCHECK --interval=15s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import ProxyHandler as P, build_opener; build_opener(P({})).open('http://127.0.0.1:8000/readyz', timeout=2)"]
CMD ["python", "-m", "app", "serve", "--host", "0.0.0.0", "--port", "8000"]

FROM base AS gpu
COPY requirements/gpu.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/gpu.txt
COPY models/ models/
COPY pyproject.toml LICENSE THIRD_PARTY_NOTICES.md ./
COPY app/ app/
RUN python -m compileall -q app
# Without these two the container runtime hands over the GPU but not libcuda.
ENV FACE_DEVICE=cuda \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    CUDA_CACHE_PATH=/tmp/cuda
USER 10001

FROM base AS cpu
COPY requirements/cpu.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/cpu.txt
COPY models/ models/
COPY pyproject.toml LICENSE THIRD_PARTY_NOTICES.md ./
COPY app/ app/
RUN python -m compileall -q app
ENV FACE_DEVICE=cpu
USER 10001
