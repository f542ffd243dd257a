# make quickstart and make test do all the set-up themselves: system libraries, .venv, the package.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help install quickstart test lint figures benchmarks clean

help:
	@echo "make quickstart   prepare, pretrain, probe and report on built-in shapes (about five minutes)"
	@echo "make test         check style, floors and behaviour"
	@echo "make benchmarks   measure against the alternatives, on this machine"
	@echo "make figures      draw the README's picture anew"
	@echo "make install      only set up $(VENV)"
	@echo "make clean        remove $(VENV) and the quick start"

install: $(VENV)/.installed

$(VENV)/.installed: setup.py
	sh install/debian_libraries.sh $(PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[all]"
	touch $@

quickstart: install
	$(BIN)/pcrq quickstart --out quickstart

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

benchmarks: install
	for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

figures: install
	$(BIN)/python docs/draw_figures.py

clean:
	rm -rf $(VENV) quickstart
