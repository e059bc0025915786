"""Whatever happens to the files between two runs, a library answers like a look at every file."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scores import score

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import unit_rows
from mmsearch.encoders.protocol import ModelCard, RegionCard, TokenRules
from mmsearch.library.opening import open_library
from mmsearch.media.decode import decode
from mmsearch.query.model import Query, Words
from mmsearch.types import Pixels, Preprocess, Regions, Vectors

pytestmark = pytest.mark.slow

NAMES = ["a.png", "b.png", "c.png", "s/a.png", "s/b.png", "t/u/a.png"]
CONTENTS = range(4)


class Tiny:
    """An encoder that is a fixed random projection: different pictures get different vectors."""

    device, batch, folder = "cpu", 0, None
    measured: Path | None = None
    regions = RegionCard(2, 3, "mean colours")
    card = ModelCard("tiny", 8, Preprocess(8), TokenRules(8), "0", regions=regions)
    _weights = np.random.default_rng(0).standard_normal((192, 8)).astype(np.float32)

    def encode_images(self, pixels: Pixels) -> Vectors:
        flat = pixels.reshape(len(pixels), -1) / 255 - 0.5  # (n, 192)
        return unit_rows((flat @ self._weights).astype(np.float32))

    def encode_pictures(self, pixels: Pixels) -> tuple[Vectors, Regions]:
        quarters = pixels.reshape(-1, 2, 4, 2, 4, 3).mean(axis=(2, 4)).reshape(-1, 4, 3)  # (n, regions, colours)
        return self.encode_images(pixels), quarters.astype(np.float32)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        rows = [np.random.default_rng(len(text)).standard_normal(8) for text in texts]
        return unit_rows(np.stack(rows).astype(np.float32))


names = st.sampled_from(NAMES)
changes = st.one_of(
    st.tuples(st.just("write"), names, st.sampled_from(CONTENTS)),
    st.tuples(st.sampled_from(["delete", "damage"]), names, st.none()),
    st.tuples(st.sampled_from(["move", "copy", "swap"]), names, names),
)


def apply(folder: Path, pictures: list[bytes], time: int, change: tuple[str, str, object]) -> None:
    kind, name, other = change
    file = folder / name
    if kind == "write":
        file.write_bytes(pictures[int(str(other))])
        os.utime(file, ns=(time, time))
    elif kind == "damage":
        file.write_bytes(pictures[0][:60])
        os.utime(file, ns=(time, time))
    elif file.exists() and kind == "delete":
        file.unlink()
    elif file.exists() and name != other:
        target = folder / str(other)
        if kind == "move":
            file.replace(target)
        elif kind == "copy":
            shutil.copy2(file, target)
        elif target.exists():  # swap
            file.rename(folder / "x")
            target.rename(file)
            (folder / "x").rename(target)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(changes, min_size=1, max_size=5), min_size=1, max_size=8))
def test_library_equals_the_folder_after_any_changes(runs: list[list[tuple[str, str, object]]]) -> None:
    encoder = Tiny()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(os.path.realpath(scratch)) / "photos"
        (folder / "s").mkdir(parents=True)
        (folder / "t" / "u").mkdir(parents=True)
        pictures = []
        for content in CONTENTS:
            picture = np.random.default_rng(content).integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(picture).save(folder / "x.png")
            pictures.append((folder / "x.png").read_bytes())
        time = 10**18
        with open_library(
            folder.parent / "library",
            settings=replace(Settings(), batch=2, decoders=1, reranker="none"),
            encoder=encoder,
        ) as library:
            for run in runs:
                for change in run:
                    time += 10**9  # every change shows in the time of a file
                    apply(folder, pictures, time, change)
                report = library.index(folder)
                wanted, damaged, tokens = {}, set(), {}
                query = encoder.encode_texts(["x"])[0]
                for path in folder.rglob("*.png"):
                    if path.read_bytes() == pictures[0][:60]:
                        damaged.add(str(path))
                    else:
                        with path.open("rb") as file:
                            pixels = decode(file, str(path), encoder.card.preprocess).pixels
                        wanted[str(path)] = float(encoder.encode_images(pixels[None])[0] @ query)
                        tokens[str(path)] = encoder.encode_pictures(pixels[None])[1][0]
                hits = library.search(Query((Words("x"),), arithmetic=True), 100)
                assert {hit.path for hit in hits} == set(wanted)
                for hit in hits:
                    assert abs(score(hit) - wanted[hit.path]) < 2e-3
                assert {item.path for item in report.skipped} == damaged
                if wanted:
                    model = library.store.model()
                    assert model is not None
                    ids = library.store.searchable(model)
                    stored, there = library.store.regions(ids, model, encoder.regions)
                    assert there.all()
                    assert library.status().regions == len(wanted)
                    files = library.store.photos(ids.tolist())
                    for number, regions in zip(ids.tolist(), stored, strict=True):
                        for photo in files[number]:
                            np.testing.assert_allclose(regions, tokens.pop(photo.path), atol=1.01)  # 255 / 127 / 2
                    assert tokens == {}
                again = library.index(folder)
                assert again.regions == 0
                assert (again.unchanged, again.encoded, len(again.skipped)) == (len(wanted), 0, len(damaged))
