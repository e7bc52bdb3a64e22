# make demo   the whole story on loopback services; no key, no Docker
# make test   everything the tests need, then all tests
# Both make their own environment in .venv, with uv where it is installed and with venv + pip where it is not.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(shell command -v uv 2>/dev/null)

.PHONY: demo test unit lint format bench docs clean

demo: $(VENV)/.installed
	@$(BIN)/standpipe demo

test: $(VENV)/.developer
	$(BIN)/pytest -n 2 --dist loadfile tests
	$(BIN)/pytest -q -p no:randomly README.md docs src

unit: $(VENV)/.developer
	$(BIN)/pytest -q tests/unit

lint: $(VENV)/.developer
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(VENV)/.developer
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.developer
	$(BIN)/python benchmarks/gate.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/loops.py
	$(BIN)/python benchmarks/fingerprint.py
	$(BIN)/python benchmarks/failures.py --quick
	$(BIN)/python benchmarks/journal.py --quick
	$(BIN)/python benchmarks/runs.py
	$(BIN)/python benchmarks/chaos.py --kills 20 --alone

docs: $(VENV)/.developer
	$(BIN)/cog -r README.md ARCHITECTURE.md docs/failures.md docs/reference/*.md

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "standpipe needs Python 3.11 or newer; hint: make demo PYTHON=python3.12" >&2; exit 2; }
	@echo "installing standpipe into $(VENV) (the first time this takes about a minute)" >&2
ifdef UV
	@test -x $(BIN)/python || $(UV) venv -q --python $(PYTHON) $(VENV)
	@$(UV) pip install -q --python $(BIN)/python -e .
else
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --version | grep -qE '^pip (2[5-9]\.[1-9]|2[6-9]|[3-9][0-9])' || \
	  $(BIN)/python -m pip install -q --disable-pip-version-check -U 'pip>=25.1'
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e .
endif
	@touch $@

$(VENV)/.developer: $(VENV)/.installed pyproject.toml
	@echo "installing what the tests need into $(VENV)" >&2
ifdef UV
	@$(UV) pip install -q --python $(BIN)/python --group dev
else
	@$(BIN)/python -m pip install -q --disable-pip-version-check --group dev
endif
	@touch $@

clean:
	rm -rf $(VENV) dist .pytest_cache .ruff_cache .hypothesis
