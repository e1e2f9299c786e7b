# Importers, training, evaluation and export, on the CPU. Build from the repository's root:
#   docker build -f docker/training.Dockerfile -t facet:train .
# Its arguments are a module and that module's own: docker run facet:train training.make_models --help

FROM python:3.12-slim-bookworm
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin facet
WORKDIR /srv/facet
COPY requirements/train.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/train.txt
COPY pyproject.toml LICENSE THIRD_PARTY_NOTICES.md ./
COPY models/ models/
COPY app/ app/
COPY training/ training/
USER 10001
# No service runs here, so there is no health to ask for.
HEALTHCHECK NONE
ENTRYPOINT ["python", "-m"]
CMD ["training.make_models", "--help"]
