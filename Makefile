# `make demo` and `make test` are all a fresh Debian machine needs (Python >= 3.11 with venv, and make).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo servers test check bench simulate reliability

help:
	@echo "make demo    an outage, told against a real Prometheus and Alertmanager"
	@echo "make test    everything: lint, types, unit tests, and tests against the real servers"
	@echo "make check   the fast tier: lint, types, unit tests"
	@echo "make simulate  stories by seed against all that can go wrong; SEEDS=2000"
	@echo "make reliability  every fault for real, and the table of docs/reliability.md made anew"
	@echo "make bench   speed and memory, as ratios against a reference in the same run"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Relay needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "Python's venv module is missing. On Debian: apt-get install python3-venv"; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(READY)

demo: setup
	$(BIN)/relay demo

servers: setup
	$(BIN)/python -m relay.demo.programs prometheus prometheus-alertmanager postgres nginx redis-server mariadbd prometheus-pushgateway chromium

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q -n auto -m "not servers"

test: check servers
	$(BIN)/pytest -q -n 2 --dist loadfile -m servers

bench: setup
	$(BIN)/python -m tests.bench $(BENCH)

simulate: setup
	$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),2000)

FAULTS := $(addprefix tests/,e2e/test_faults.py e2e/test_machine.py e2e/test_replicas.py e2e/test_failover.py e2e/test_vendors.py \
	e2e/test_pair.py store/test_retention.py simulation)

reliability: servers
	@rm -f .reliability
	RELAY_KILLS=$(or $(KILLS),200) RELAY_RELIABILITY=$(CURDIR)/.reliability $(BIN)/pytest -q -n 2 --dist loadfile $(FAULTS) -m servers
	$(BIN)/python -m tests.reliability .reliability
	@rm -f .reliability
