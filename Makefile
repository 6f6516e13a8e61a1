# Everything sets itself up: `make demo` or `make test` is enough on a fresh machine with Python >= 3.11 and make.
PYTHON ?= python3
RUN = .venv/bin/python

.PHONY: setup demo test test-all test-transformers4 faults fuzz bad-inputs audit check bench clean

setup:            ## make .venv and install tane into it
	@$(PYTHON) tools/install.py

demo: setup       ## the whole road on the bundled text, offline
	@.venv/bin/tane demo

test-setup:
	@$(PYTHON) tools/install.py test

test: test-setup  ## the tests: no network, under 10 minutes on 2 cores
	$(RUN) -m pytest -m "not slow" -n 2 --dist loadfile

test-all: test-setup  ## the slow ones too
	$(RUN) -m pytest -n 2 --dist loadfile

test-transformers4: test-setup  ## what tane writes, opened by transformers 4 in a venv of its own
	$(RUN) tools/check_transformers4.py

faults: test-setup ## every fault, many times, within an hour; writes docs/reliability.md; goes on where it was
	$(RUN) -m tests.system.faults

fuzz: test-setup  ## 10,000 damaged files for each reader
	$(RUN) -m tests.fuzz --out .fuzz/done.json

bad-inputs: test-setup ## the corpus of bad inputs, each with what is expected of it, in bad-inputs/
	$(RUN) -m tests.bad bad-inputs

audit: test-setup ## the pinned versions against a public database of vulnerabilities
	$(RUN) tools/audit.py

check:            ## lint, format, types
	@$(PYTHON) tools/install.py dev test
	$(RUN) -m ruff check . && $(RUN) -m ruff format --check . && $(RUN) -m mypy

bench: test-setup ## ours beside the peers, in turn; writes benchmarks/results/; make bench BENCH="--part causal load"
	$(RUN) benchmarks/run.py $(BENCH)

clean:            ## remove caches; runs and data stay
	rm -rf .pytest_cache .ruff_cache .mypy_cache .hypothesis .faults .fuzz bad-inputs
