# Two commands are the whole set-up: `make book` and `make test`.
PYTHON ?= python3
PHYSLDM_PRESET ?= laptop
RUN := runs/$(PHYSLDM_PRESET)
export PHYSLDM_PRESET

.PHONY: env book train test test-fast lint faults protocols bench lab chapter clean

env: .venv/.ready

.venv/.ready: requirements.txt pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
	  { echo "make env: found $$($(PYTHON) --version), expected Python 3.11 or newer (make PYTHON=python3.11 …)"; exit 2; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install -r requirements.txt
	.venv/bin/python -m pip install --no-deps --no-build-isolation -e .
	.venv/bin/physldm lpips
	touch $@

train: env
	.venv/bin/physldm train --run $(RUN) --preset $(PHYSLDM_PRESET)

book: train
	.venv/bin/python book/build.py

chapter: train
	.venv/bin/python book/build.py --chapter $(CH)

# a process a core, for each takes up to 3 GB no more than four; two of several threads each would wait for one another
PYTEST := OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n logical --maxprocesses 4 --dist worksteal

test: env
	$(PYTEST)

# the half that takes seconds
test-fast: env
	$(PYTEST) -m "not slow"

# plants every fault of tests/faults.toml in a copy, and says which tests catch it
faults: env
	.venv/bin/python tests/plant.py

# style, types, spelling
lint: env
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/ty check physldm
	.venv/bin/typos

# draws the protocols anew that every run is scored on: after a change of what training draws from
protocols: env
	.venv/bin/python -c "from physldm.evaluation.protocols import TABLE, write_table; write_table(TABLE)"

# all of them, or one: make bench B=signal
bench: env
	.venv/bin/python -m benchmarks $(B)

lab: env
	.venv/bin/jupyter lab --notebook-dir book

clean:
	rm -rf _build runs/smoke
