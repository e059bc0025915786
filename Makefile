# Everything runs from here: `make demo`, `make test`, `make check`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test quick-test bench reference model-table site notices dist check lint types clean

# The environment, made again when the dependencies change.  torch and torchvision are a tested pair.
$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch==2.14.1 torchvision==0.29.1
	$(PIP) -e ".[dev]"
	touch $(STAMP)

# The main job on sample photos: index ./photos, then three queries, in a library of its own.
demo: export MMSEARCH_LIBRARY = $(CURDIR)/photos/.mmsearch
demo: $(STAMP)
	@$(BIN)/python -m mmsearch.cli.samples photos
	$(BIN)/mmsearch index photos
	$(BIN)/mmsearch query -k 3 "a man with a camera"
	$(BIN)/mmsearch query -k 3 "a cup of coffee"
	$(BIN)/mmsearch query -k 3 photos/motorcycle_left.png

test: $(STAMP)
	$(BIN)/python tests/steps.py

quick-test: $(STAMP)  # without those marked slow: soak and kill runs, training to the end
	$(BIN)/python tests/steps.py quick

types:  # the installed layout, as links, for mypy and pyright
	rm -rf build/types && mkdir -p build/types/mmsearch
	ln -s $(CURDIR)/mmsearch/* $(CURDIR)/indexes $(CURDIR)/cli build/types/mmsearch/

PHOTOS ?= photos
bench: $(STAMP)  # figures of speed into docs/performance.md; PHOTOS is a folder of many photos
	$(BIN)/python -m benchmarks.bench --photos $(PHOTOS)

reference: $(STAMP)  # docs/reference.md, from what the commands say with --help
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

lint: $(STAMP) types
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --explicit-package-bases tests benchmarks release

check: lint test

clean:
	rm -rf $(VENV) build photos
