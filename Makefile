.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help:  ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

demo: .venv/.demo  ## Run the whole system on a year of real flights
	$(BIN)/dcmon demo $(ARGS)

test: .venv/.dev .venv-sdk/.ready  ## Run all tests (Kafka's on a broker from a wheel)
	$(BIN)/python -m pytest $(ARGS)
	$(MAKE) test-wheel

test-wheel: .venv/.dev  ## Build the wheel and run the acceptance tests of an installation against it
	tests/wheel.sh

test-kafka: .venv/.dev  ## Run the Kafka tests on Apache Kafka (needs Maven and Java 17)
	mvn -q -B -f tests/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory=target/jars
	DCMON_TEST_KAFKA=apache $(BIN)/python -m pytest -m kafka $(ARGS)

chaos: .venv/.dev  ## Kill everything 500 times while rows come in, or are watched, and compare (rows: needs Maven and Java 17; ARGS="--help")
	$(if $(findstring monitors,$(ARGS)),,mvn -q -B -f tests/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory=target/jars)
	$(BIN)/python -m tests.chaos $(ARGS)

lint: .venv/.dev  ## Check style, types and layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.dev  ## Measure: one JSON line per figure
	@$(BIN)/python -m benchmarks

clean:  ## Remove what was installed and built
	rm -rf .venv .venv-sdk .venv-wheel dist build tests/kafka/target

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

.PHONY: help demo test test-wheel test-kafka chaos lint bench clean
