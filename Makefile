# Everything runs from here: `make demo`, `make test`, `make check`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check types clean

# The environment, made again when the dependencies change.  The pair torch/torchvision is pinned to one that was tested.
$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "torch==2.14.1" "torchvision==0.29.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $(STAMP)

# The main job on sample photos: index ./photos, then three queries.
demo: $(STAMP)
	$(BIN)/python -m mmsearch.cli.samples photos
	$(BIN)/mmsearch index --library photos/.mmsearch photos
	$(BIN)/mmsearch query --library photos/.mmsearch -k 3 "a man with a camera"
	$(BIN)/mmsearch query --library photos/.mmsearch -k 3 "a motorcycle in a garage"
	$(BIN)/mmsearch query --library photos/.mmsearch -k 3 "a cat"

test: $(STAMP)
	$(BIN)/pytest -q

types:  # the installed layout, as links, for mypy and pyright
	rm -rf build/types && mkdir -p build/types/mmsearch
	ln -s $(CURDIR)/mmsearch/* $(CURDIR)/indexes $(CURDIR)/cli build/types/mmsearch/

check: $(STAMP) types
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --explicit-package-bases tests benchmarks
	$(BIN)/pytest -q

clean:
	rm -rf $(VENV) build photos
