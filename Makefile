# book: from nothing to _build/html/index.html.  test: pytest and nbval.  lab: the chapters in JupyterLab.
# bench: cost against named peers, which it installs.
PYTHON ?= python3
PROFILE ?= demo
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# glibc gives large blocks back to the kernel after each use; keeping them makes training up to 1.3 times faster.
export MALLOC_TRIM_THRESHOLD_ := 100000000000
export MALLOC_MMAP_MAX_ := 0
export MALLOC_TOP_PAD_ := 268435456
# Python then keeps what it compiled, whatever is set outside: imports take a third of the time from the second one on.
unexport PYTHONDONTWRITEBYTECODE

# Tests run in as many processes as there are processors, at most four: each may take 3 GB.
WORKERS := -n auto --maxprocesses 4

.PHONY: book test lab bench clean

book: $(STAMP)
	$(BIN)/calcium-decoding book build --profile $(PROFILE)

test: $(STAMP)
	$(BIN)/ruff check lib tests book benchmarks
	$(BIN)/lint-imports
	$(BIN)/python -m pytest $(WORKERS) --dist worksteal tests
	$(BIN)/python -m pytest $(WORKERS) --dist loadfile --nbval-lax --nbval-cell-timeout=600 \
		--nbval-sanitize-with=tests/reference/varying.cfg -p no:cacheprovider tests/reference

lab: $(STAMP)
	$(BIN)/jupytext --sync book/[0-9]*.py
	$(BIN)/jupyter lab --ServerApp.port=8990 --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/book

bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	for each in benchmarks/*.py; do $(BIN)/python $$each || exit 1; done

clean:
	rm -rf _build book/*.ipynb book/.ipynb_checkpoints

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(v < (3, 11) and "Python %d.%d found, 3.11 or newer needed: make PYTHON=python3.12 ..." % v or 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e '.[book,test]'
	@touch $@
