# All that a fresh clone needs is make and Python 3.11 to 3.13.
PYTHON ?= python3
PYTEST_ARGS ?= -n auto --maxprocesses 4
TEST_EXTRAS ?= test,dev
DATA ?= data
JOBS ?= 2
# Those of the grid methods that need no data but UTD-MHAD's.
TABLES ?= simulated,simulated_camera,cross_subject,even_to_odd,few_labels,trial_split,leave_one_subject_out

VENV := .venv
BIN := $(VENV)/bin
INSTALL = { test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV); } && \
	echo "Installing into $(VENV), a few minutes the first time" && \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# What tables and pages are made of, in the folder of a grid.
KEPT := grid.yaml grid.json cells/*/*/*/*.json cells/*/*/*/*.jsonl cells/*/*/*/recipe.yaml \
	cells/*/*/*/predictions

.DEFAULT_GOAL := help
.PHONY: help demo test lint results tables litert clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.run ## Install, then train the whole method on simulated data
	$(BIN)/pskd demo

test: lint ## Install what tests need, then run lint, types and tests
	OMP_NUM_THREADS=1 $(BIN)/pytest $(PYTEST_ARGS)

lint: $(VENV)/.test ## Check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

results: $(VENV)/.run ## Train the tables of results/ with UTD-MHAD in DATA, JOBS cells at a time
	$(BIN)/pskd compare tuning --data-root $(DATA) --jobs $(JOBS) --json > results/tuning.json
	$(BIN)/pskd compare methods --tables $(TABLES) --data-root $(DATA) --jobs $(JOBS) --json \
		> results/methods.json
	$(BIN)/pskd compare ablations --data-root $(DATA) --jobs $(JOBS) --json > results/ablations.json
	$(BIN)/pskd compare few-labels --data-root $(DATA) --jobs $(JOBS) --json > results/few-labels.json
	set -e; for grid in tuning methods ablations few-labels; do \
		for table in runs/$$grid/*.md runs/$$grid/*.tex; do \
			cp $$table results/$$grid-$$(basename $$table); done; \
		kept=$(CURDIR)/results/cells/$$grid; \
		(cd runs/$$grid && XZ_OPT=-9e tar -cJf $$kept.part $(KEPT)); \
		rm -f $$kept*.tar.xz; mv $$kept.part $$kept.tar.xz; done

tables: $(VENV)/.run ## Make tables of results/ again from the predictions kept there, without training
	set -e; for kept in results/cells/*.tar.xz; do folder=runs/kept/$$(basename $$kept .tar.xz); \
		rm -rf $$folder; mkdir -p $$folder; tar -xf $$kept -C $$folder; $(BIN)/pskd report $$folder; done

litert: $(VENV)/.litert ## Install what makes LiteRT exports, 2 GB, in an environment below the other

clean: ## Remove the environment and all caches; runs and data stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps lie in the environment, so that they go with it.
$(VENV)/.run: pyproject.toml constraints.txt
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt
	@$(INSTALL) --editable '.[$(TEST_EXTRAS)]'
	@touch $@ $(VENV)/.run

# Of the same torch, which writes the programs that it reads.
$(VENV)/.litert: $(VENV)/.run
	@$(INSTALL) --editable '.[litert]'
	@$(BIN)/python -m venv $(VENV)/litert && echo "Installing litert-torch into $(VENV)/litert"
	@$(VENV)/litert/bin/python -m pip install --quiet --disable-pip-version-check \
		litert-torch==0.10.0 $$(grep ^torch== constraints.txt)
	@touch $@
