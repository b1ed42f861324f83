# Every target sets up its own .venv from requirements.txt first; nothing else is needed but Python 3.11 or newer.
# TORCH_INDEX, such as https://download.pytorch.org/whl/cpu, is where torch alone comes from; by default pip's own index.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
UV ?= uv
TORCH := 2.13.0
FROM_TORCH_INDEX := $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
# The least release of everything that pyproject.toml asks for.
FLOORS := grep -oE '"[A-Za-z0-9_-]+(\[[a-z]+\])?>=[0-9.]+' pyproject.toml | sed -E 's/"|\[.*\]//g; s/>=/==/; /^setuptools/d'
FUZZ_INPUTS ?= 2000
BENCHMARKS := simulate attention baseline loader distillation training scaling cost light export efficiency report
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help test quick lint fuzz format demo bench chaos docs dist mutants oldest required licences lock clean
help:
	@echo "make test           run all tests, and list the slowest twenty"
	@echo "make quick          run the tests that take no more than about two seconds each"
	@echo "make lint           ruff and mypy"
	@echo "make fuzz           read FUZZ_INPUTS damaged files (2000), and list the outcomes"
	@echo "make demo           simulate rooms, train, distil, compare: one report (QUICK=1 for a glimpse)"
	@echo "make bench          measure speed against other ways: ratios, into docs/results/benchmarks.json"
	@echo "make chaos          kill every command at random moments and compare what it leaves (an hour)"
	@echo "make docs           build the documentation's site into site/, and fail on a broken link"
	@echo "make dist           build wheel and source distribution into dist/, and check them (RELEASE=1: as for PyPI)"
	@echo "make mutants        change one operator or constant at a time, and count what no test notices"
	@echo "make oldest         run the quick tests with the oldest releases that pyproject.toml allows"
	@echo "make required       import every module where only the required dependencies are installed"
	@echo "make licences       list the licences of all dependencies in docs/licences.md"
	@echo "make lock           fetch the digests of the requirements, after a change of a version in it (needs uv)"
	@echo "make format         let ruff format the code"
	@echo "make clean          remove .venv and caches"

$(READY): pyproject.toml requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-deps --require-hashes --requirement requirements.txt
	$(BIN)/pip install --quiet $(FROM_TORCH_INDEX) torch==$(TORCH)
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Children of the tests too: two threads each beside other work are far slower than one.
test quick: export OMP_NUM_THREADS = 1

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
	$(BIN)/python examples/demo.py $(if $(QUICK),quick,full)

bench: $(READY)
	for each in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$each || exit; done

chaos: $(READY)
	$(BIN)/python -m tests.chaos.kills --points

docs: $(READY)
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -d build/doctrees docs site

dist:
	$(PYTHON) -m venv --clear .venv-dist
	.venv-dist/bin/pip install --quiet --no-deps --require-hashes --requirement requirements-dist.txt
	rm -rf dist build/lib build/bdist*
	.venv-dist/bin/python -m build --no-isolation
	.venv-dist/bin/python -m twine check --strict dist/*
	.venv-dist/bin/python scripts/check_dist.py $(if $(RELEASE),--release)

mutants: $(READY)
	$(BIN)/python -m scripts.mutate --out docs/results/mutants.json $(ARGS)

oldest:
	$(PYTHON) -m venv --clear .venv-oldest
	$(FLOORS) > .venv-oldest/floors.txt
	.venv-oldest/bin/pip install --quiet $(FROM_TORCH_INDEX) --constraint .venv-oldest/floors.txt torch
	.venv-oldest/bin/pip install --quiet --constraint .venv-oldest/floors.txt --editable '.[dev]'
	.venv-oldest/bin/python -m pytest --numprocesses 2 --dist worksteal -m "not slow and not browser" $(ARGS)

required:
	$(PYTHON) -m venv --clear .venv-required
	.venv-required/bin/pip install --quiet $(FROM_TORCH_INDEX) torch==$(TORCH)
	.venv-required/bin/pip install --quiet --editable .
	.venv-required/bin/python scripts/import_all.py

licences: $(READY)
	$(BIN)/python scripts/licences.py > docs/licences.md

lock:
	for lock in requirements.txt requirements-dist.txt; do \
		sed -n 's/ \\$$//; /==/p' $$lock | $(UV) pip compile - --quiet --no-deps --generate-hashes --no-annotate \
			--no-header --python-version 3.11.7 --output-file .requirements.new || exit; \
		{ grep '^#' $$lock; cat .requirements.new; } > .requirements.txt; \
		rm .requirements.new; \
		mv .requirements.txt $$lock; \
	done

clean:
	rm -rf .venv .venv-dist .venv-oldest .venv-required build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis
