# The verbs of the project. `make demo` and `make test` install what they need into .venv first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DEMO   := $(VENV)/.installed-for-demo
SOURCES := pyproject.toml setup.py $(wildcard bridge/*.pyx bridge/*.pxd bridge/*.pxi bridge/*.hpp bridge/include/*)
OHIF   := 3.13.2
# docs/build.py checks that it is the one which the site's theme speaks to.
MERMAID := $(shell sed -n 's/^MERMAID = "\(.*\)"$$/\1/p' docs/build.py)
JOBS   ?= 2
# Rounds of `make soak`.
SQLITE_ROUNDS  ?= 200
MONGODB_ROUNDS ?= 50
# Per cent of the lines of neurdicom/ that `make test-fast` runs, at least; `make coverage` is about all tests.
FLOOR  := 57

.PHONY: install install-for-demo plugins demo serve test test-fast test-fast-coverage test-rest fuzz soak lint coverage bench bench-compare dist news docs ohif mermaid clean check-tools

install: $(STAMP)

check-tools:
	@command -v $(PYTHON) >/dev/null || { echo "missing: $(PYTHON) (Python 3.11 or newer)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "missing: Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Use make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "missing: Python's venv module (Debian, Ubuntu: apt-get install $(notdir $(PYTHON))-venv)"; exit 1; }
	@$(PYTHON) -c 'import os, sys, sysconfig as s; sys.exit(not os.path.exists(s.get_path("include") + "/Python.h"))' || \
		{ echo "missing: Python's C headers (Debian, Ubuntu: apt-get install $(notdir $(PYTHON))-dev;" \
			"RHEL: dnf install $(notdir $(PYTHON))-devel)"; exit 1; }
	@command -v $${CXX:-c++} >/dev/null || \
		{ echo "missing: a C++ compiler (Debian, Ubuntu: apt-get install g++; RHEL: dnf install gcc-c++)"; exit 1; }

$(STAMP): $(SOURCES)
	@$(MAKE) --no-print-directory check-tools
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet -e '.[dev]'
	@touch $@

# The shipped plugins, built and packed, as plugins/build/NAME.zip.
plugins: install
	$(MAKE) --no-print-directory -C plugins NEURDICOM="$(abspath $(BIN))/neurdicom"

# Installs NeurDICOM alone, without what tests, models and DICOM output need; nothing where `make install` was run.
demo: $(DEMO)
	$(BIN)/neurdicom demo

$(DEMO): $(SOURCES)
	@{ [ -e $(STAMP) ] && $(MAKE) --question --no-print-directory $(STAMP); } || \
		$(MAKE) --no-print-directory install-for-demo
	@touch $@

install-for-demo: check-tools
	@echo "1/3  Making a Python environment in $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "2/3  Fetching what NeurDICOM needs, compiling its extensions, installing (330 MB; a minute or two)"
	@$(BIN)/python -m pip install --disable-pip-version-check -e . | sed -u -n \
		-e 's/^ *\(Collecting [^ ]*\).*/     \1/p' -e 's/^ *\(Building .*\)/     \1/p' -e 's/^\(Installing collected\).*/     Installing/p'
	@$(BIN)/python -c 'import neurdicom._bridge, neurdicom._pixels'
	@echo "3/3  Starting the demo"

serve: install
	$(BIN)/neurdicom serve

# A file's tests stay together, with the servers that they share; `make test JOBS=0` runs all in one process.
test: install
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

# The tests that start no process: neither servers and workers nor peers and compilers.
test-fast: install
	$(BIN)/python -m pytest -n $(JOBS) --fast

# The same, and what they run of neurdicom/, with a floor; then those that `test-fast` leaves out: the whole of `make test`.
test-fast-coverage: install
	$(BIN)/python -m pytest -n $(JOBS) --fast --cov --cov-report=term:skip-covered --cov-fail-under=$(FLOOR)

test-rest: install
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --rest

# Requests that no run has tried yet, and many of them; all tests else generate the same examples in each run.
fuzz: install
	$(BIN)/python -m pytest -n $(JOBS) --hypothesis-profile=fuzz tests/web/test_fuzz.py tests/web/test_request_schemas.py

# Servers and their processes that are killed while everything is done at once, for hours; `make test` has a few rounds.
# `make soak SEED=123456` makes the choices of a run again; SQLITE_ROUNDS=0 and MONGODB_ROUNDS=0 leave one catalog out.
soak: install
	NEURDICOM_TEST_SOAK_SQLITE=$(SQLITE_ROUNDS) NEURDICOM_TEST_SOAK_MONGODB=$(MONGODB_ROUNDS) NEURDICOM_TEST_SOAK_SEED=$(SEED) \
		$(BIN)/python -m pytest -q -s --timeout 0 tests/end_to_end/test_crash_rounds.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q --no-header $(addprefix tests/architecture/test_,names.py words.py docstrings.py)

# What every test runs of neurdicom/, by hand: it takes long.
coverage: install
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered --cov-report=html

# Figures go to benchmarks/results; `make bench ONLY="bridge catalog"` runs some.
bench: install
	$(BIN)/python -m benchmarks $(ONLY)

# make bench-compare A B, with two files that `make bench` wrote.
bench-compare: install
	@$(BIN)/python -m benchmarks.compare $(or $(A),$(word 2,$(MAKECMDGOALS))) $(or $(B),$(word 3,$(MAKECMDGOALS)))

# What the next release's section of CHANGELOG.md will say of the files in news/; with VERSION=X.Y.Z they are moved there.
news: install
	$(BIN)/towncrier build --yes $(if $(VERSION),--version $(VERSION),--draft --version next)

# The sdist and the wheel, in dist/, looked into, and the wheel's server started outside the checkout.
dist: install
	$(BIN)/python -m distribution.check

# The site, in build/docs: strictly, and without a network once the tools are there.
docs: install mermaid
	$(BIN)/python docs/build.py

# The OHIF viewer, built by its makers, for the tests that drive it.
ohif: .ohif/$(OHIF)

.ohif/$(OHIF):
	rm -rf .ohif && mkdir .ohif
	cd .ohif && npm pack --silent @ohif/app@$(OHIF) >/dev/null && tar -xzf ohif-app-$(OHIF).tgz && rm ohif-app-$(OHIF).tgz
	@touch $@

# What draws the diagrams of the site, from npm, so that pages ask no other host for it.
mermaid: .mermaid/$(MERMAID)

.mermaid/$(MERMAID):
	@command -v npm >/dev/null || { echo "missing: npm (Debian: apt-get install npm)"; exit 1; }
	rm -rf .mermaid && mkdir .mermaid
	cd .mermaid && npm pack --silent mermaid@$(MERMAID) >/dev/null && \
		tar -xzf mermaid-$(MERMAID).tgz package/dist/mermaid.min.js package/LICENSE && rm mermaid-$(MERMAID).tgz
	mv .mermaid/package $@

clean:
	rm -rf $(VENV) .ohif .mermaid build dist *.egg-info bridge/*.cpp neurdicom/*.so plugins/build plugins/*/*.so
