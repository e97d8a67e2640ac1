# Each target sets up .venv by itself. PYTHON=python3.12 make demo uses another interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Processes that share the tests, a file at a time: long files first, quick ones last. Three keep two cores busy, because
# tests that start services mostly wait.
WORKERS ?= 3
SPREAD := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help install demo year test proofs check format ui clean lock schema

help: ## Show what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

install: $(READY) ## Create .venv from the lock

# The lock names every version; torch comes first and by itself, as the platform's normal build of the locked version.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' requirements.lock)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(READY)

demo: $(READY) ## Run the sample task: from data to a registered model
	$(BIN)/playbook run tickets

year: $(READY) ## Replay the sample task in production: drift, retraining, promotion
	$(BIN)/python -m pipelines.year

test: $(READY) ## Run all tests, in a random order that the first lines name
	.ci/in-memory $(BIN)/python -m pytest $(SPREAD)

proofs: $(READY) ## Run the slow proofs, on real data
	PLAYBOOK_THREADS=2 OMP_NUM_THREADS=2 $(BIN)/python -m pytest -m proof

check: $(READY) ## Lint, types, import rules, task file schema
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/playbook schema | cmp - playbook/task.schema.json

format: $(READY) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schema: $(READY) ## Write the task file's JSON Schema again
	$(BIN)/playbook schema > playbook/task.schema.json

ui: $(READY) ## Start Dagster's and MLflow's pages on this machine
	$(BIN)/python -m pipelines.ui

lock: ## Resolve pyproject.toml into a new requirements.lock
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet "$$(grep '^torch==' requirements.lock)"
	build/lock/bin/python -m pip install --quiet --editable '.[embedded,dev]'
	build/lock/bin/python -m pip freeze --exclude-editable | sed -E 's/\+cpu$$//' | grep -vE '^(nvidia|triton)' > requirements.new
	(sed -n '/^#/p' requirements.lock; cat requirements.new) > requirements.part
	mv requirements.part requirements.lock && rm requirements.new

clean: ## Remove the environment and all state of runs
	rm -rf $(VENV) .playbook build data/tickets/raw data/tickets/prepared
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
