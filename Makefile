# The one entry. Every target bootstraps .venv by itself.
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help demo test unit soak check format bench clean

help:
	@echo "make demo   place orders through three services on an embedded server"
	@echo "make test   run the test suite"
	@echo "make unit   the tests that need no server, in a quarter of a minute"
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

unit: .venv/.installed
	@$(BIN)/python -m pytest -n 2 tests/unit

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
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
