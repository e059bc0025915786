# Everything runs from here: `make demo`, `make test`, `make check`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LIGHT := .venv-light
LIGHT_STAMP := $(LIGHT)/.installed
LIGHT_PIP := $(LIGHT)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps

MILVUS_VENV := .venv-milvus

unexport PYTHONDONTWRITEBYTECODE

.PHONY: milvus-env cluster-demo demo test quick-test light-test bench reference model-table site notices dist lock check lint types clean

# The environment, made again when the dependencies change.  torch and torchvision are a tested pair.  uv is quicker than
# pip; where it cannot reach what pip can, pip does it.  Modules are compiled when they are first imported.
$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --no-compile torch==2.14.1 torchvision==0.29.1 uv
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet -e ".[dev]" || $(PIP) -e ".[dev]"
	touch $(STAMP)

# The light way: no torch, no open_clip, in an environment of its own.  The sample photos are those of scikit-image.
$(LIGHT_STAMP): pyproject.toml requirements/light.txt
	test -x $(LIGHT)/bin/python || $(PYTHON) -m venv $(LIGHT)
	$(LIGHT_PIP) -r requirements/light.txt -e .
	test -d $(LIGHT)/samples || $(LIGHT_PIP) --no-compile --target $(LIGHT)/samples scikit-image
	touch $(LIGHT_STAMP)

# A Milvus of its own for tests and benchmarks; what it needs of Python is old.
$(MILVUS_VENV)/.installed:
	$(PYTHON) -m venv $(MILVUS_VENV)
	$(MILVUS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check "milvus==2.3.5" "pymilvus<2.4" "setuptools<81" "marshmallow<4"
	touch $(MILVUS_VENV)/.installed

milvus-env: $(MILVUS_VENV)/.installed

# The main job on sample photos: index ./photos, then three queries, in a library of its own.
demo: export MMSEARCH_LIBRARY = $(CURDIR)/photos/.mmsearch
demo: $(LIGHT_STAMP)
	@PYTHONPATH=$(CURDIR)/$(LIGHT)/samples $(LIGHT)/bin/python -m mmsearch.cli.samples photos
	$(LIGHT)/bin/mmsearch index photos
	$(LIGHT)/bin/mmsearch query -k 3 "a man with a camera"
	$(LIGHT)/bin/mmsearch query -k 3 "a cup of coffee"
	$(LIGHT)/bin/mmsearch query -k 3 photos/motorcycle_left.png

# Past one machine, on one: PostgreSQL (and Milvus with MILVUS=1) from packages, the sample photos, three questions.
cluster-demo: $(STAMP) $(if $(MILVUS),$(MILVUS_VENV)/.installed)
	$(BIN)/python -m benchmarks.cluster_demo $(if $(MILVUS),--milvus)

test: $(STAMP)
	$(BIN)/python tests/steps.py

quick-test: $(STAMP)  # without those marked slow: soak and kill runs, training to the end
	$(BIN)/python tests/steps.py quick

light-test: $(LIGHT_STAMP)  # what works in the light way, with its environment
	PYTHONPATH=$(CURDIR)/$(LIGHT)/samples $(LIGHT)/bin/python tests/light_run.py

types:  # the installed layout, as links, for mypy and pyright
	rm -rf build/types && mkdir -p build/types/mmsearch
	ln -s $(CURDIR)/mmsearch/* $(CURDIR)/indexes $(CURDIR)/cli build/types/mmsearch/

PHOTOS ?= photos
bench: $(STAMP)  # figures of speed into docs/performance.md; PHOTOS is a folder of many photos
	$(BIN)/python -m benchmarks.bench --photos $(PHOTOS)

reference: $(STAMP)  # docs/reference.md and man/mmsearch.1, from what the commands say with --help
	$(BIN)/python docs/make_reference.py

model-table: $(STAMP)  # open_clip's table of pretrained weights, for another version of open_clip
	$(BIN)/python -m mmsearch.encoders.hub.open_clip_table

site: $(STAMP)  # the pages of docs/ as a site in build/site
	$(BIN)/python docs/make_site.py
	$(BIN)/zensical build --clean

notices: $(STAMP)  # the licences of all that mmsearch is installed with
	$(BIN)/python release/notices.py > build/third-party-notices.txt

dist: $(STAMP)  # the sdist and the wheel, built twice: the same bytes
	$(BIN)/python release/build.py --twice dist

# The versions of the light way, from pyproject.toml; needs uv.
LOCKED := --universal --python-version 3.10 --no-python-downloads --no-annotate --no-header
lock:
	uv pip compile --quiet $(LOCKED) --extra web --overrides requirements/light-overrides.txt pyproject.toml \
	    -o build/light.txt
	{ sed '/^[^#]/,$$d' requirements/light.txt; cat build/light.txt; } > build/light-new.txt
	mv build/light-new.txt requirements/light.txt

lint: $(STAMP) types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --explicit-package-bases tests benchmarks release

check: lint test

clean:
	rm -rf $(VENV) $(LIGHT) build photos
