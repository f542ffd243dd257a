# make quickstart and make test do all the set-up themselves: system libraries, .venv, the package.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

.PHONY: help install quickstart test test-fast lint coverage help-texts figures benchmarks clean

help:
	@echo "make quickstart   prepare, pretrain, probe and report on built-in shapes (about five minutes)"
	@echo "make test         lint, then all tests"
	@echo "make test-fast    all tests that take less than about a second (under two minutes)"
	@echo "make lint         style, types and import contracts"
	@echo "make coverage     all tests, with the lines that they miss"
	@echo "make help-texts   write the help texts of the trainers anew, after a change of their options"
	@echo "make benchmarks   measure against the alternatives, into benchmarks/results"
	@echo "make figures      draw the pictures of quantized shapes and images anew"
	@echo "make install      only set up $(VENV)"
	@echo "make clean        remove $(VENV) and the quick start"

install: $(VENV)/.installed

$(VENV)/.installed: setup.py pcrq/cpu_kernels.cpp data_prep/rasterizer.cpp
	sh install/debian_libraries.sh $(PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[all,dev]"
	touch $@

quickstart: install
	$(BIN)/pcrq quickstart --out quickstart

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

test: lint
	$(PYTEST)

test-fast: install
	$(PYTEST) -m "not slow and not medium"

coverage: install
	$(PYTEST) --cov --cov-report=term-missing:skip-covered

help-texts: install
	$(BIN)/python -m projects.cli.write_help

benchmarks: install
	$(BIN)/python -m benchmarks --out benchmarks/results

figures: install
	$(BIN)/python docs/draw_figures.py

clean:
	rm -rf $(VENV) quickstart
