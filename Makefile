# Every target does its own set-up: Python 3.11 and make are all it takes.
.PHONY: run test chaos lint bench clean setup test-setup

PYTHON ?= python3.11
BIN := .venv/bin
RUNTIME := .venv/.runtime
TOOLS := .venv/.tools
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONUNBUFFERED := 1

setup: $(RUNTIME)
test-setup: $(TOOLS)

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: '$(PYTHON)' was not found. Set PYTHON=..."; exit 1; }
	$(PYTHON) -m venv .venv

$(RUNTIME): requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(TOOLS): tests/requirements.txt requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@ $(RUNTIME)

# Stays in the foreground; ends web, worker and engine on Ctrl-C or SIGTERM, with tasks drained to a snapshot.
run: $(RUNTIME)
	@exec $(BIN)/python -m opsconsole.run

# Two at a time: they share nothing but the machine. The quick tests first, then a file of those that start processes and
# browsers each; last the quick ones again on PostgreSQL.
QUICK := "not process and not browser"
test: $(TOOLS)
	@$(BIN)/python -m tests.programs
	$(BIN)/python -m pytest tests -q -n 2 -m $(QUICK)
	$(BIN)/python -m pytest tests -n 2 --dist loadscope -m "process or browser" --durations=15
	$(BIN)/python -m tests.postgres $(BIN)/python -m pytest tests -q -n 2 -m $(QUICK)

# Random faults and races for half an hour; ARGS='--seed 7 --rounds 1' runs one round again.
chaos: $(TOOLS)
	@$(BIN)/python -m tests.programs
	$(BIN)/python -m tests.chaos $(ARGS)

lint: $(TOOLS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/djlint --lint --quiet templates
	$(BIN)/python -m tests.sizes
	OPS_DATA_DIR=$${TMPDIR:-/tmp}/opsconsole-lint $(BIN)/python manage.py makemigrations --check --dry-run
	OPS_DATA_DIR=$${TMPDIR:-/tmp}/opsconsole-lint OPS_PRODUCTION=1 OPS_ALLOWED_HOSTS=console.example.org \
	  OPS_SECRET_KEY=$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(64))') \
	  $(BIN)/python manage.py check --deploy --fail-level WARNING

bench: $(TOOLS)
	$(BIN)/python -m tests.bench $(ARGS)

clean:
	rm -rf .venv var .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
