# Facet: `make help` lists the targets.
#
# Each environment is a virtual environment of its own, filled from hashed requirements:
#   .venv         cpu.txt for `make serve`; dev.txt (service, training, checks) for nearly all else
#   .venv-gpu     gpu.txt for `make serve-gpu` and `make gpu-record`; gpu-dev.txt for tests on a GPU
#   .venv-train-gpu  train-gpu.txt: training on a GPU, with torch instead of TensorFlow
#   .venv-ray     ray.txt for `facet bulk` on a CPU; ray-dev.txt for its tests
#   .venv-bench   bench.txt: the service and the libraries it is measured against
#   .venv-deepface  deepface.txt: deepface's API, in an environment of its own because it has another OpenCV
#   .venv-docker  docker.txt: linters of the container files and the Helm chart
#   .venv-audit   audit.txt: the tools of `make audit` and `make sbom`
#   .venv-docs    docs.txt: the tools that build the documentation as a site
# onnxruntime and onnxruntime-gpu overwrite each other's files, so they never share an environment.

PORT ?= 8000
HOST = 127.0.0.1
DOCS_PORT ?= 8001
ARGS =

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help dev serve heif otel postgres serve-gpu ray test test-all test-integration test-gpu check format generate bench bench-http bench-cost gpu-record models train train-gpu lock docker-check \
        docker-rehearsal bundle docs docs-serve audit sbom clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

# --- environments -------------------------------------------------------------------------------

# Each candidate is run, because a version manager may provide commands for versions that are not active.
PYTHON_OK = import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python \
            "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.1[123].*/bin/python3; do \
            if "$$p" -c "$(PYTHON_OK)" >/dev/null 2>&1; then echo "$$p"; break; fi; done)

BIN := .venv/bin
GPU := .venv-gpu/bin
TRAIN_GPU := .venv-train-gpu/bin
RAY := .venv-ray/bin
BENCH := .venv-bench/bin
DEEPFACE := .venv-deepface/bin
DOCKER := .venv-docker/bin
AUDIT := .venv-audit/bin
DOCS := .venv-docs/bin
UV := $(BIN)/uv
INSTALL := pip install --require-hashes --python

# `make serve` uses the development environment if it exists, else the small one.
CPU_ENV := $(if $(wildcard .venv/.stamp-dev),.venv/.stamp-dev,.venv/.stamp-cpu)
GPU_ENV := $(if $(wildcard .venv-gpu/.stamp-dev),.venv-gpu/.stamp-dev,.venv-gpu/.stamp-gpu)

.venv/.stamp-uv: requirements/uv.txt
	@if [ ! -x $(BIN)/python ]; then \
	  python='$(PYTHON)'; \
	  if [ -z "$$python" ] || ! "$$python" -c "$(PYTHON_OK)" 2>/dev/null; then \
	    echo "Facet needs Python 3.11, 3.12 or 3.13 with its venv module$${python:+; $$python will not do}." >&2; \
	    echo "Install one (Debian, Ubuntu: python3 and python3-venv)" \
	      "or name it: make PYTHON=/path/to/python3.12" >&2; \
	    exit 1; \
	  fi; \
	  echo "making .venv with $$python"; "$$python" -m venv .venv; \
	fi
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

# `uv pip install` only adds packages, so the small file removes nothing from a larger environment. Bytecode is
# compiled here, because otherwise every start would compile it again if Python may not write beside its sources.
.venv/.stamp-cpu: requirements/cpu.txt .venv/.stamp-uv
	$(UV) $(INSTALL) $(BIN)/python --compile-bytecode -r $<
	@$(BIN)/python -m compileall -q app
	@touch $@

# Bytecode is compiled for the same reason: without it each start of TensorFlow takes 8 s instead of 3.
.venv/.stamp-dev: requirements/dev.txt .venv/.stamp-cpu
	$(UV) $(INSTALL) $(BIN)/python --compile-bytecode -r $<
	@touch $@

.venv-gpu/.stamp-gpu: requirements/gpu.txt .venv/.stamp-uv
	@[ -x $(GPU)/python ] || $(UV) venv --quiet --python $(BIN)/python .venv-gpu
	$(UV) $(INSTALL) $(GPU)/python --compile-bytecode -r $<
	@$(GPU)/python -m compileall -q app
	@touch $@

.venv-gpu/.stamp-dev: requirements/gpu-dev.txt .venv/.stamp-uv
	@[ -x $(GPU)/python ] || $(UV) venv --quiet --python $(BIN)/python .venv-gpu
	$(UV) $(INSTALL) $(GPU)/python -r $<
	@touch $@

.venv-train-gpu/.stamp: requirements/train-gpu.txt .venv/.stamp-uv
	@[ -x $(TRAIN_GPU)/python ] || $(UV) venv --quiet --python $(BIN)/python .venv-train-gpu
	$(UV) $(INSTALL) $(TRAIN_GPU)/python --compile-bytecode -r $<
	@touch $@

.venv-ray/.stamp-ray: requirements/ray.txt .venv/.stamp-uv
	@[ -x $(RAY)/python ] || $(UV) venv --quiet --python $(BIN)/python .venv-ray
	$(UV) $(INSTALL) $(RAY)/python --compile-bytecode -r $<
	@touch $@

.venv-ray/.stamp-dev: requirements/ray-dev.txt .venv/.stamp-uv
	@[ -x $(RAY)/python ] || $(UV) venv --quiet --python $(BIN)/python .venv-ray
	$(UV) $(INSTALL) $(RAY)/python --compile-bytecode -r $<
	@touch $@

# One package is distributed as source only. The setuptools that builds it is pinned in the same file.
.venv-bench/.stamp: requirements/bench.txt .venv/.stamp-uv
	@[ -x $(BENCH)/python ] || $(UV) venv --quiet --python $(BIN)/python .venv-bench
	$(UV) $(INSTALL) $(BENCH)/python -r $< --build-constraints $< \
	  --require-build-hashes --preview-features build-dependency-hashes
	@touch $@

.venv-deepface/.stamp: requirements/deepface.txt .venv/.stamp-uv
	@[ -x $(DEEPFACE)/python ] || $(UV) venv --quiet --python $(BIN)/python .venv-deepface
	$(UV) $(INSTALL) $(DEEPFACE)/python -r $<
	@touch $@

.venv-docker/.stamp: requirements/docker.txt .venv/.stamp-uv
	@[ -x $(DOCKER)/python ] || $(UV) venv --quiet --python $(BIN)/python .venv-docker
	$(UV) $(INSTALL) $(DOCKER)/python -r $<
	@touch $@

.venv-audit/.stamp: requirements/audit.txt .venv/.stamp-uv
	@[ -x $(AUDIT)/python ] || $(UV) venv --quiet --python $(BIN)/python .venv-audit
	$(UV) $(INSTALL) $(AUDIT)/python -r $<
	@touch $@

.venv-docs/.stamp: requirements/docs.txt .venv/.stamp-uv
	@[ -x $(DOCS)/python ] || $(UV) venv --quiet --python $(BIN)/python .venv-docs
	$(UV) $(INSTALL) $(DOCS)/python -r $<
	@touch $@

dev: .venv/.stamp-dev ## make the development environment .venv: service, training, checks (about 2.4 GB)

# --- the service --------------------------------------------------------------------------------

serve: $(CPU_ENV) ## run the service on the CPU (PORT=8000, HOST=127.0.0.1)
	@exec $(BIN)/python -m app serve --host $(HOST) --port $(PORT) $(ARGS)

heif: requirements/heif.txt .venv/.stamp-uv ## let `make serve` read HEIC and HEIF images (libheif, LGPL)
	$(UV) $(INSTALL) $(BIN)/python --compile-bytecode -r $<

otel: requirements/otel.txt .venv/.stamp-uv ## let `make serve` send traces to an OpenTelemetry collector (FACE_OTLP_ENDPOINT)
	$(UV) $(INSTALL) $(BIN)/python --compile-bytecode -r $<

postgres: requirements/postgres.txt .venv/.stamp-uv ## let `make serve` keep the gallery in PostgreSQL (psycopg, LGPL)
	$(UV) $(INSTALL) $(BIN)/python --compile-bytecode -r $<

ray: .venv-ray/.stamp-ray ## make the environment .venv-ray for `facet bulk`: the service and Ray (about 1.2 GB)

serve-gpu: $(GPU_ENV) ## run the service on an NVIDIA GPU (Linux; CUDA 13 comes as wheels)
	@FACE_DEVICE=$${FACE_DEVICE:-cuda} exec $(GPU)/python -m app serve --host $(HOST) --port $(PORT) $(ARGS)

# --- checks -------------------------------------------------------------------------------------

SOURCES := app training client tests benchmarks scripts
DOCUMENTS = $(wildcard *.md client/*.md models/*.md benchmarks/*.md docs)

check: .venv/.stamp-dev ## check format, lint, types, import rules, links of the documents, locks; changes nothing
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/markdown-checker $(DOCUMENTS)
	@if grep -l '^onnxruntime==' requirements/gpu*.txt || \
	    grep -l '^onnxruntime-gpu' requirements/cpu.txt requirements/dev.txt requirements/bench.txt \
	      requirements/ray*.txt || \
	    grep -lE '^--|://' requirements/*.txt; then \
	  echo "the requirements above mix CPU with GPU, or hold an address" >&2; exit 1; fi

# All tests of a file run in one process, so that fixtures are made once. The order spreads the long files.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: .venv/.stamp-dev ## run the tests; takes about four minutes, needs no GPU and no server (ARGS=... goes to pytest)
	$(PYTEST) $(ARGS)

test-all: .venv/.stamp-dev .venv-ray/.stamp-dev ## run also the slow tests, and property tests with many random examples
	HYPOTHESIS_PROFILE=nightly $(PYTEST) -m "not gpu and not integration" $(ARGS)
	$(RAY)/python -m pytest -m "integration and slow" tests/integration/ray_cluster $(ARGS)

test-integration: .venv/.stamp-dev .venv-ray/.stamp-dev ## run tests that start and kill processes, or use namespaces, a browser, a database, a cluster
	$(BIN)/python -m pytest -m integration tests/integration tests/gallery --ignore tests/integration/ray_cluster $(ARGS)
	$(RAY)/python -m pytest -m "integration and not slow" tests/integration/ray_cluster $(ARGS)

test-gpu: .venv-gpu/.stamp-dev ## run the tests that need a GPU
	$(GPU)/python -m pytest -m gpu tests/gpu $(ARGS)

format: .venv/.stamp-dev ## format the sources, and fix lint errors that can be fixed automatically
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

generate: .venv/.stamp-dev ## write what is generated from code: .env.example, the settings and REST references, OpenAPI examples and document, the search graph
	$(BIN)/python -m scripts.settings_reference
	$(BIN)/python -m scripts.openapi_examples
	$(BIN)/python -m scripts.rest_reference
	$(BIN)/python -m scripts.openapi_snapshot
	$(BIN)/python -m scripts.search_graph

PROMTOOL = promtool
HAPROXY = $(or $(shell command -v haproxy),/usr/sbin/haproxy)
docker-check: .venv-docker/.stamp ## lint the Dockerfiles, validate docker-compose.yml, the Helm chart and HAProxy's configuration, test the alerts
	$(DOCKER)/hadolint docker/*.Dockerfile
	$(DOCKER)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml docker/replicas/gpu.yml
	$(DOCKER)/python -m scripts.check_chart
	@if [ ! -x $(HAPROXY) ]; then \
	  echo "the configuration of the balancer was not checked: haproxy is not here (Debian has it in the package haproxy)" >&2; exit; fi; \
	BALANCER_BIND=127.0.0.1:8000 BALANCER_SOCKET=/tmp/haproxy.sock REPLICA_1=127.0.0.1:1 REPLICA_2=127.0.0.1:2 \
	REPLICA_3=127.0.0.1:3 REPLICA_4=127.0.0.1:4 $(HAPROXY) -c -f docker/replicas/haproxy.cfg
	@if ! command -v $(PROMTOOL) >/dev/null; then \
	  echo "the alerts were not tested: promtool is not here (Debian has it in the package prometheus)" >&2; exit; fi; \
	set -ex; cd docker/monitoring; $(PROMTOOL) check config --syntax-only prometheus.yml; \
	$(PROMTOOL) check rules alerts.yml; $(PROMTOOL) test rules alerts_test.yml

docker-rehearsal: ## build and run the CPU image without a container engine (Linux, root; BASE=root.tar made before)
	docker/rehearsal.sh $(BASE)

# --- a machine without a network ----------------------------------------------------------------

TARGET = cpu
CUDA =
PART_MB = 55
PYTHON_VERSIONS =
bundle: $(CPU_ENV) ## make build/bundle/cpu, which installs Facet without a network (TARGET=gpu, CUDA=host, PART_MB=55, PYTHON_VERSIONS="3.11 3.12")
	@$(BIN)/python -m scripts.bundle --target='$(TARGET)' --cuda='$(CUDA)' --part-mb='$(PART_MB)' \
	  --python-versions='$(PYTHON_VERSIONS)' $(ARGS)

# --- documentation ------------------------------------------------------------------------------

# The variable turns off the theme's notice of its end of life, in May 2027, and of its successor.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(DOCS)/mkdocs
docs: .venv-docs/.stamp ## build the documentation as a site, in build/site; a warning is an error
	$(MKDOCS) build --strict $(ARGS)

docs-serve: .venv-docs/.stamp ## serve the documentation on 127.0.0.1:8001 and follow changes (DOCS_PORT=8001)
	$(MKDOCS) serve --dev-addr 127.0.0.1:$(DOCS_PORT) $(ARGS)

# --- measurements and models --------------------------------------------------------------------

# The published weights of other libraries are fetched by uv, which is in .venv.
bench: .venv-bench/.stamp ## measure Facet and other libraries on the CPU (DATA=folder with wider/)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BENCH)/python -m benchmarks.peers $(if $(DATA),--data $(DATA)) $(ARGS)

bench-http: .venv/.stamp-dev .venv-deepface/.stamp ## measure Facet, a small FastAPI service with OpenCV, and deepface's API over HTTP
	$(BIN)/python -m benchmarks.peers_http --deepface $(DEEPFACE) $(ARGS)

bench-cost: .venv/.stamp-dev ## measure how time grows with pixels, faces, clients, batches and min_face_size
	$(BIN)/python -m benchmarks.cost $(ARGS)

# Needs only the packages of the service, so that it also runs from an unpacked bundle with another Python.
RECORD_PYTHON = $(or $(GPU_PYTHON),$(GPU)/python)
gpu-record: $(if $(GPU_PYTHON),,$(GPU_ENV)) ## measure the service on an NVIDIA GPU and write benchmarks/results/gpu-NAME.md (GPU_PYTHON=python3 uses another Python)
	@$(RECORD_PYTHON) -c "import app.main" 2>/dev/null || { \
	  echo "$(RECORD_PYTHON) cannot import the service. Install requirements/gpu.txt, or leave GPU_PYTHON out." >&2; exit 1; }
	@$(RECORD_PYTHON) -m benchmarks.gpu $(ARGS)

models: .venv/.stamp-dev ## make models/ from the published weights
	$(BIN)/python -m training.make_models $(ARGS)

train: .venv/.stamp-dev ## train a net (ARGS names the run)
	$(BIN)/python -m training.train $(ARGS)

NO_CUDA = torch finds no CUDA device. Check the driver with nvidia-smi, or train on the CPU with make train.
train-gpu: .venv-train-gpu/.stamp ## train a net on an NVIDIA GPU, with torch (ARGS names the run)
	@$(TRAIN_GPU)/python -c "import sys, torch; sys.exit(None if torch.cuda.is_available() else '$(NO_CUDA)')"
	KERAS_BACKEND=torch $(TRAIN_GPU)/python -m training.train $(ARGS)

# --- upkeep -------------------------------------------------------------------------------------

# The files have hashes for every platform, and no addresses. A version is kept while pyproject.toml allows it;
# ARGS=--upgrade takes the newest. Packages that several environments share have the version of dev.txt.
UV_VERSION := 0.13.9
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
           --no-emit-index-url --no-annotate --no-header
AS_DEV := $(COMPILE) pyproject.toml --constraints requirements/dev.txt

lock: .venv/.stamp-uv ## resolve pyproject.toml into requirements/*.txt (ARGS=--upgrade for the newest)
	echo 'uv==$(UV_VERSION)' | $(COMPILE) - -o requirements/uv.txt
	$(COMPILE) $(ARGS) pyproject.toml --extra cpu --extra train --extra dev -o requirements/dev.txt
	$(AS_DEV) $(ARGS) --extra cpu -o requirements/cpu.txt
	$(AS_DEV) $(ARGS) --extra heif -o requirements/heif.txt
	$(AS_DEV) $(ARGS) --extra otel -o requirements/otel.txt
	$(AS_DEV) $(ARGS) --extra postgres -o requirements/postgres.txt
	$(AS_DEV) $(ARGS) --extra train -o requirements/train.txt
	$(AS_DEV) $(ARGS) --extra train-gpu -o requirements/train-gpu.txt
	$(AS_DEV) $(ARGS) --extra gpu -o requirements/gpu.txt
	$(AS_DEV) $(ARGS) --extra gpu --extra dev -o requirements/gpu-dev.txt
	$(AS_DEV) $(ARGS) --extra cpu --extra ray -o requirements/ray.txt
	$(AS_DEV) $(ARGS) --extra cpu --extra ray --extra dev -o requirements/ray-dev.txt
	$(AS_DEV) $(ARGS) --extra cpu --extra bench -o requirements/bench.txt
	$(COMPILE) $(ARGS) --group deepface -o requirements/deepface.txt
	$(COMPILE) $(ARGS) --group docker -o requirements/docker.txt
	$(COMPILE) $(ARGS) --group audit -o requirements/audit.txt
	$(COMPILE) $(ARGS) --group docs -o requirements/docs.txt

# With --strict the audit fails if pip-audit cannot look up a package.
AUDITED := cpu gpu otel train train-gpu dev bench ray
audit: .venv-audit/.stamp ## look for known vulnerabilities in the pinned packages (needs the internet; ARGS="-s osv" uses another source)
	$(AUDIT)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off \
	  $(AUDITED:%=-r requirements/%.txt) $(ARGS)

sbom: .venv-audit/.stamp ## write the software bill of materials (CycloneDX JSON) to build/
	@mkdir -p build
	for kind in cpu gpu; do PYTHONWARNINGS=ignore $(AUDIT)/cyclonedx-py requirements requirements/$$kind.txt \
	  --pyproject pyproject.toml --output-reproducible -o build/sbom-$$kind.json; done

clean: ## remove caches and build products
	rm -rf build dist bench-out *.egg-info client/src/*.egg-info client/build .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## also remove the virtual environments
	rm -rf .venv .venv-gpu .venv-train-gpu .venv-ray .venv-bench .venv-docker .venv-audit .venv-docs
