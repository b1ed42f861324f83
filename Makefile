# Every target sets up its own .venv from constraints.txt first; nothing else is needed but Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
FUZZ_INPUTS ?= 2000
BENCHMARKS := simulate attention baseline loader distillation training scaling cost light export efficiency report
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help test quick lint fuzz format demo bench chaos docs clean
help:
	@echo "make test           run all tests, and list the slowest twenty"
	@echo "make quick          run the tests that take no more than about two seconds each"
	@echo "make lint           ruff and mypy"
	@echo "make fuzz           read FUZZ_INPUTS damaged files (2000), and list the outcomes"
	@echo "make demo           simulate rooms, train, distil, compare: one report (QUICK=1 for a glimpse)"
	@echo "make bench          measure speed against other ways: ratios, into docs/results/benchmarks.json"
	@echo "make chaos          kill every command at random moments and compare what it leaves (an hour)"
	@echo "make docs           build the documentation's site into site/, and fail on a broken link"
	@echo "make format         let ruff format the code"
	@echo "make clean          remove .venv and caches"

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

test: $(READY)
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal --durations 20 $(ARGS)

quick: $(READY)
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal -m "not slow and not browser" $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fuzz: $(READY)
	$(BIN)/python -m tests.chaos.fuzz --inputs $(FUZZ_INPUTS)

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

demo: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/demo.sh $(if $(QUICK),quick,full)

bench: $(READY)
	for each in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$each || exit; done

chaos: $(READY)
	$(BIN)/python -m tests.chaos.kills --points

docs: $(READY)
	$(BIN)/properdocs build --config-file mkdocs.yml --strict

clean:
	rm -rf .venv site .mypy_cache .pytest_cache .ruff_cache .hypothesis
