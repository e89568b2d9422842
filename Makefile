# `make run` and `make test` set up everything that they need: a virtual environment with pinned packages, and nothing outside it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
RUNTIME := $(VENV)/.runtime
DEVELOPMENT := $(VENV)/.development
export HF_HUB_OFFLINE ?= 1

.PHONY: run test check format bench model setup clean

run: $(RUNTIME)
	@exec $(BIN)/marquetry serve $(ARGS)

test: $(DEVELOPMENT)
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

check: $(DEVELOPMENT)
	$(BIN)/ruff format --check marquetry tests
	$(BIN)/ruff check marquetry tests
	$(BIN)/mypy marquetry tests
	$(BIN)/python -m pytest tests/test_house.py

format: $(DEVELOPMENT)
	$(BIN)/ruff format marquetry tests
	$(BIN)/ruff check --fix marquetry tests

# Every benchmark, or those named: make bench ARGS="engine startup".
bench: $(DEVELOPMENT)
	$(BIN)/marquetry bench $(or $(ARGS),engine job_queue ledger http_prompts startup first_image sharing memory save_png lora_switch quote)

# Trains the built-in model again from nothing.
model: $(DEVELOPMENT)
	$(BIN)/marquetry train builtin $(ARGS)

setup: $(DEVELOPMENT)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Marquetry needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

# torch first and pinned: any later package that asks for "torch" then keeps this build.
$(RUNTIME): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "torch==2.13.0"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(DEVELOPMENT): $(RUNTIME)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
