# make test   set up everything from nothing, run the tests
# make test-gpu   the tests that need CUDA, minutes
# make demo   set up, then run the main job on the embedded tiny world
# make check  format, lint, types, generated docs, the documentation's site
# make audit  known vulnerabilities of the installed packages (asks the package index)
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# Byte code is written when a module is first used: compiling every package at once took a minute of set-up.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: test test-slow test-gpu fuzz demo check audit format docs dist clean

$(READY): pyproject.toml
	@echo "Setting up $(VENV) (a few minutes, once)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --no-compile --quiet --disable-pip-version-check --editable '.[sweep,dev]'
	touch $@

test: $(READY)
	$(BIN)/pytest

test-slow: $(READY)
	$(BIN)/pytest -m slow

fuzz: $(READY)
	PYTHONPATH=tests $(BIN)/python -m damage.fuzz 1

test-gpu: $(READY)
	$(BIN)/pytest -m gpu

demo: $(READY)
	$(BIN)/omnicost sweep demo

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m omnicost.cli.reference --check docs/cli.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# In an environment of its own, so that it audits ours without being part of it
audit: $(READY)
	$(PYTHON) -m venv build/audit
	build/audit/bin/pip install --quiet --disable-pip-version-check pip-audit
	build/audit/bin/pip-audit --progress-spinner off --format json \
	  --path $$($(BIN)/python -c "import site; print(site.getsitepackages()[0])") | $(BIN)/python analysis/audit.py

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)
	$(BIN)/python -m omnicost.cli.reference --write docs/cli.md
	$(BIN)/python -m analysis.modules
	$(BIN)/python -m analysis --out analysis

# Distributions, as the index would take them
dist: $(READY)
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/twine check --strict dist/*

clean:
	rm -rf $(VENV) build dist *.egg-info
