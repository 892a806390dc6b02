# Two commands: `make demo` shows Self-MoE on the shipped base, `make test` checks everything.
# Needs Python 3.11 or newer; everything is installed into .venv, nothing else is touched.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH := torch==2.13.0
STAMP := $(VENV)/installed-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)

BIOMED := plugins/selfmoe-domain-biomed

.PHONY: demo test docs install clean

demo: install
	$(BIN)/selfmoe run --preset demo --out runs/demo

test: install $(VENV)/biomed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

docs: install
	$(BIN)/python docs/update.py
	$(BIN)/sphinx-build -W -b html docs docs/_build

install: $(STAMP)

# torch goes first and alone, by exact pin, so that a CPU wheel is taken where there is one.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'selfmoe needs Python 3.11 or newer')"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	rm -f $(VENV)/installed-*
	touch $(STAMP)

# The example of a third party's plugin is tested as one: installed from its own distribution.
$(VENV)/biomed: $(STAMP) $(BIOMED)/pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e $(BIOMED)
	touch $@

clean:
	rm -rf $(VENV) build dist docs/_build *.egg-info plugins/*/build plugins/*/*.egg-info .mypy_cache .ruff_cache .pytest_cache
