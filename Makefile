.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 4
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
CORE_TESTS := $(wildcard $(addprefix tests/unit/,alerting ingestion monitoring notifications statistics storage)) \
	tests/integration/checks/test_without_deepchecks.py
# The judge of the statistics is the library itself; two make their rows and files with pandas; coverage takes long.
NOT_CORE := $(addprefix --ignore tests/unit/,statistics/test_library_judge.py ingestion/values/test_formats_agree.py \
	monitoring/test_noise_series.py statistics/test_coverage.py)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Tests start hundreds of processes: compiling all modules anew in each would double the time.
export PYTHONDONTWRITEBYTECODE :=

help:  ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

demo: .venv/.demo  ## Run the whole system on a year of real flights
	$(BIN)/dcmon demo $(ARGS)

test: .venv/.dev .venv-sdk/.ready  ## Run the tests of every day (Kafka's on a broker from a wheel)
	$(PYTEST) -m "not thorough" $(ARGS)
	$(MAKE) test-wheel

test-thorough: .venv/.dev .venv-sdk/.ready .venv-sdk-oldest/.tried  ## Run all tests, also those that take long: before a release
	$(PYTEST) --hypothesis-profile thorough $(ARGS)
	$(MAKE) test-wheel

test-wheel: .venv/.dev  ## Build the wheel and run the acceptance tests of an installation against it
	tests/wheel.sh

test-core:  ## Install dcmon without extras, on Python 3.13 if it is here, and run the tests that need none
	tests/core.sh -n $(WORKERS) --dist worksteal -m "not thorough" $(NOT_CORE) $(CORE_TESTS) $(ARGS)

test-kafka: .venv/.dev  ## Run the Kafka tests on Apache Kafka (needs Maven and Java 17)
	mvn -q -B -f tests/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory=target/jars
	DCMON_TEST_KAFKA=apache $(PYTEST) -m "kafka and not thorough" $(ARGS)

chaos: .venv/.dev  ## Kill everything 500 times while rows come in, or are watched, and compare (rows: needs Maven and Java 17; ARGS="--help")
	$(if $(findstring monitors,$(ARGS)),,mvn -q -B -f tests/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory=target/jars)
	$(BIN)/python -m tests.chaos $(ARGS)

lint: .venv/.dev  ## Check style, types and layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

reference: .venv/.dev  ## Write docs/commands.md and the man pages from the commands
	$(BIN)/python -m reference

bench: .venv/.dev  ## Measure: one JSON line per figure
	@$(BIN)/python -m benchmarks

clean:  ## Remove what was installed and built
	rm -rf .venv .venv-core .venv-sdk .venv-sdk-oldest .venv-wheel dist build tests/kafka/target

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.demo: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	@touch $@

.venv/.dev: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ .venv/.demo

# The official SDK pins exact versions of packages that dcmon uses too: it lives in an environment of its own.
.venv-sdk/.ready: tests/acceptance/sdk-requirements.txt
	$(PYTHON) -m venv .venv-sdk
	.venv-sdk/bin/python -m pip install --quiet --requirement $<
	@touch $@

# An old release can stop to install at any time: then its tests say so and are left out.
.venv-sdk-oldest/.tried: tests/acceptance/sdk-oldest-requirements.txt
	$(PYTHON) -m venv .venv-sdk-oldest
	.venv-sdk-oldest/bin/python -m pip install --quiet --requirement $< && touch .venv-sdk-oldest/.ready \
		|| echo "The oldest release of the SDK can't be installed here: its tests are left out."
	@touch $@

sdk-oldest: .venv-sdk-oldest/.tried  ## Install the oldest release of the SDK that works, for its tests

.PHONY: sdk-oldest help demo test test-thorough test-wheel test-core test-kafka chaos lint bench reference clean
