# make demo [SEED=n] | test | test-wheel | lint | docs | bench | dist | clean;  STACK=mm for upstream OpenMMLab instead of the OneDL line
SHELL := /bin/bash
STACK ?= onedl
SEED ?= 0
PYTHON ?= python3
VENV := $(if $(filter onedl,$(STACK)),.venv,.venv-$(STACK))
BIN := $(VENV)/bin
LOCKS := requirements/$(STACK).txt $(if $(filter Linux,$(shell uname -s)),requirements/linux.txt)
READY := $(VENV)/.ready
INSTALLED := $(VENV)/.installed

.PHONY: demo env test test-wheel lint docs bench dist clean

# the first target: what a bare make does
demo: $(INSTALLED)
	@$(BIN)/python tools/demo.py --seed $(SEED)

env: $(INSTALLED)

# The lock files are complete, so nothing is resolved: with --no-deps mmcv-lite cannot pull in a second MMEngine.
# The mark is written last: an interrupted installation starts over. The interpreter is looked up before the old
# environment goes, which may be the active one. The locks have wheels for all of these Pythons. uv compiles nothing, so
# that from Python 3.12 on the first command would show the SyntaxWarnings of these packages.
$(READY): $(LOCKS)
	@set -e; base=$$($(PYTHON) -c 'import sys; print(sys._base_executable)'); \
	"$$base" -c 'import sys; v = sys.version_info[:2]; last = $(if $(filter mm,$(STACK)),13,14); sys.exit(None if (3, 11) <= v <= (3, last) else f"Python 3.11 to 3.{last} is needed for STACK=$(STACK), $(PYTHON) is {v[0]}.{v[1]}: name another one with  make PYTHON=python3.13")'; \
	echo "Setting up $(VENV) (once; torch is large) ..."; \
	rm -rf $(VENV); \
	if command -v uv >/dev/null; then \
	    uv venv --quiet --python "$$base" $(VENV); \
	    uv pip install --quiet --python $(BIN)/python --no-deps $(addprefix -r ,$(LOCKS)); \
	    $(BIN)/python -W ignore -m compileall -q $(VENV)/lib/python*/site-packages/{mm*,mim,ot}; \
	else \
	    "$$base" -m venv $(VENV) || { rm -rf $(VENV); echo "python3 has no venv module: install it (Debian, Ubuntu: python3-venv) or uv"; exit 1; }; \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(addprefix -r ,$(LOCKS)); \
	fi
	@touch $@

# setuptools comes from the lock file: nothing is downloaded
$(INSTALLED): $(READY) setup.py
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

PYTEST := -m pytest -n auto --maxprocesses 4 --dist loadgroup
# what is the same on both lines of OpenMMLab is tested on the first
ONCE := tests/ops tests/doctor tests/visualization tests/test_docs.py tests/test_site.py tests/tools \
    tests/test_distributed.py tests/test_two_hosts.py tests/reports tests/evaluation/statistics tests/cli/test_estimate.py \
    $(patsubst %,tests/apis/test_%.py,graphs match) \
    $(patsubst %,tests/datasets/test_%.py,bombs dicom dicom_headers hostile_input) \
    $(patsubst %,tests/journeys/test_%.py,answer compose matrix mistakes notebook public swaps zoo)

test: $(INSTALLED)
	$(BIN)/python $(PYTEST) $(if $(filter onedl,$(STACK)),,$(addprefix --ignore ,$(ONCE)))

# The wheel, in an environment that had nothing in it and has nothing optional, used from a folder without the sources:
# what a user does with the commands, and that everything optional may be missing.
WHEEL_TESTS := tests/test_registry.py tests/test_configs.py tests/cli/test_cli.py tests/journeys/test_own.py \
    tests/datasets/test_dicom.py tests/models/test_segmentation.py
test-wheel:
	@$(MAKE) --no-print-directory STACK=minimal .venv-minimal/.ready
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; python="$$PWD/.venv-minimal/bin/python"; \
	rm -rf build; PYTHONWARNINGS=ignore $$python -m pip wheel --quiet --disable-pip-version-check --no-deps \
	    --no-build-isolation --wheel-dir "$$folder" .; rm -rf build; \
	$$python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps "$$folder"/otcxr_mm-*.whl; \
	mkdir "$$folder/else"; cp -r $(filter-out build otcxr_mm otcxr_mm.egg-info work_dirs data,$(wildcard *)) "$$folder/else"; \
	if [ -d ../shared/data ]; then export OTCXR_DATA="$${OTCXR_DATA:-$$(cd ../shared/data && pwd)}"; fi; \
	cd "$$folder/else"; $$python -m otcxr_mm doctor otcxr_r18_synthetic; \
	$$python $(PYTEST) $(WHEEL_TESTS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo --no-cache

# warnings are errors; the OneDL line's environment has Sphinx. Needs no network, and nor does the site
docs: $(INSTALLED)
	$(BIN)/python -m sphinx -W --keep-going -n -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

# runs all of them, prints a table, and fails if one fell short of its target
bench: $(INSTALLED)
	@rm -rf work_dirs/benchmarks; mkdir -p work_dirs/benchmarks
	@status=0; for f in $(filter-out %/methods.py,$(wildcard tools/benchmarks/[a-z]*.py)); do echo "$$f"; \
	    $(BIN)/python $$f --out work_dirs/benchmarks/$$(basename $$f .py).json || status=1; done; \
	    $(BIN)/python tools/benchmarks/_report.py work_dirs/benchmarks; exit $$status

# what a release uploads, of the last commit; the same bytes in any folder and at any time (docs/release.md)
dist: $(INSTALLED)
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; rm -rf dist; \
	git archive HEAD | tar -x -C "$$folder"; $(BIN)/python -m build --no-isolation --outdir dist "$$folder" >/dev/null; \
	cd dist; sha256sum *

clean:
	rm -rf .venv .venv-mm .venv-minimal build dist *.egg-info
