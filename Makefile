# Everything is done inside .venv; each target makes what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# What the runner is tried on, alone: old libraries in an environment, and the oldest Python in a root of its own.
DEVICE := .venv-device
PY39 := build/py39
APT := DEBIAN_FRONTEND=noninteractive apt-get -qq

.PHONY: help install demo test test-py39 drills docs lint bench clean

help:  ## Show these targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP)  ## Make .venv with edgetl and the tried set of libraries

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install  ## Distill, quantize, export, prove, measure: the whole chain on handwritten digits
	$(BIN)/edgetl run --out runs/digits-mobilenetv2

# One thread each: on networks of a few thousand weights a second one only waits for the first.
test: lint $(DEVICE)/.installed  ## Lint, type-check and run the tests, on two cores
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadscope --no-loadscope-reorder

$(DEVICE)/.installed: tests/runner/device.txt | $(STAMP)
	$(BIN)/python -m venv --clear --without-pip $(DEVICE)
	$(PIP) --python $(DEVICE)/bin/python install --requirement tests/runner/device.txt
	touch $@

test-py39: install $(PY39)/.installed  ## Run the runner on Debian bullseye's Python 3.9 (as root, on Debian or Ubuntu)
	$(BIN)/pytest -m py39 tests/runner

# The libraries are put there from outside: the root needs neither pip nor a way to the registries.
$(PY39)/.installed: tests/runner/py39.txt | $(STAMP)
	command -v debootstrap >/dev/null || \
	  { $(APT) update && $(APT) install --no-install-recommends debootstrap debian-archive-keyring >/dev/null; }
	rm -rf $(PY39) && mkdir -p $(PY39)
	debootstrap --variant=minbase --include=python3 bullseye $(PY39) >/dev/null
	$(PIP) install --target $(PY39)/usr/local/lib/python3.9/dist-packages --python-version 3.9 --only-binary :all: \
	  $(foreach libc,manylinux2014 manylinux_2_27 manylinux_2_28,--platform $(libc)_$(shell uname -m)) \
	  --requirement tests/runner/py39.txt
	touch $@

drills: install  ## Kill it, fill its disk, damage its files: minutes of faults that it survives
	$(BIN)/pytest -m drill tests

docs: install  ## Build the documentation as a site, in build/docs
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs build/docs

lint: install  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/vermin --quiet --no-tips --target=3.9- --violations edgetl/runner

bench: install  ## Measure what the project promises; results go to benchmarks/results
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/chain.py
	$(BIN)/python benchmarks/steps.py
	$(BIN)/python benchmarks/qat.py

clean:  ## Remove the environment and everything made
	rm -rf $(VENV) $(DEVICE) runs build dist .mypy_cache .pytest_cache .ruff_cache
