# The two commands of the README are `make demo` and `make test`; each sets up all that it needs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Where scripts/setup-lab puts a Go toolchain on machines that have none.
export PATH := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/porter/go/bin:$(CURDIR)/.venv/bin:$(PATH):/usr/sbin:/sbin
export GOTOOLCHAIN := auto

.PHONY: help
help: ## Show the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: setup ## Run Porter on this machine: no root, no cluster.
	porter demo

.PHONY: test
test: setup setup-lab ## Run every check and every suite.
	scripts/test

.PHONY: chart
chart: setup setup-lab ## Check the Helm chart: lint, values, rendering, server-side dry-run.
	scripts/test chart

.PHONY: image-check
image-check: setup setup-lab ## Build the image's file system in a folder, and run Porter from it (root).
	scripts/image-check

.PHONY: bench
bench: setup setup-lab ## Measure, and print the tables.
	scripts/bench

.PHONY: soak
soak: setup setup-lab ## Let two faults strike at once, ROUNDS times, and look for a lost route (root).
	python -m tests.lab.soak --rounds $(or $(ROUNDS),30) $(if $(SEED),--seed $(SEED))
	python -m tests.lab.time_travel --changes 20000 --moments 60 --crashes 5 $(if $(SEED),--seed $(SEED))
	PORTER_CHURN_SEEDS=20 pytest tests/integration/bgp/test_churn.py

.PHONY: lint
lint: setup ## Run the static checks.
	scripts/lint

.PHONY: format
format: setup ## Format the code, and repair what can be repaired.
	ruff check --quiet --fix . scripts/test scripts/bench
	ruff format --quiet . scripts/test scripts/bench

.PHONY: lab-up
lab-up: setup setup-lab ## Put up a lab to play in, and leave it standing (root).
	python -m tests.lab.up up

.PHONY: lab-down
lab-down: setup ## Take that lab down (root).
	python -m tests.lab.up down

.PHONY: lock
lock: ## Resolve the lock files anew from pyproject.toml.
	scripts/lock

.PHONY: setup
setup: ## Make .venv with all dependencies; quick when nothing changed.
	@scripts/setup

.PHONY: setup-lab
setup-lab: ## Install what the lab needs beside Python (root).
	@scripts/setup-lab

.PHONY: clean
clean: ## Remove what was built here; the cache of the lab's programs stays.
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
