# Everything is done inside .venv; each target makes what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help install demo test drills lint bench clean

help:  ## Show these targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP)  ## Make .venv with edgetl and the tried set of libraries

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install  ## Distill, quantize, export, prove, measure: the whole chain on handwritten digits
	$(BIN)/edgetl run --out runs/digits-mobilenetv2

test: lint  ## Lint, type-check and run the tests
	$(BIN)/pytest

drills: install  ## Kill it, fill its disk, damage its files: minutes of faults that it survives
	$(BIN)/pytest -m drill tests/drills

lint: install  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install  ## Measure what the project promises; results go to benchmarks/results
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/chain.py
	$(BIN)/python benchmarks/steps.py
	$(BIN)/python benchmarks/qat.py

clean:  ## Remove the environment and everything made
	rm -rf $(VENV) runs build dist .mypy_cache .pytest_cache .ruff_cache
