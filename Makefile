# The verbs of this repository; `make help` lists them.
SPEC ?= pipelines/specs/grocery.yaml
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2
MINUTES ?= 10
SAMPLE ?= 200
SEED ?= 1
# Byte code makes every step's imports twice as fast.
unexport PYTHONDONTWRITEBYTECODE
# uv does not read this variable by itself; a folder of wheels in it saves downloads.
LINKS := $(if $(PIP_FIND_LINKS),--find-links "$(PIP_FIND_LINKS)")
.DEFAULT_GOAL := help
.PHONY: help install demo up down test test-fast mutants fuzz lint lock audit golden client image clean

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: $(VENV)/installed ## create .venv and install the lock into it

$(VENV)/installed: requirements.lock requirements-data.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "uv>=0.9,<1"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode $(LINKS) -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps $(LINKS) -r requirements-data.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

demo: install ## the whole job on real data: contract, profiles, models, release, recommendations, drift
	$(BIN)/intentflow demo $(SPEC)

up: install ## leave the service, the console and the UIs of MLflow, Feast and Evidently running
	$(BIN)/intentflow up $(SPEC)

down: install ## stop what `up` started
	$(BIN)/intentflow down $(SPEC)

test: install ## run the default tests, in as many processes as JOBS says
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --no-loadscope-reorder

test-fast: install ## run the tests that start no processes and build no worlds: the inner loop, a minute or so
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup --no-loadscope-reorder -m "not process and not world"

mutants: install ## break the pure cores in small ways; tests must find SAMPLE such faults (SEED chooses which)
	$(BIN)/python -m tests.mutation --sample $(SAMPLE) --seed $(SEED) --parallel $(JOBS) --least 90

fuzz: install ## feed every reader of other people's bytes what it has not seen, for MINUTES in all (Linux on x86-64, Python 3.11)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes $(LINKS) -r requirements-fuzz.lock
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES)

lint: install ## formatting, lint, types, layers and declared dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry pipelines bentos monitoring components feature_repo
	$(BIN)/deptry tests benchmarks k8s --ignore DEP002,DEP004

lock: install ## pin what pyproject.toml asks for; UPGRADE=--upgrade takes newer versions (CPU and CUDA share the lock)
	sed -E 's/ \\$$//; /^ +--hash=/d; s/^(torch==[0-9.]+)$$/\1+cpu/' requirements.lock > requirements.lock.part  # versions stay; no CUDA packages
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra redis --extra postgres --extra spark --extra cluster --extra vectors --extra search --extra text --extra faiss --extra words --extra mcp --python-version 3.11 --no-header --no-emit-find-links \
		$(LINKS) $(UPGRADE) --generate-hashes --quiet --output-file requirements.lock.part
	# torch's hashes: of the CPU build above, and of the index's builds of the same version.
	sed -nE 's/^(torch==[0-9.]+)\+cpu.*/\1/p' requirements.lock.part | $(BIN)/uv pip compile - --no-deps --generate-hashes --no-header \
		--no-annotate --python-version 3.11 --quiet | sed -nE 's/^( +--hash=[^ ]+).*/\1 \\/p' > requirements.torch.part
	test -s requirements.torch.part
	sed -E -e '/^torch==[0-9.]+\+cpu/{s/\+cpu//;p;r requirements.torch.part' -e 'd;}' requirements.lock.part > requirements.lock
	rm requirements.lock.part requirements.torch.part

audit: install ## ask OSV for known faults of what the locks pin; needs the network
	$(BIN)/uv tool run --from "pip-audit>=2.9,<3" pip-audit --disable-pip --require-hashes --vulnerability-service osv \
		--requirement requirements.lock --requirement requirements-data.lock

golden: install ## rewrite the golden files after a wanted change
	$(BIN)/python -m bentos.endpoints.derived_files
	$(BIN)/python -m monitoring.observability.prometheus_rules
	$(BIN)/python -m monitoring.observability.dashboards
	$(BIN)/python -m pipelines.reference
	$(BIN)/python -m pytest tests --update-golden -m "slow or not slow" -k golden

client: ## build the TypeScript client's npm tarball, with the browser's snippet, into build/ (node 20; needs the network)
	rm -rf build/typescript/src build/typescript/dist && mkdir -p build/typescript
	cp -R bentos/clients/typescript/. bentos/clients/browser/snippet.js build/typescript/
	cd build/typescript && npm ci --no-audit --no-fund && npm run build && npm pack --pack-destination ..

image: ## build the container image of pipeline steps and services, with podman or docker
	k8s/images/build steps

clean: ## remove the state of every recommender on this machine
	rm -rf .intentflow
