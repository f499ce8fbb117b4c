# Everything happens in this folder: Python packages go into .venv, MCP clients of others, for the tests, into
# tests/clients/node_modules.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test check format lint types imports proto proto-check release-check \
        lock fuzz bench bench-peers build image clean distclean

VENV := .venv
BIN := $(VENV)/bin
# The first Python that is new enough; `make PYTHON=/path/to/python3.12 …` chooses another.
PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13 python3.14; do \
    $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
    && echo $$python && break; done)
JOBS ?= 2
ARGS ?=

help: ## say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ---- the two that a newcomer types ----

demo: $(VENV)/.has-demo ## show the product at work on this machine (ARGS=--stay leaves it running)
	@$(BIN)/python -m extauthz demo $(ARGS)

# What takes long (faults, floods, endurance, everything once more) is for CI, or for ALL=1.
ALL ?= $(CI)
test: setup clients $(if $(CI),deploy-tools) ## run the tests (ALL=1: the long ones too; ARGS='-k bearer': some)
	@mkdir -p .artefacts
	TEST_ARTEFACTS=$${TEST_ARTEFACTS:-$(CURDIR)/.artefacts} \
	    $(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(if $(ALL),,-m 'not long') $(ARGS)

# ---- for those who change it ----

setup: $(VENV)/.has-dev ## install everything that tests and checks need into .venv

check: lint types imports proto-check release-check ## formatting, lint, types, import rules, generated code, version

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/hadolint Dockerfile

# The scripts in bench import each other as scripts do, by file name.
types: setup
	$(BIN)/mypy
	$(BIN)/mypy --no-explicit-package-bases bench

imports: setup
	$(BIN)/lint-imports

proto-check: setup
	$(BIN)/python proto/generate.py --check

release-check: setup
	$(BIN)/python -m pytest -q tests/packaging/test_release.py

format: setup ## format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

proto: setup ## generate extauthz/_pb from proto/
	$(BIN)/python proto/generate.py

# Hashes and no index addresses, so that the same files serve whatever mirror is configured.
# dev.txt is solved first and the others within it: each package has one version everywhere.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
          --no-header --no-emit-index-url --no-emit-find-links
# What the container image has besides what it cannot do without.
IMAGE = --extra native --extra uvloop
lock: $(VENV)/.has-dev ## solve the dependencies into requirements/ (ARGS=--upgrade takes newer ones)
	$(COMPILE) $(ARGS) pyproject.toml --extra dev --output-file requirements/dev.txt
	$(COMPILE) -c requirements/dev.txt pyproject.toml requirements/build.in --extra demo --output-file requirements/demo.txt
	$(COMPILE) -c requirements/dev.txt pyproject.toml --output-file requirements/runtime.txt
	$(COMPILE) -c requirements/dev.txt pyproject.toml $(IMAGE) --output-file requirements/image.txt
	$(COMPILE) -c requirements/dev.txt -c requirements/image.txt pyproject.toml $(IMAGE) --extra otel --output-file requirements/otel.txt
	$(COMPILE) -c requirements/image.txt requirements/bench.in --output-file requirements/bench.txt
	$(COMPILE) -c requirements/dev.txt pyproject.toml --extra deploy --output-file requirements/deploy.txt
	$(COMPILE) -c requirements/dev.txt pyproject.toml --extra mutation --output-file requirements/mutation.txt
	$(COMPILE) -c requirements/dev.txt requirements/build.in --output-file requirements/build.txt

fuzz: setup ## let atheris look for inputs that break a promise (ARGS='jwks -max_total_time=60')
	$(BIN)/python tests/fuzz/run.py $(ARGS)

bench: $(VENV)/.has-bench ## measure decisions per second on this machine
	PYTHONPATH=$(VENV)/bench $(BIN)/python bench/check.py $(ARGS)

bench-peers: $(VENV)/.has-bench ## the same load against other authorizers, as far as they can be had here
	PYTHONPATH=$(VENV)/bench $(BIN)/python bench/peers.py $(ARGS)

build: setup ## build sdist and wheel into dist/
	$(BIN)/python -m build --no-isolation --outdir dist .

image: ## build the container image
	docker build --build-arg VERSION=$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' extauthz/__init__.py) \
	    --build-arg REVISION=$$(git rev-parse HEAD) --tag extauthz .

clean: ## remove what builds and tests leave behind
	rm -rf dist .artefacts .attack .demo .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find extauthz proto tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove .venv, the npm packages, what fuzzing found and other authorizers as well
	rm -rf $(VENV) $(CLIENTS)/node_modules .fuzz .bench .mutants

# ---- the ways of an attacker ----

.PHONY: attack
ATTACK := .attack
# What one step finds must not keep the others from being tried; the scoreboard fails at the end.
attack: export ATTACK_AT_LENGTH := 1
attack: export ATTACK_RESULTS := $(ATTACK)
attack: setup ## attacks, laws, faults and floods at length; writes docs/scoreboard.md (ARGS='-k ...')
	rm -rf $(ATTACK)
	EXTAUTHZ_EXAMPLES=$${EXTAUTHZ_EXAMPLES:-2000} $(BIN)/python -m pytest -q --timeout 1800 tests/properties \
	    || { mkdir -p $(ATTACK); touch $(ATTACK)/failed; }
	$(BIN)/python -m pytest -q --timeout 900 tests/attacks tests/faults tests/floods $(ARGS) \
	    || { mkdir -p $(ATTACK); touch $(ATTACK)/failed; }
	$(BIN)/python -m tests.scoreboard $(ATTACK) docs/scoreboard.md
	@test ! -e $(ATTACK)/failed || { echo "Some of it failed, see above." >&2; exit 1; }

.PHONY: endure
endure: setup ## reload, rotate and restart under load; write docs/operations/endurance.md (some minutes)
	$(BIN)/python -m tests.endurance.run --report docs/operations/endurance.md $(ARGS)

.PHONY: conformance
conformance: setup clients ## run the tests that name requirements of the standards; write docs/conformance.md
	$(BIN)/python -m tests.conformance_table

# ---- whether the tests would notice ----

.PHONY: mutants
mutants: $(VENV)/.has-mutation ## break the deciding code in thousands of ways; a test must notice (ARGS='core/engine.py')
	$(BIN)/python tests/mutation/run.py $(ARGS)

$(VENV)/.has-mutation: requirements/mutation.txt | $(VENV)/.has-dev
	$(INSTALL) --require-hashes -r requirements/mutation.txt
	@touch $@

# ---- programs of others that the tests run: npm packages, and an old server ----

CLIENTS := tests/clients

.PHONY: clients
clients: $(VENV)/.has-mcp-1.9.4 $(CLIENTS)/node_modules/.package-lock.json

$(VENV)/.has-mcp-1.9.4: $(CLIENTS)/mcp-1.9.4.txt | $(BIN)/python
	rm -rf $(VENV)/mcp-1.9.4
	$(INSTALL) --no-deps --require-hashes --target $(VENV)/mcp-1.9.4 -r $<
	@touch $@

# npm itself comes as a wheel, so that it need not be on the machine. Where its registry cannot be
# reached the tests that need it say that they are skipped; in CI that is an error.
$(CLIENTS)/node_modules/.package-lock.json: $(CLIENTS)/package.json $(CLIENTS)/package-lock.json | $(VENV)/.has-dev
	PATH="$(CURDIR)/$(BIN):$$PATH" npm --prefix $(CLIENTS) ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error \
	    && touch $@ || { echo "The npm packages of $(CLIENTS) could not be installed." >&2; test -z "$$CI"; }

# No registry has them ready. Without Go, or where a module cannot be had, their tests are skipped.
.PHONY: go-programs
go-programs: $(BIN)/traefik $(BIN)/egctl $(BIN)/new-caddy ## build the Traefik, egctl and Caddy that tests run, once (needs Go; minutes)

$(BIN)/traefik $(BIN)/egctl $(BIN)/new-caddy: tests/generate/go_programs.py | $(VENV)/.has-dev
	$(BIN)/python -m tests.generate.go_programs $@

# ---- what goes into a cluster ----

.PHONY: deploy-tools sbom
deploy-tools: $(VENV)/.has-deploy ## install what checks deploy/: Helm, schemas of Kubernetes (350 MB)

sbom: $(VENV)/.has-deploy ## list what the container image installs, as CycloneDX, in dist/
	@mkdir -p dist
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
	    --output-file dist/extauthz.cdx.json requirements/image.txt

$(VENV)/.has-deploy: requirements/deploy.txt | $(VENV)/.has-dev
	$(INSTALL) --require-hashes -r requirements/deploy.txt
	@touch $@

# ---- how .venv comes about ----

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed and was not found on the PATH." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	    echo "Could not make $(VENV). On Debian and Ubuntu: apt-get install python3-venv" >&2; \
	    rm -rf $(VENV); exit 1; }

INSTALL = $(BIN)/python -m pip --disable-pip-version-check --quiet install

# Installed from hashes first; then this folder itself, which needs nothing more.
$(VENV)/.has-demo: requirements/demo.txt pyproject.toml | $(BIN)/python
	$(INSTALL) --require-hashes -r requirements/demo.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.has-dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	$(INSTALL) --require-hashes -r requirements/dev.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.has-demo

# Beside the others and not among them: tests run as a plain installation does, without uvloop.
$(VENV)/.has-bench: requirements/bench.txt | $(VENV)/.has-dev
	rm -rf $(VENV)/bench
	$(INSTALL) --no-deps --require-hashes --target $(VENV)/bench -r $<
	@touch $@
