# The door to everything: two commands on a fresh machine are `make demo` and `make test`. See `make help`.
# SPDX-License-Identifier: PostgreSQL
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DEFAULT_GOAL := help
ifeq ($(origin PYTHON),undefined)
PYTHON := $(shell tools/pick-python)
endif
VENV := $(CURDIR)/.venv
PY := $(VENV)/bin/python
JOBS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$(( n < 8 ? n : 8 )))
KERNELS = $(MAKE) -s -j$(JOBS) -C kernels PYTHON=$(PY)
# Servers that the tests run on: the embedded 16 and 18, and Debian's 15 where it is there to be installed into.
TEST_PG ?= $(shell [ -d /usr/include/postgresql/15/server ] && [ -w /usr/lib/postgresql/15/lib ] && echo 15,)16,18
# Processes that the tests are divided among, by file; each starts servers of its own.
TEST_JOBS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$(( n < 4 ? n : 4 )))

.PHONY: help preflight venv build install demo test check check-server-asan lint soak fuzz bench dist clean
help:
	@echo 'make demo            the whole path on real vectors, in an embedded PostgreSQL 18   (DATA=file.npy|file.fvecs)'
	@echo 'make test            every test                                                   (TEST_PG=15,16,18 TEST_JOBS=2 PYTEST="-k ...")'
	@echo 'make build           everything into .venv; then .venv/bin/ruvector up | psql | down (PYTHON=python3.12)'
	@echo 'make install         the extension into your server                               (PG_CONFIG=/path/to/pg_config)'
	@echo 'make bench           pgvector and ruvector side by side, curves and a plot         (BENCH="--smoke")'
	@echo 'make check-server-asan  tests of index and types in a server, with AddressSanitizer and UBSan (SANITIZED_TESTS="...")'
	@echo 'make lint            ruff, mypy, shellcheck, layers, exported symbols'
	@echo 'make soak            long campaigns: kill loops, concurrency, fuzzing'
	@echo 'make fuzz            what the types read from clients, by libFuzzer                    (SECONDS=600; needs clang)'
	@echo 'make dist            source archive and wheel in dist/'
	@echo 'make clean           removes build/ and dist/; the environment stays in .venv'

preflight:
	@tools/preflight "$(PYTHON)"
venv: preflight
	@tools/venv "$(PYTHON)" "$(VENV)"

# The engine module first, then the package; pip only when what it recorded has changed.
INSTALLED = $(VENV)/.installed
build: venv
	@$(KERNELS) engine
	@$(PY) setup.py -q build_ext --inplace
	@$(MAKE) -s --no-print-directory $(INSTALLED)
$(INSTALLED): pyproject.toml setup.py sql/ruvector.control $(VENV)/.made-from
	@$(PY) -m pip install -q --disable-pip-version-check --root-user-action=ignore --no-build-isolation --no-deps -e .
	@touch $@

install: build
	@test -n "$(PG_CONFIG)" || { echo 'error: name the server: make install PG_CONFIG=/path/to/pg_config' >&2; exit 2; }
	@tools/preflight "$(PY)" "$(PG_CONFIG)"
	@$(KERNELS) install PG_CONFIG="$(PG_CONFIG)"

demo: build
	@$(VENV)/bin/ruvector demo $(if $(DATA),--data "$(DATA)")

# Fastest first: kernels, engine, then everything that pytest drives (Python, pg_regress, isolation, servers).
check: build
	@for d in $(patsubst %/Makefile,%,$(wildcard tests/distance/Makefile tests/engine/Makefile)); do \
		$(MAKE) -s -j$(JOBS) -C $$d check PYTHON=$(PY) && \
		$(MAKE) -s -j$(JOBS) -C $$d check PYTHON=$(PY) SANITIZE=address,undefined || exit 1; done
test: check
	@echo "servers: $(TEST_PG)"
	@RUVECTOR_TEST_PG=$(TEST_PG) $(PY) -m pytest -n $(TEST_JOBS) --dist loadfile -m "not soak" $(PYTEST)
# Servers with an instrumented library, which is replaced by the other one in the end. Memory that is measured is not that of
# the other. What is found is printed after the tests.
SANITIZED_TESTS ?= tests/regress tests/isolation $(wildcard tests/server/test_index_*.py tests/server/test_threshold*.py tests/server/test_types_*.py)
check-server-asan: build
	@pg=$$($(PY) -c 'from ruvector_fdw.server import Installation; print(Installation.find(18).pg_config)') && \
	$(KERNELS) install PG_CONFIG="$$pg" && $(KERNELS) install-ruvector PG_CONFIG="$$pg" SANITIZE=address,undefined && \
	reports=$$(mktemp -d) && chmod 777 "$$reports" && \
	LD_PRELOAD=$$($(CC) -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:log_path="$$reports/asan" \
		UBSAN_OPTIONS=halt_on_error=1:abort_on_error=1:print_stacktrace=1:log_path="$$reports/ubsan" \
		RUVECTOR_SKIP_INSTALL=1 RUVECTOR_TEST_PG=18 $(PY) -m pytest -m "not soak" -k "not memory" $(SANITIZED_TESTS) $(PYTEST); \
	status=$$?; $(KERNELS) install-ruvector PG_CONFIG="$$pg"; cat "$$reports"/* 2>/dev/null && status=1; rm -rf "$$reports"; exit $$status
# The sanitizer of threads wants addresses where it expects them, hence setarch.
soak: check
	@TSAN_OPTIONS=halt_on_error=1 setarch -R $(MAKE) -s -j$(JOBS) -C tests/engine check SANITIZE=thread TESTS=test_build
	@RUVECTOR_TEST_PG=$(TEST_PG) $(PY) -m pytest -m soak --timeout=0 $(PYTEST)

# Coverage-guided; new inputs go to tests/fuzz/corpus, which make test replays. Not part of make test.
fuzz: SECONDS ?= 600
fuzz: build
	@$(MAKE) -s -C tests/fuzz fuzz SECONDS=$(SECONDS) \
		PG_CONFIG="$$($(PY) -c 'from ruvector_fdw.server import Installation; print(Installation.find(18).pg_config)')"

bench: build
	@$(PY) bench/run.py $(BENCH)

lint: build
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/shellcheck tools/pick-python tools/preflight tools/venv .ci/run
	@$(PY) -m pytest -q tests/python/test_layers.py tests/python/test_symbols.py

dist: build
	@$(PY) -m build --no-isolation -o dist .

clean:
	rm -rf build build-* dist *.egg-info ruvector_fdw/_engine*.so
