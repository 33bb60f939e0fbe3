# make test | lint | bench | clean;  STACK=mm for upstream OpenMMLab instead of the OneDL line
SHELL := /bin/bash
STACK ?= onedl
PYTHON ?= python3
VENV := $(if $(filter onedl,$(STACK)),.venv,.venv-$(STACK))
BIN := $(VENV)/bin
LOCKS := requirements/$(STACK).txt $(if $(filter Linux,$(shell uname -s)),requirements/linux.txt)
READY := $(VENV)/.ready

.PHONY: env test lint bench clean

env: $(READY)

# The lock files are complete, so nothing is resolved: with --no-deps mmcv-lite cannot pull in a second MMEngine.
# The mark is written last: an interrupted installation starts over.
$(READY): $(LOCKS) setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v in ((3, 11), (3, 12)) else f"Python 3.11 or 3.12 is needed, $(PYTHON) is {v[0]}.{v[1]}: name another one with  make PYTHON=python3.12")'
	@rm -rf $(VENV)
	@echo "Setting up $(VENV) (once; torch is large) ..."
	@set -e; if command -v uv >/dev/null; then \
	    uv venv --quiet --python "$$(command -v $(PYTHON))" $(VENV); \
	    uv pip install --quiet --python $(BIN)/python --no-deps $(addprefix -r ,$(LOCKS)); \
	    uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .; \
	else \
	    $(PYTHON) -m venv $(VENV) || { echo "python3 has no venv module: install it (Debian, Ubuntu: python3-venv) or uv"; exit 1; }; \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(addprefix -r ,$(LOCKS)); \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	fi
	@touch $@

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(READY)
	@mkdir -p work_dirs/benchmarks
	@set -e; for f in tools/benchmarks/[a-z]*.py; do $(BIN)/python $$f --out work_dirs/benchmarks/$$(basename $$f .py).json; done

clean:
	rm -rf .venv .venv-mm build *.egg-info
