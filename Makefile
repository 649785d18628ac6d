# `make demo` and `make test` are all the set-up there is; `make help` lists the rest.

# The first of these that runs, is at least 3.11 and can make virtual environments. Override: make test PYTHON=/path/to/python
PYTHON ?= $(shell for p in python3.11 python3.13 python3.12 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt
INPUTS := setup.cfg pyproject.toml constraints.txt

PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal
# One file of each folder of tests, run with the devices, threads and optimisation that users have.
AS_USERS := $(addprefix tests/,test_model.py checking/test_stages.py cli/test_cli_end_to_end.py datasets/test_photo_patches.py \
	encoders/test_set_encoder.py evaluation/test_curves.py examples/test_examples.py experiments/test_soonest.py files/test_weights.py fitting/test_engine.py fuzz/test_fuzz.py \
	hypernetworks/test_low_rank.py inrs/test_siren.py inspection/test_pictures.py kinds/test_every_kind.py launching/test_launching.py \
	meta_learning/test_training_curve.py metrics/test_points.py neural_datasets/test_worker.py own_files/test_single_fit.py runtime/test_sharding.py \
	searching/test_vmapped.py training/test_loop.py)

.PHONY: help install demo test test-all test-as-users lint bench gpu-wheels constraints hooks

help:
	@echo 'make install      .venv with hyperinr, real photographs and plotting'
	@echo 'make demo         install, meta-train on photographs, evaluate, draw pictures (about 7 minutes on 2 cores)'
	@echo 'make test         install with test tools, run the tests; TESTS=tests/test_config.py for some of them'
	@echo 'make test-all     also the exhaustive ones, and one file of each folder in the environment that users have'
	@echo 'make lint         ruff and mypy, as CI runs them'
	@echo 'make bench        speed, as ratios measured in one process'
	@echo 'make gpu-wheels   wheels/ for a GPU machine without network: docs/gpu.md'
	@echo 'make hooks        install the pre-commit hooks (they run locally)'
	@echo 'make constraints  resolve constraints.txt anew'

$(BIN)/python:
	@test -n '$(PYTHON)' || { echo 'hyperinr needs Python 3.11 or newer with venv and pip (on Debian: apt install python3-venv)'; exit 2; }
	$(PYTHON) -m venv $(VENV)

# One stamp per set of extras; a changed requirement installs again.
$(VENV)/.install: $(BIN)/python $(INPUTS)
	$(PIP_INSTALL) -e '.[data,viz]'
	@touch $@

$(VENV)/.test: $(VENV)/.install
	$(PIP_INSTALL) -e '.[data,viz,torch,hdf5,ray,slurm,tune,signals,analysis,test]'
	@touch $@

$(VENV)/.dev: $(VENV)/.install
	$(PIP_INSTALL) -e '.[data,viz,dev]'
	@touch $@

# The tests without torch, for Pythons that have no CPU build of it.
$(VENV)/.newest: $(VENV)/.install
	$(PIP_INSTALL) -e '.[data,viz,signals,test]'
	@touch $@

install: $(VENV)/.install

demo: install
	$(BIN)/hyperinr train experiment/photo_patches_siren.gin --run runs/demo
	$(BIN)/hyperinr evaluate --run runs/demo --json runs/demo/evaluation.json

test: $(VENV)/.test
	$(PYTEST) -m 'not exhaustive' $(TESTS)

test-all: test
	$(PYTEST) -m exhaustive
	$(MAKE) test-as-users

test-as-users: $(VENV)/.test
	HYPERINR_TEST_AS_USERS=1 $(PYTEST) -m 'not exhaustive' $(AS_USERS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.test
	$(BIN)/python -m benchmarks.meta_training
	$(BIN)/python -m benchmarks.store
	$(BIN)/python -m benchmarks.fitting --systems hyperinr 'usual JAX'

gpu-wheels: $(BIN)/python
	$(BIN)/python tools/gpu_wheels.py wheels

hooks: $(VENV)/.dev
	$(BIN)/pre-commit install

constraints: $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --quiet uv
	$(BIN)/python tools/write_constraints.py
