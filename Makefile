# Everything runs in .venv, which the targets make themselves: Python >= 3.11, make and git are enough.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test gates tests bench wheel clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet --editable . --group dev
	touch $@

demo: .venv/ready  ## set a weight with each backend in a scratch copy of examples/shop
	@$(BIN)/python examples/demo.py

test: gates tests  ## every gate and every test

gates: .venv/ready  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

tests: .venv/ready  ## unit, contract, property, golden, fuzz, CLI, README and wheel tests, with coverage
	$(BIN)/coverage erase
	$(BIN)/pytest --numprocesses 2 -m fuzz
	$(BIN)/pytest --numprocesses 2 -m 'not fuzz' --cov --cov-report=
	$(BIN)/coverage report --fail-under=95
	$(BIN)/coverage report --fail-under=100 --include='routers/model.py,routers/weights.py,routers/spec/*,routers/plan.py,routers/ownership.py,routers/backends/*'

bench: .venv/ready  ## the figures of benchmarks/, measured now
	$(BIN)/python benchmarks/bench.py

wheel: .venv/ready  ## build dist/*.whl
	$(BIN)/python -m build --wheel --no-isolation --outdir dist

clean:  ## delete everything that the targets made
	rm -rf .venv dist build .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
