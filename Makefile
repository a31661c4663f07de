# `make up` runs everything; `make test` and `make lint` are what CI runs.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
# The benchmarks and their peers have environments of their own, with the system's Python where it is new enough: Debian's is
# built with profile-guided optimisation, as the Docker image's is and pyenv's is not.
BENCH := .data/bench/venv
BENCH_PYTHON := $(if $(shell /usr/bin/python3 -c 'import sys; sys.version_info >= (3, 11) and print(1)' 2>/dev/null),/usr/bin/python3,$(PYTHON))
.data/bench/%: PYTHON = $(BENCH_PYTHON)
# Most tests wait for servers, so three at a time keep two cores busy.
PARALLEL ?= -n 3 --dist loadgroup
PY := $(VENV)/bin/python
BENCH_PY := $(BENCH)/bin/python
export PORT DATA_DIR KAFKA HOST
SEED ?=
MINUTES ?= 5
RUNS ?=
DATABASE ?= sqlite
CASES ?= 100000
# Those of a benchmark's peers that are Python; their requirements exclude each other.
PEERS := pathway bytewax quixstreams faust
ROUNDS ?= 5

.PHONY: install-clients up down test chaos chaos-mutants hostile bench-count bench-count-protocol bench-ingest bench-enrichment lint \
  format install install-dev install-bench install-peers system-packages bench-packages help

help:
	@echo "make up      install and run everything on http://localhost:$${PORT:-8080} (PORT, DATA_DIR, KAFKA=apache)"
	@echo "make down    stop it from another terminal"
	@echo "make test    install what the tests need and run them"
	@echo "make chaos   kill, cut and turn back every part at random, then recount (SEED, MINUTES, RUNS, DATABASE=postgresql; Java 17, Maven, Redis)"
	@echo "make hostile send CASES=100000 requests that no client would, and see that nothing goes wrong (SEED)"
	@echo "make bench-count           counting against stream engines and a Go processor (the same, Go, Maven; ROUNDS)"
	@echo "make bench-count-protocol  what counting exactly once costs (two cores, Java 17, Maven; ROUNDS)"
	@echo "make bench-ingest          the track endpoints against Gin (the same, Go, Rust, wrk; ROUNDS)"
	@echo "make bench-enrichment      what a page view's enrichment costs (two cores; ROUNDS)"
	@echo "make lint    ruff, mypy, imports, migrations, settings, Kubernetes manifests"

up: install
	@exec $(PY) manage.py up

down: install
	@$(PY) manage.py down

install: $(VENV)/installed

install-dev: $(VENV)/installed-dev

install-clients: system-packages
	@$(MAKE) --no-print-directory $(CLIENTS)/node_modules/.package-lock.json

install-bench: bench-packages $(BENCH)/installed-bench

install-peers: bench-packages $(PEERS:%=.data/bench/peers/%/installed)

.PRECIOUS: %/bin/python
%/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is not. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $* || \
	  { echo "Python can't make a virtual environment here (Debian: apt install python3-venv)."; exit 1; }

%/installed: requirements.txt | %/bin/python
	@echo "Installing the Python packages (once, about a minute) …"
	@$*/bin/python -m pip install -q --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/installed-dev: tests/requirements.txt $(VENV)/installed
	@echo "Installing what tests and lint need (once) …"
	@$(PY) -m pip install -q --disable-pip-version-check -r tests/requirements.txt
	@touch $@

CLIENTS := tests/ingest/doors/clients

# Where there is no npm, the tests that want them say so.
$(CLIENTS)/node_modules/.package-lock.json: $(CLIENTS)/package-lock.json
	@if command -v npm >/dev/null; then \
	  echo "Installing the clients of other trackers (once) …"; \
	  npm ci --prefix $(CLIENTS) --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null && touch $@; \
	fi

$(BENCH)/installed-bench: bench/requirements.txt $(BENCH)/installed
	@echo "Installing what the benchmarks need (once) …"
	@$(BENCH_PY) -m pip install -q --disable-pip-version-check -r bench/requirements.txt
	@touch $@

.data/bench/peers/%/installed: bench/peers/%/requirements.txt | .data/bench/peers/%/bin/python
	@echo "Installing $* (once) …"
	@$(@D)/bin/python -m pip install -q --disable-pip-version-check -r $<
	@touch $@

# What the commands of $(1) name as missing is installed where it is root on Debian.
define install_missing
@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
  missing="$$({ $(1); } | xargs)"; \
  if [ -n "$$missing" ]; then \
    echo "Installing $$missing …"; \
    apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing >/dev/null; \
  fi; \
fi
endef

TEST_PACKAGES = [ -x /usr/bin/chromium ] || echo chromium; \
  command -v redis-server >/dev/null || echo redis-server; \
  ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || echo postgresql; \
  command -v java >/dev/null || echo default-jre-headless; \
  command -v mvn >/dev/null || echo maven; \
  command -v npm >/dev/null || echo nodejs npm; \
  command -v cc >/dev/null || echo gcc libc6-dev

# Elsewhere the tests that want them say which package is missing.
system-packages:
	$(call install_missing,$(TEST_PACKAGES))

bench-packages:
	$(call install_missing,$(BENCH_PYTHON) -c 'import ensurepip' 2>/dev/null || echo python3-venv)

test: install-dev system-packages install-clients
	@$(PY) -m pytest $(PARALLEL) $(PYTEST_ARGS)
	@$(PY) -m tests.postgresql $(PY) -m pytest --database-only $(PARALLEL) $(PYTEST_ARGS)

CHAOS = $(PY) -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(RUNS),--runs $(RUNS)) --minutes $(MINUTES) --database $(DATABASE)

chaos: install-dev system-packages
	@$(CHAOS)

# Bugs planted one at a time, each of which has to be caught.
chaos-mutants: install-dev system-packages
	@$(CHAOS) --mutants $(MUTANTS)

hostile: install-dev
	@$(PY) -m tests.hostile --cases $(CASES) $(if $(SEED),--seed $(SEED))

bench-count: install-bench install-peers
	@$(BENCH_PY) -m bench.count.tools
	@$(BENCH_PY) -m bench.count --rounds $(ROUNDS) $(BENCH_ARGS)

bench-count-protocol: install-bench
	@$(BENCH_PY) -m bench.count_protocol --rounds $(ROUNDS) $(BENCH_ARGS)

bench-ingest: install-bench
	@$(BENCH_PY) -m bench.ingest.tools
	@$(BENCH_PY) -m bench.ingest --rounds $(ROUNDS) $(BENCH_ARGS)

bench-enrichment: install-bench
	@$(BENCH_PY) -m bench.enrichment --rounds $(ROUNDS) $(BENCH_ARGS)

lint: install-dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy .
	@$(VENV)/bin/lint-imports
	@$(PY) manage.py makemigrations --check --dry-run
	@HTTPS=true SECRET_KEY=$$($(PY) -c 'import secrets; print(secrets.token_urlsafe(64))') \
	  $(PY) manage.py check --deploy --fail-level WARNING
	@$(PY) k8s/validate.py

format: install-dev
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .
