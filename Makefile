# Every target sets up what it needs, once, in .venv; `make help` lists them.

VENV := .venv
BIN := $(VENV)/bin
INSTRUMENT := $(BIN)/instrument
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-header --no-emit-index-url \
	--override requirements/not-torch.txt

# Stamps: set-up runs again only when what it rests on has changed.
PACKAGE := $(VENV)/package-installed
DEV := $(VENV)/dev-installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-again test-faults test-all lint format bench docs lock clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(PACKAGE)  ## Train and evaluate a real model, then show what was recorded
	$(BIN)/python examples/quickstart.py
	@echo; echo '== instrument runs list'; $(INSTRUMENT) runs list
	@echo; echo '== instrument runs show latest'; $(INSTRUMENT) runs show latest
	@echo; echo '== instrument lineage eval-digits-classifier-on-digits'
	@$(INSTRUMENT) lineage eval-digits-classifier-on-digits
	@echo; echo '== instrument verify'; $(INSTRUMENT) verify
	@echo; echo 'Look further: `source $(BIN)/activate`, then any of the commands above,'
	@echo '`instrument artifacts list`, `instrument --help`, and README.md.'

# Where a test stands that no signal reaches any more is printed after five minutes.
test: $(DEV)  ## Run the tests but for the slow ones: about 10 minutes on 2 cores
	$(PYTEST) -m 'not slow and not gpu' -o faulthandler_timeout=300

test-again: $(DEV)  ## Run the tests that failed, one after another
	$(BIN)/python -m pytest --last-failed --last-failed-no-failures none -m 'not slow and not gpu'

test-faults: $(DEV)  ## Kill processes and inject faults, at full length
	$(PYTEST) --dist worksteal -m faults

test-all: $(DEV)  ## Run all tests that need no GPU
	$(PYTEST) -m 'not gpu'

lint: $(DEV)  ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(DEV)  ## Put the code into the one format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/made  ## Measure beside the peers, each in its environment; ROWS=imports,load
	PYTHONPATH=tests $(BIN)/python -m benchmarks $(if $(ROWS),--rows $(ROWS))

docs: $(DEV)  ## Write the documents that are made from the code
	$(BIN)/python docs/store_format.py

lock: $(DEV)  ## Choose new versions of everything that is installed
	$(LOCK) --upgrade requirements/demo.in --output-file requirements/demo.txt
	$(LOCK) --upgrade requirements/dev.in --constraint requirements/demo.txt \
		--output-file requirements/dev.txt

clean:  ## Remove what the targets made; recorded runs stay
	rm -rf $(VENV) .bench build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Any Python from 3.11 on, or the one named by `make PYTHON=...`.
$(VENV)/made:
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "$(VENV): $$($$python --version)"; \
	        $$python -m venv --clear $(VENV) && touch $@; exit; \
	    fi; \
	done; \
	echo 'error: no Python 3.11 or newer found; install one, or name it: make PYTHON=...' >&2; \
	exit 1

$(VENV)/demo-installed: $(VENV)/made requirements/demo.txt requirements/torch.txt
	$(INSTALL) --require-hashes --requirement requirements/demo.txt
	$(INSTALL) --requirement requirements/torch.txt
	@touch $@

$(PACKAGE): $(VENV)/demo-installed pyproject.toml
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): $(PACKAGE) requirements/dev.txt
	$(INSTALL) --require-hashes --requirement requirements/dev.txt
	@touch $@
