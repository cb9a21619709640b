# make movie | make test | make check | make bench NAME=codecs
PYTHON ?= python3
PLOT ?= waves roll in at dusk, a soft wind, salt on the lips
SECONDS ?= 20
NAME ?= speed
DATA ?= ../shared
BIN := .venv/bin

# A plot is a stranger's text: it reaches the program through the environment, as it was typed (`value`), and is never
# pasted into a recipe line.
export STALE_DIFFUSION_PLOT := $(value PLOT)
export STALE_DIFFUSION_SECONDS := $(value SECONDS)
export DATA TRAIN

.PHONY: movie test check lint bench clean

movie: .venv/movie
	$(BIN)/stale-diffusion generate --output out/movie.mkv --sheet out/movie.png

test: .venv/test
	$(BIN)/python -m pytest

check: lint test

lint: .venv/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/bench
	$(BIN)/python benchmarks/$(NAME).py

clean:
	rm -rf .venv out

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; $(PYTHON) is older. Set PYTHON=python3.11, or: sudo apt install python3"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "Python's venv is missing. On Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/movie: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

.venv/test .venv/lint .venv/bench: .venv/%: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[$*]"
	@touch $@
