# The first call of any target creates .venv and installs into it; later calls start at once.
#   make search ARGS="budget.latency_ms=2"    make test ARGS="tests/terminal"    make PYTHON=/path/to/python3 test
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help search test check bench docs clean

help:
	@echo 'make search   measure this machine, search the FBNet space, train and evaluate the result (ARGS="key=value ...")'
	@echo 'make test     run the tests (ARGS="--slow" for all of them)'
	@echo 'make check    format, lint and types'
	@echo 'make bench    the speed measurements of experiments/benchmarks, printed; committed figures stay'
	@echo 'make docs     the documentation as a site, site/index.html; broken links and names that are not there fail'
	@echo 'make clean    remove caches; runs/ and .venv stay'

$(STAMP): pyproject.toml constraints.txt
	@PYTHON='$(PYTHON)' ./install.sh

search: $(STAMP)
	@$(RUN) -m nas.search space=fbnet $(ARGS)

# One process per core, each with one thread: quicker than threads on small tensors.
test: $(STAMP)
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -n auto --maxprocesses 8 --dist worksteal $(ARGS)

check: $(STAMP)
	@$(RUN) -m ruff format --check .
	@$(RUN) -m ruff check .
	@$(RUN) -m mypy

bench: $(STAMP)
	@for folder in experiments/benchmarks/*/; do name=$$(basename $$folder); test -f $$folder/run.py || continue; \
	echo "== $$name"; $(RUN) -m experiments.benchmarks.$$name.run $(ARGS) || exit 1; done

# Not --quiet: it hides warnings from --strict too, and a broken anchor is a warning.
docs: $(VENV)/.docs
	@NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict
	@echo 'site/index.html is written'

$(VENV)/.docs: $(STAMP)
	@$(RUN) -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@

clean:
	@rm -rf build site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -path ./$(VENV) -prune -o -type d -name __pycache__ -print | xargs rm -rf
