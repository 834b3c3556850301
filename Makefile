# Two commands are all a newcomer needs: `make rehearse` and `make test`. Each sets up what it needs below this folder.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
PIP     = $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: rehearse test lint style types tests lock benchmark benchmark-load benchmark-gates benchmark-real clean

rehearse: $(VENV)/.installed  ## the main job: a canary of a really trained model, on virtual time
	$(BIN)/harness run scenarios/canary_regression.yaml

test: style  ## style, types, layers and every test
	@$(MAKE) --no-print-directory --jobs=2 --keep-going types tests  # mypy needs one core only, and a minute

lint: style types

style: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.installed-dev
	$(BIN)/mypy

tests: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --dist worksteal

benchmark: $(VENV)/.installed-dev  ## the simulator against SimPy, replays against their traces, A/B decisions against fixed tests, the loop on Elec2, searches for capacity
	$(BIN)/python benchmarks/simulator.py
	$(BIN)/python benchmarks/replay.py
	$(BIN)/python benchmarks/ab_test.py
	$(BIN)/python benchmarks/elec2_loop.py
	$(BIN)/python benchmarks/capacity.py

# Peers from Debian (nginx, wrk, hey, apache2-utils), and, from PyPI, Locust and mlserver in environments of their own.
# A goal that is missed ends a script with 1, and the others run all the same.
benchmark-load: $(VENV)/.installed-dev  ## load tests and the model server against their peers, and against the truth
	-$(BIN)/python benchmarks/load.py
	-$(BIN)/python benchmarks/load_stall.py
	-$(BIN)/python benchmarks/load_lag.py
	-$(BIN)/python benchmarks/load_queue.py
	-$(BIN)/python benchmarks/load_capacity.py
	-$(BIN)/python benchmarks/load_endpoints.py
	-$(BIN)/python benchmarks/load_workers.py
	-$(BIN)/python benchmarks/load_memory.py
	-$(BIN)/python benchmarks/serve.py

# Evidently comes from PyPI into an environment of its own; PostgreSQL from Debian.
benchmark-gates: $(VENV)/.installed-dev  ## drift against Evidently and scipy, its level and power, registrations at once and killed
	-$(BIN)/python benchmarks/drift.py
	-$(BIN)/python benchmarks/drift_power.py
	-$(BIN)/python benchmarks/drift_detectors.py
	-$(BIN)/python benchmarks/registry.py

# HAProxy and Prometheus come from Debian.
benchmark-real: $(VENV)/.installed-dev  ## rollouts of real processes, fifty killed harnesses, outages, and the routers held against each other
	-$(BIN)/python benchmarks/real.py
	-$(BIN)/python benchmarks/crashes.py
	-$(BIN)/python benchmarks/outages.py
	-$(BIN)/python benchmarks/gateways.py

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v < (3, 14) or sys.exit("harness needs CPython 3.11 to 3.13; $(PYTHON) is %d.%d: name another one with make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.python requirements.lock pyproject.toml
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

# Every pinned version, with hashes, for every supported Python and platform at once. Needs uv.
COMPILE = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header
lock:
	printf 'hatchling\neditables\n' | $(COMPILE) pyproject.toml - --output-file requirements.lock
	printf 'hatchling\neditables\n' | $(COMPILE) pyproject.toml - --extra dev --extra dask --extra dvc --extra kubernetes --extra mlflow --extra parquet --extra postgresql --constraints requirements.lock --output-file requirements-dev.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
