# Everything a newcomer needs: `make demo`, then `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check fast format clean

demo: $(STAMP)
	@$(BIN)/valkeyctl demo

# All tests, with Podman where it works. Most of them wait for servers: more of them at a
# time than a small machine has cores.
TESTERS ?= 3
test: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/pytest -n $(TESTERS) --durations=20 --cov --cov-report=term --cov-fail-under=85

# Quick: lint, types and the tests that take milliseconds.
check: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/pytest -q -n $(TESTERS) -m "not slow and not podman"

format: $(STAMP)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "valkeyctl needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing valkeyctl and its tools into $(VENV) (a minute the first time)" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .coverage .coverage.*

# Pages that are made from the code; tests compare them.
.PHONY: docs
docs: $(STAMP)
	@COLUMNS=80 $(BIN)/python -m valkeyctl.cli.reference > docs/reference/cli.md
	@$(BIN)/python -m valkeyctl.cli.completion_table > valkeyctl/cli/completion.tsv
	@$(BIN)/python -m valkeyctl.profile.reference > docs/reference/profile.md
	@$(BIN)/python -m valkeyctl.bench.figures.shape > docs/reference/bench-report.schema.json
	@$(BIN)/python -m tests.golden

# The oldest versions that pyproject.toml allows, in an environment of their own.
.PHONY: floors
floors:
	@$(PYTHON) -m venv .venv-floors
	@$(PYTHON) tests/floors.py > .venv-floors/constraints.txt
	@.venv-floors/bin/python -m pip install --quiet --disable-pip-version-check \
	  -c .venv-floors/constraints.txt -e '.[dev]'
	@.venv-floors/bin/pytest -q -n $(TESTERS) -m "not slow and not podman"

# valkeyctl.caching against its peers: half an hour on a quiet machine. For a look, which
# leaves the recorded results alone: make micro MICRO=--quick
MICRO ?= --out benchmarks/results
.PHONY: micro
micro: $(STAMP)
	@$(BIN)/python -m benchmarks.micro $(MICRO)

# valkeyctl keys beside valkey-cli, on a million keys: half an hour on a quiet machine. For a
# look, which leaves the recorded results alone: make keyspace KEYSPACE='--keys 100000'
KEYSPACE ?= --out benchmarks/results
.PHONY: keyspace
keyspace: $(STAMP)
	@$(BIN)/python -m benchmarks.keyspace $(KEYSPACE)

# SIGKILL of a deploy at 50 random moments, on each runtime: some 15 minutes. For a look, and
# for two Podmans: make soak SOAK='--kills 5 --runtime podman --podman podman podman5'
SOAK ?= --kills 50
.PHONY: soak
soak: $(STAMP)
	@$(BIN)/python -m benchmarks.soak $(SOAK)
