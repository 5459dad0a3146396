# Two commands for a fresh machine with only Python and make: `make demo` and `make test`.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help install install-dev demo test slow bench lint docs clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; run: make PYTHON=/path/to/python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install --quiet --constraint constraints.txt --editable '.[dev,docs]'
	@touch $@

install: $(VENV)/.installed  ## the environment, with hneurons in it

install-dev: $(VENV)/.installed-dev  ## the same with everything for development

demo: install  ## find the H-Neurons of the bundled model, turn and trace them; writes runs/demo
	$(BIN)/hneurons demo --out runs/demo

test: install-dev  ## the tests
	$(BIN)/python -m pytest

slow: install-dev  ## the tests that take long
	$(BIN)/python -m pytest -m slow

bench: install-dev  ## all benchmarks, into benchmarks/RESULTS.md, in half an hour; QUICK=1, FRESH=1, DATA=folder, RUN=folder
	$(BIN)/python benchmarks/run.py $(if $(QUICK),--quick) $(if $(FRESH),--fresh) $(if $(DATA),--data $(DATA)) $(if $(RUN),--run $(RUN))

cluster: install-dev  ## a real Ray cluster on this machine, its workers killed
	$(BIN)/python -m pytest -m slow tests/study/cluster

lint: install-dev  ## style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: install-dev  ## the documentation, in site/
	$(BIN)/mkdocs build --strict

clean:  ## everything that was made
	rm -rf $(VENV) runs site
