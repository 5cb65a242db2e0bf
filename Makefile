# The one entry. Every target bootstraps .venv by itself.
PYTHON ?= python3
BIN := .venv/bin
NEWEST ?= $(shell .ci/newest-python)
.DEFAULT_GOAL := help
.PHONY: help demo test unit newest coverage soak check format bench clean

help:
	@echo "make demo   place orders through three services on an embedded server"
	@echo "make test   run the test suite"
	@echo "make unit   the tests that need no server, in a quarter of a minute"
	@echo "make newest the unit and conformance wings on the newest Python here; NEWEST=python3.14 names one"
	@echo "make coverage  the floor of each room, over the unit, conformance and integration wings"
	@echo "make soak   the fault plan at full size; SECONDS=60 COUNT=100000 bound each row of it"
	@echo "make check  ruff, mypy --strict, import-linter"
	@echo "make bench  an overview of every measurement and target, in a few minutes"

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "servicebus needs Python 3.11 or newer; set PYTHON=python3.11 or later"; exit 1; }
	@echo "creating .venv (about half a minute)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: .venv/.installed
	@$(BIN)/servicebus demo

test: .venv/.installed
	@$(BIN)/python -m pytest -n 3 --dist loadgroup

# In asyncio's debug mode: a coroutine that nothing awaits, and a call from the wrong thread, fail their test.
# Properties are tried on 25 examples each, on 100 in `make test`, so that this takes a quarter of a minute.
unit: .venv/.installed
	@PYTHONASYNCIODEBUG=1 HYPOTHESIS_PROFILE=quick $(BIN)/python -m pytest -n 2 --dist loadgroup tests/unit

# In a virtual environment of its own, made anew when the dependencies change.
newest:
	@$(NEWEST) -c 'import sys; sys.exit(sys.version_info < (3, 12))' || \
		{ echo "no Python newer than 3.11 here: set NEWEST=python3.12 or later"; exit 1; }
	@$(NEWEST) -c 'import sys; print("on Python", sys.version.partition(" ")[0])'
	@[ .venv-newest/.installed -nt pyproject.toml ] && [ .venv-newest/.installed -nt constraints.txt ] || \
		{ $(NEWEST) -m venv --clear .venv-newest && \
		.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]' && \
		touch .venv-newest/.installed; }
	@.venv-newest/bin/python -m pytest -n 3 --dist loadgroup tests/unit tests/conformance

coverage: .venv/.installed
	@rm -rf .coverage && mkdir .coverage
	@$(BIN)/python -m coverage run -m pytest -n 3 --dist loadgroup tests/unit tests/conformance tests/integration
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage json --quiet -o .coverage/report.json
	@$(BIN)/python -m tests.support.house.coverage_floors < .coverage/report.json

soak: .venv/.installed
	@SERVICEBUS_SOAK=1 SERVICEBUS_SOAK_SECONDS=$(SECONDS) SERVICEBUS_SOAK_COUNT=$(COUNT) \
		$(BIN)/python -m pytest -m row -o faulthandler_timeout=0

check: .venv/.installed
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: .venv/.installed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: .venv/.installed
	@$(BIN)/python -m bench all --quick

clean:
	rm -rf .venv .venv-newest .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis
