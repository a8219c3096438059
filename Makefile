# Needs python3 (3.11 or later), git and make; the rest sets itself up in .venv.
PYTHON ?= python3
# Two workers a processor, and four at the least: a test often waits for git, a server or
# another process.
WORKERS = $(shell $(PYTHON) -c "import os; print(min(16, max(4, 2 * (os.cpu_count() or 1))))")
PYTEST_ARGS ?= -n $(WORKERS) --dist worksteal
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
READY := .venv/.ready
ENGINE := {{cookiecutter.project_slug}}

# Libraries and engine are compiled by the first process that imports them, and kept: to
# compile all of 30,000 modules takes longer than what is imported. Some machines keep
# Python from writing what it has compiled.
unexport PYTHONDONTWRITEBYTECODE
# Caches stay out of the tree that is generated from.
export MYPY_CACHE_DIR = $(CURDIR)/.mypy_cache
export RUFF_CACHE_DIR = $(CURDIR)/.ruff_cache
export PATH := $(abspath $(BIN)):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup demo upgrade test test-system test-generation mutate lint types \
  types-engine lock schema reference engine-digest bench clean

help: ## Show this list
	@echo "make setup   install the locked environment into .venv"
	@echo "make demo    play the life of a generated repository, in demo/"
	@echo "make test    lint, types and every test"
	@echo "make test-system  tests that need Chromium, git-lfs or ssh-keygen, and what is missing"
	@echo "make mutate  mutants of the code that decides, which no test notices (hours)"
	@echo "make lint    lint and types only"
	@echo "make lock    compile the lock files (UPGRADE=1 to take newer versions)"
	@echo "make schema  write the JSON Schemas of model.yaml and the manifest"
	@echo "make reference  write docs/reference from the code"
	@echo "make engine-digest  record the digests of the engine's files"
	@echo "make bench   measure what the README quotes"
	@echo "make upgrade REPO=FOLDER   bring what is new into a generated repository"
	@echo "make clean   remove what these commands made"

setup: $(READY)

# uv itself is in the lock: pip installs it by its hashes, uv installs the rest by theirs.
$(READY): requirements-dev.txt
	@test -d .venv || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11 ...")'
	@test -d .venv || { echo "1 of 3: making .venv with $(PYTHON)"; $(PYTHON) -m venv .venv; }
	@echo "2 of 3: installing uv, which installs the rest"
	@sed -n '/^uv==/,/[^\\]$$/p' requirements-dev.txt > .venv/uv.txt
	@$(BIN)/python -m pip --quiet --disable-pip-version-check install --require-hashes -r .venv/uv.txt
	@echo "3 of 3: installing $$(grep -c '^[a-zA-Z0-9].*==' requirements-dev.txt) packages by their hashes (minutes, the first time)"
	@$(BIN)/uv pip sync --python $(BIN)/python --require-hashes requirements-dev.txt
	@touch $@

demo: $(READY)
	@python -m rehearsal.demo

# The engine has rules of its own, and the user's code leaves it out.
lint: $(READY)
	@ruff check . && ruff format --check .
	@cd "$(ENGINE)/vendor/mlops" && ruff check . && ruff format --check .
	@$(MAKE) --no-print-directory -j 2 types types-engine

# Each keeps one processor busy for a minute where nothing is cached.
types:
	@mypy
types-engine:
	@cd "$(ENGINE)/vendor/mlops" && MYPY_CACHE_DIR="$(MYPY_CACHE_DIR)/engine" mypy
	@cd "$(ENGINE)/vendor/mlops" && PYTHONPATH=src lint-imports --no-cache --no-logo

test: lint
	@python -m pytest $(PYTEST_ARGS)

# Installs nothing: a test whose program is missing is listed with the program's name.
test-system: $(READY)
	@python -m pytest $(PYTEST_ARGS) -m system

# make mutate MUTATE_ARGS="--module gate/verdict --mutants 20"
mutate: $(READY)
	@python scripts/mutate.py $(MUTATE_ARGS)

# What other systems check: their shells, paths and git.
test-generation: $(READY)
	@python -m pytest $(PYTEST_ARGS) -m "not slow" tests/generation

# A generated repository gets what is new here, by the engine that lies here:
# make upgrade REPO=../my-repository
upgrade: $(READY)
	@cd "$(REPO)" && PYTHONPATH="$(CURDIR)/$(ENGINE)/vendor/mlops/src" \
	  "$(CURDIR)/$(BIN)/python" -P -m mlops github update

lock: $(READY)
	@python scripts/lock.py $(if $(UPGRADE),--upgrade)

bench: $(READY)
	@python benchmarks/run.py

clean:
	rm -rf .venv demo .pytest_cache .ruff_cache .mypy_cache .hypothesis

schema: $(READY)
	@python scripts/schema.py

reference: $(READY)
	@python scripts/reference.py

engine-digest: $(READY)
	@python scripts/engine_digest.py
