# make test   set up everything from nothing, run the tests
# make demo   set up, then run the main job on the embedded tiny world
# make check  format, lint, types, generated docs
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: test test-slow demo check format docs clean

$(READY): pyproject.toml
	@echo "Setting up $(VENV) (a few minutes, once)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[sweep,dev]'
	touch $@

test: $(READY)
	$(BIN)/pytest

test-slow: $(READY)
	$(BIN)/pytest -m slow

demo: $(READY)
	$(BIN)/omnicost sweep demo

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m omnicost.cli.reference --check docs/cli.md

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)
	$(BIN)/python -m omnicost.cli.reference --write docs/cli.md
	$(BIN)/python -m analysis --out analysis

clean:
	rm -rf $(VENV) build dist *.egg-info
