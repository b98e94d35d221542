# cgscope. `make` alone prints what there is.
# The distribution's own Python before another on PATH: pyenv, for one, builds without profiles or link-time
# optimisation, and each command then takes a fifth longer.
PYTHON ?= $(shell for python in /usr/bin/python3 python3; do \
	$$python -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
	done; echo $$python)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# What an installation has a copy of: with an older one the commands would not start.
COPIED := pyproject.toml docs/hatch_build.py sandbox/scripts/start
# pip does so with a package that it copies. Without byte code each start of a command takes twice as long, and where
# PYTHONDONTWRITEBYTECODE is set, or the checkout cannot be written to, a start leaves none for the next.
COMPILE := $(BIN)/python -m compileall -q inspector exporter sandbox tests
# Which tests: `make test-unit ARGS="-k throttled -x"`.
ARGS ?=
# pytest exits with 5 when it had no test to run: no failure where ARGS chose, and another part has them.
CHOSEN := $(if $(strip $(ARGS)),|| [ $$? -eq 5 ])
# With byte code, whatever the environment says: the second run of pytest reads that of the tests, and a start is faster.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -rs
# These need nothing of the machine, so two run at a time; the others need it for themselves.
UNIT := tests/unit tests/test_*.py -n 2 --dist loadfile -p no:rerunfailures
# Real daemons and terminals: a second chance, which the summary tells of (CONTRIBUTING.md).
AGAIN := -p no:xdist --reruns 1 -rsR --rerun-show-tracebacks
# Two minutes in which the kernel's averages get where they cannot but get, however busy the machine is; and starts of
# commands of installations that nobody else uses.
BESIDE := tests/root/test_stalls.py tests/root/test_sandbox_snapshot.py tests/root/test_ctop_kept.py
REST := --ignore=tests/unit --ignore-glob='tests/test_*.py' $(AGAIN)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test test-unit test-host test-vm check bench fuzz dashboards packages clean

help: ## print this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.installed ## install into .venv, then show one limited container from outside and from inside
	@bash tests/demo/demo.sh

# The virtual machine is slow, and many tests on this kernel wait more than they work: side by side, its output last. It
# has less of the CPUs than the others, and ends about when they do; some wait beside those that need nothing of the machine.
test: ## install what the tests need, then run all of them: here, and in a VM with cgroup v2
	@$(MAKE) --no-print-directory -j 2 packages check
	@nice -n 5 $(BIN)/python -m tests.vm.run $(ARGS) > $(VENV)/.vm-output 2>&1 & guest=$$!; trap 'kill $$guest $$beside; exit 130' INT TERM; \
	$(PYTEST) $(BESIDE) $(AGAIN) $(ARGS) > $(VENV)/.beside-output 2>&1 & beside=$$!; \
	$(PYTEST) $(UNIT) $(ARGS) $(CHOSEN) || { code=$$?; kill $$guest $$beside 2> /dev/null; exit $$code; }; \
	wait $$beside $(CHOSEN); code=$$?; cat $(VENV)/.beside-output; [ $$code -eq 0 ] || { kill $$guest; exit $$code; }; \
	$(PYTEST) $(BESIDE:%=--ignore=%) $(REST) $(ARGS) $(CHOSEN) || { code=$$?; kill $$guest 2> /dev/null; exit $$code; }; \
	wait $$guest $(CHOSEN); code=$$?; cat $(VENV)/.vm-output; exit $$code

test-unit: $(VENV)/.installed-dev ## the tests that need neither root nor a particular kernel
	@$(PYTEST) $(UNIT) $(ARGS)

test-host: packages $(VENV)/.installed-dev ## all tests that run on this kernel
	@$(PYTEST) $(UNIT) $(ARGS) $(CHOSEN)
	@$(PYTEST) $(REST) $(ARGS) $(CHOSEN)

test-vm: packages $(VENV)/.installed-dev ## the tests marked `vm`, on Debian's kernel with pure cgroup v2
	@$(BIN)/python -m tests.vm.run $(ARGS)

check: $(VENV)/.installed-dev ## ruff and mypy --strict
	@$(BIN)/ruff check --quiet
	@$(BIN)/mypy --no-error-summary

bench: $(VENV)/.installed-dev ## measure how fast it reads
	@$(BIN)/python -m pytest -q -s tests/bench/bench_*.py $(ARGS)

fuzz: $(VENV)/.installed-dev ## 100,000 damaged machines (the ordinary tests try 2,000)
	@CGSCOPE_FUZZ=100000 $(BIN)/python -m pytest -q tests/unit/test_mutated_hosts.py $(ARGS)

dashboards: $(BIN)/pip ## write dashboards/grafana/*.json anew from dashboards/generate
	@$(BIN)/python -m dashboards.generate

install: $(VENV)/.installed ## make .venv with the four commands

packages: ## install the Debian packages that tests use (as root; otherwise name what is missing)
	@sh tests/setup_packages.sh

clean: ## remove .venv and everything generated
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/pip:
	@command -v $(PYTHON) >/dev/null || { echo "cgscope needs Python 3.11 or newer: no '$(PYTHON)' found (apt-get install python3, or make PYTHON=...)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "cgscope needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1) (make PYTHON=/path/to/a/newer/python3)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments: apt-get install python3-venv" >&2; exit 1; }
	@echo "making $(VENV)"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/pip $(COPIED)
	@echo "installing cgscope into $(VENV)"
	@$(PIP) install --editable .
	@$(COMPILE)
	@touch $@

$(VENV)/.installed-dev: $(BIN)/pip $(COPIED)
	@echo "installing cgscope and what its tests need into $(VENV)"
	@$(PIP) install --editable '.[dev]'
	@$(COMPILE)
	@touch $(VENV)/.installed $@
