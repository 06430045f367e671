# make demo and make test do all their set-up themselves: a virtual environment, the packages, and a
# private Docker Engine from Debian's packages. They use no engine or database that is already there.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python
CODE := tests/unit tests/database
UNIT := $(CODE) tests/documentation
STEPS ?= 100000
ROUNDS ?= 30
WALK ?= 600
PYTHONS ?= 3.11 3.12 3.13
CONSTRAINTS ?= constraints.txt
EXTRA ?= dev
N ?= 3
ROWS ?=
DOCKER ?= docker
IMAGE ?= topology-reaper:dev

# For what pip installs, and for what it builds that with: up to pip 25.2 the first goes for both,
# later the second for the latter.
build/wheels package $(VENV)/ready $(VENV)/ready-to-bench: export PIP_CONSTRAINT := $(CONSTRAINTS)
build/wheels package $(VENV)/ready $(VENV)/ready-to-bench: export PIP_BUILD_CONSTRAINT := $(CONSTRAINTS)

.PHONY: demo demo-fleet test suite check steady lint types unit deep mutants soak bench bench-quick matrix pythons lowest docs dist package image sbom wheels clean help

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/ready  ## deploy two topologies on a private engine, delete one row, see what goes
	@$(RUN) contrib/scripts/private_engine.py -- $(BIN)/topology-reaper demo

demo-fleet: $(VENV)/ready  ## a relay and three hosts: delete the row of a topology on two of them, see who is told
	@$(RUN) contrib/scripts/demo_fleet.py

test: $(VENV)/ready  ## what protects the promises: lint, types, and tests on real engines and servers
	@$(MAKE) --no-print-directory -j3 lint types suite

# Most tests wait for a server: five at a time keep two cores busy. tests/conftest.py says in which
# order, and which stay together.
suite: $(VENV)/ready
	$(RUN) -m pytest -n 5 --dist loadfile --no-loadscope-reorder

check: $(VENV)/ready  ## the quick loop: lint, types, and the tests that need no engine
	@$(MAKE) --no-print-directory -j2 lint types unit

steady: $(VENV)/ready  ## make test N times, every second time on a busy machine; which were slow, which failed
	$(RUN) contrib/scripts/steady.py $(N)

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo --no-cache

types: $(VENV)/ready
	$(BIN)/mypy -p listener -p tests
	$(BIN)/mypy contrib/scripts hatch_build.py

unit: $(VENV)/ready
	$(RUN) -m pytest -n 2 $(UNIT)

mutants: $(VENV)/ready  ## mistakes made on purpose, each with the test that must catch it
	$(RUN) -m tests.mutants

deep: soak  ## before a release: soak, every order of a small world, what is long or random, mutants
	$(RUN) -m tests.property.walk --seconds $(WALK)
	$(RUN) -m pytest -m deep
	$(RUN) -m tests.mutants

soak: $(VENV)/ready  ## look for a broken promise in random steps and rounds of chaos; STEPS=… ROUNDS=… for more
	$(RUN) -m tests.property.soak --steps $(STEPS)
	PYTHONPATH=contrib/scripts $(RUN) -m tests.engine.chaos.soak --rounds $(ROUNDS)

bench: $(VENV)/ready-to-bench  ## every figure beside its target; 45 minutes on two quiet cores
	PYTHONPATH=contrib/scripts $(RUN) -m tests.benchmarks

bench-quick: $(VENV)/ready-to-bench  ## the same on a small scale, without what takes minutes
	PYTHONPATH=contrib/scripts $(RUN) -m tests.benchmarks --quick

comma := ,
matrix: $(VENV)/ready  ## what it runs on, tried: docs/compatibility.md; ROWS=docker-28,mysql-9 for some of its rows
	PYTHONPATH=contrib/scripts $(RUN) -m tests.matrix $(subst $(comma), ,$(ROWS))

docs: $(VENV)/ready  ## docs/options.md and the JSON schemas, from the options, commands and types as they are
	$(RUN) contrib/scripts/options_reference.py docs/options.md
	$(RUN) contrib/scripts/schemas.py docs

dist: $(VENV)/ready  ## the wheel and the sdist, in dist/: the same bytes whoever makes them
	@rm -rf dist
	$(RUN) -m hatchling build

# Some tests are done as another user, who has to get into the folder.
package: dist  ## install each of them in an empty environment, and make check in what the sdist unpacks to
	@set -e; at=$$(mktemp -d); trap 'rm -rf "$$at"' EXIT; chmod 755 "$$at"; \
	for built in dist/*; do \
	  $(PYTHON) -m venv --clear $$at/environment; \
	  $$at/environment/bin/pip install --quiet --disable-pip-version-check $$built; \
	  $$at/environment/bin/topology-reaper --version; \
	done; \
	tar -xzf dist/*.tar.gz -C $$at; \
	$(MAKE) --no-print-directory -C $$at/topology_reaper-* check

image:  ## the container image, on the engine of DOCKER_HOST; BASE_IMAGE=… for another base, OFFLINE=1 from build/wheels
	$(DOCKER) build --tag $(IMAGE) \
	  --build-arg VERSION=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) \
	  --build-arg REVISION=$$($(PYTHON) listener/commit.py) \
	  $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) \
	  $(if $(OFFLINE),--build-arg PIP_NO_INDEX=1) .

sbom: $(VENV)/ready  ## what the image contains, as a CycloneDX list: build/sbom.cdx.json
	@mkdir -p build
	$(RUN) contrib/scripts/sbom.py $(IMAGE) build/sbom.cdx.json

wheels: build/wheels  ## what the image is built from, for where it cannot be downloaded; PYTHON=… as in its base

build/wheels: pyproject.toml $(CONSTRAINTS)
	@rm -rf $@ $@.part build/python && $(PYTHON) -m venv build/python
	@build/python/bin/python -m pip wheel --quiet --disable-pip-version-check \
	  --wheel-dir $@.part '.[all]' hatchling
	@rm $@.part/topology_reaper-* && mv $@.part $@ && touch $@

pythons:  ## the tests of the code that need no engine, on every supported Python
	@for version in $(PYTHONS); do \
	  contrib/scripts/find-python $$version >/dev/null || exit 1; \
	  $(MAKE) --no-print-directory unit PYTHON=$$(contrib/scripts/find-python $$version) VENV=.venv-$$version UNIT='$(CODE)' || exit 1; \
	done

lowest:  ## the tests that need no engine, with the lowest version of each dependency that pyproject.toml allows
	@$(MAKE) --no-print-directory unit CONSTRAINTS=build/lowest.txt EXTRA=test VENV=.venv-lowest \
	  UNIT='$(UNIT) tests/servers/test_feeds.py'

build/lowest.txt: pyproject.toml constraints.txt contrib/scripts/lowest.py
	@mkdir -p build
	@$(PYTHON) contrib/scripts/lowest.py > $@

$(VENV)/ready: pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || (apt-get update -qq && apt-get install -y -qq python3-venv)
	@echo "setting up $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRA)]'
	@touch $@

$(VENV)/ready-to-bench: $(VENV)/ready
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

clean:
	rm -rf .venv .venv-* .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
