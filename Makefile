# Set-up, the whole check and the pipeline; everything lands in .venv of this folder.
PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
STAMP := $(VENV)/.installed
# Tests of a file share what they make; tests/conftest.py has the long files begin first.
PYTEST := pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help env repro evidence test check lint types contracts ui lock clean

help: ## List what there is to make
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

env: $(STAMP) ## Create or update the environment in .venv

$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 4))' || \
		{ echo "error: $$($(PYTHON) --version) found, 3.11.4 or newer needed: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@test -x $(VENV)/bin/uv || $(VENV)/bin/python -m pip install --quiet uv
	uv pip install --quiet --compile-bytecode --python $(VENV)/bin/python --require-hashes -r requirements.txt
	uv pip install --quiet --compile-bytecode --python $(VENV)/bin/python --no-deps --no-build-isolation --editable .
	@touch $@

repro: $(STAMP) ## Data, pipeline, registered model, and what came of it
	brain-tumor data ensure
	dvc repro
	brain-tumor registry sync
	@brain-tumor summary

evidence: $(STAMP) ## Both tracks of docs/evidence; hours, goes on where it ended
	brain-tumor data ensure
	dvc repro evidence/dvc.yaml

check: $(STAMP) lint types contracts ## The quick part of the check
	$(PYTEST) -m "not slow"

test: $(STAMP) lint types contracts ## The whole check
	$(PYTEST)

lint: $(STAMP)
	ruff format --check .
	ruff check .
	zizmor --offline --quiet .github

types: $(STAMP)
	mypy

contracts: $(STAMP)
	lint-imports

ui: $(STAMP) ## Compare runs at http://127.0.0.1:5000
	@test -f mlruns/mlflow.db || { echo "error: no runs yet: make repro" >&2; exit 1; }
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow ui -w 1 --backend-store-uri sqlite:///mlruns/mlflow.db

lock: $(STAMP) ## Compile requirements.txt from pyproject.toml, with hashes
	uv pip compile --quiet --universal --python-version 3.11.4 --generate-hashes --no-header \
		--extra pipeline --extra serve --extra cpu --extra dev --output-file requirements.txt pyproject.toml

clean: ## Remove the environment (data, outputs and runs stay)
	rm -rf $(VENV)
