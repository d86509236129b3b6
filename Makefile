# heliosd: `make run` and `make test` work on a fresh machine (Python 3.11 and make only).
SHELL := /bin/bash
PYTHON ?= $(shell bash tests/find_python.sh)
VENV := .venv
BIN := $(VENV)/bin
DATA ?= ./data
LISTEN ?= 127.0.0.1:5432
HTTP ?= 127.0.0.1:8080

.PHONY: run test check fix golden bench soak suites install tools clean

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --group dev
	$(BIN)/python -m compileall -q heliosd protocol storage
	touch $@

install: $(VENV)/installed

# As root the server refuses to start; here that is allowed, and said.
run: install
	@if [ "$$(id -u)" = 0 ]; then echo "make run: running as root (HELIOSDB_ALLOW_ROOT=1)"; fi
	HELIOSDB_ALLOW_ROOT=1 $(BIN)/heliosd serve --data-dir $(DATA) --listen $(LISTEN) --http $(HTTP)

# Where we are root on Debian: psql, pgbench and a PostgreSQL 15 server for differential tests.
tools:
	@bash tests/install_tools.sh

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: install
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

test: install tools check
	$(BIN)/python -m pytest $(TESTS)

golden: install tools
	$(BIN)/python tests/golden/record.py

bench: install tools
	$(BIN)/python -m bench.compare

soak: install tools
	$(BIN)/python -m pytest -m soak --override-ini 'addopts=--strict-markers -q' --timeout 3600 $(TESTS)

# Other projects' own tests against a running server: SUITES is a folder that holds them,
# DSN the server's (see README).
suites:
	@test -n "$(SUITES)" -a -n "$(DSN)" || { echo 'make suites SUITES=DIR DSN="host=..."'; exit 2; }
	cd $(SUITES) && for name in psycopg asyncpg sqlalchemy; do venv/bin/python suite.py $$name --dsn "$(DSN)"; done
	cd $(SUITES) && venv/bin/python hermitage.py --dsn "$(DSN)"

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
