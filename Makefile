# The two commands of the README. Everything is installed into .venv; nothing else on the machine is touched.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test install lint audit clean

demo: .venv/demo.stamp
	$(BIN)/classiglot demo --data-dir demo-data

# First what may run side by side, the longest files first; then, one after another, what is timed. `pytest` alone runs
# the same tests, all one after another.
test: lint
	$(BIN)/pytest -m 'not alone' -n 3 --dist loadfile --no-loadscope-reorder \
		tests/faults tests/end_to_end tests/worker tests/service tests/parts tests/test_*.py
	$(BIN)/pytest -m alone

lint: .venv/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Known vulnerabilities of what constraints.txt pins; needs internet. Without --strict a package that the service
# does not know would count as sound.
audit:
	test -x .venv/audit/bin/pip-audit || $(PYTHON) -m venv .venv/audit
	.venv/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	.venv/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

install: .venv/demo.stamp

.venv/%.stamp: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Classiglot needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$*]'
	touch $@

clean:
	rm -rf .venv demo-data .mypy_cache .pytest_cache .ruff_cache
