"""Region tokens are stored with the vectors, and libraries that were indexed without them get them."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samples import model_without_regions

from mmsearch.config import Settings
from mmsearch.encoders.export import region_graph
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.encoders.torch.projection import Projection
from mmsearch.library.opening import open_library
from mmsearch.media.decode import decode
from mmsearch.types import IndexReport, Progress, Regions


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> OnnxEncoder:
    """The embedded model without region tokens."""
    return OnnxEncoder(model_without_regions(tmp_path_factory.mktemp("models") / "model"))


@pytest.fixture(scope="module")
def now(before: OnnxEncoder, tmp_path_factory: pytest.TempPathFactory) -> OnnxEncoder:
    """The same with them."""
    return with_projection(before, tmp_path_factory.mktemp("models") / "model", seed=0)


def with_projection(model: OnnxEncoder, folder: Path, seed: int) -> OnnxEncoder:
    shutil.copytree(model.folder, folder)
    region_graph.write(folder, Projection.random(1280, 120, seed=seed))
    return OnnxEncoder(folder)


def index(settings: Settings, encoder: OnnxEncoder, *paths: Path, steps: list[Progress] | None = None) -> IndexReport:
    with open_library(settings.library, settings=settings, encoder=encoder) as library:
        return library.index(paths, progress=steps.append if steps is not None else None)


def stored(settings: Settings, encoder: OnnxEncoder) -> dict[str, Regions]:
    """The tokens that the library has of each photo, by its name."""
    found = {}
    with open_library(settings.library, settings=settings, encoder=encoder) as library:
        model, card = library.store.model(), encoder.card.regions
        assert model is not None
        assert card is not None
        ids = library.store.searchable(model)
        files = library.store.photos(ids.tolist())
        tokens, there = library.store.regions(ids, model, card)
        for number, regions, has in zip(ids.tolist(), tokens, there, strict=True):
            found.update({Path(photo.path).name: regions for photo in files[number] if has})
        assert library.status().regions == len(found)
    return found


def assert_right(found: dict[str, Regions], files: list[Path], encoder: OnnxEncoder) -> None:
    """The tokens are those that the encoder gives for the files now, within half a step of int8."""
    assert set(found) == {file.name for file in files}
    for path in files:
        with path.open("rb") as file:
            pixels = decode(file, str(path), encoder.card.preprocess).pixels
        regions = encoder.encode_pictures(pixels[None])[1]
        assert regions is not None
        steps = np.abs(regions[0]).max(axis=1, keepdims=True) / 127
        assert (np.abs(found[path.name] - regions[0]) <= 0.55 * steps).all()  # float16 scales are a little larger


def pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def snapshot(settings: Settings, encoder: OnnxEncoder) -> tuple[int, list[int], bytes, list[tuple[str, int]]]:
    """All that may not change when tokens come: generation, ids, vectors, the index file."""
    with open_library(settings.library, settings=settings, encoder=encoder) as library:
        model = library.store.model()
        assert model is not None
        ids = library.store.searchable(model)
        vectors = library.store.vectors(ids, model.dim).tobytes()
        index = [(file.name, file.stat().st_mtime_ns) for file in (library.folder / "index").iterdir()]
        return library.status().generation, ids.tolist(), vectors, index


def test_tokens_are_stored_with_the_vectors(settings: Settings, photos: Path, now: OnnxEncoder) -> None:
    report = index(settings, now, photos)
    assert (report.added, report.encoded, report.regions) == (5, 5, 0)
    assert_right(stored(settings, now), pictures(photos), now)


def test_library_indexed_before_gets_tokens_and_nothing_else_changes(
    settings: Settings, photos: Path, before: OnnxEncoder, now: OnnxEncoder
) -> None:
    assert index(settings, before, photos).regions == 0
    was = snapshot(settings, before)
    steps: list[Progress] = []
    report = index(settings, now, photos, steps=steps)
    assert (report.unchanged, report.encoded, report.regions, report.skipped) == (5, 0, 5, ())
    assert [(step.done, step.total, step.step) for step in steps] == [(n, 5, "regions") for n in range(1, 6)]
    assert [step.path for step in steps] == [str(path) for path in pictures(photos)]
    assert_right(stored(settings, now), pictures(photos), now)
    assert snapshot(settings, now) == was
    again: list[Progress] = []
    assert index(settings, now, photos, steps=again).regions == 0
    assert again == []


def test_interrupted_back_fill_goes_on(settings: Settings, photos: Path, before: OnnxEncoder, now: OnnxEncoder) -> None:
    def interrupt(step: Progress) -> None:
        raise KeyboardInterrupt

    index(settings, before, photos)
    with open_library(settings.library, settings=settings, encoder=now) as library, pytest.raises(KeyboardInterrupt):
        library.index(photos, progress=interrupt)
    assert len(stored(settings, now)) == settings.batch == 4
    assert index(settings, now).regions == 1
    assert_right(stored(settings, now), pictures(photos), now)


def test_new_pictures_and_old_ones_in_one_run(
    settings: Settings, photos: Path, before: OnnxEncoder, now: OnnxEncoder
) -> None:
    index(settings, before, photos / "trips")
    shutil.copy(photos / "trips" / "rocket.jpg", photos / "start.jpg")  # known content
    report = index(settings, now, photos)
    assert (report.added, report.encoded, report.regions) == (4, 3, 2)
    assert_right(stored(settings, now), pictures(photos), now)


def test_only_named_folders_are_filled(settings: Settings, photos: Path, before: OnnxEncoder, now: OnnxEncoder) -> None:
    index(settings, before, photos)
    assert index(settings, now, photos / "trips").regions == 2
    assert set(stored(settings, now)) == {"motorcycle.png", "rocket.jpg"}
    assert index(settings, now).regions == 3


def change_unseen(path: Path) -> None:
    """Another content of the same size and time."""
    facts, content = path.stat(), bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def test_file_with_another_content_is_left_alone(
    settings: Settings, photos: Path, before: OnnxEncoder, now: OnnxEncoder
) -> None:
    index(settings, before, photos)
    change_unseen(photos / "trips" / "rocket.jpg")
    report = index(settings, now, photos)
    assert (report.unchanged, report.regions, report.skipped) == (5, 4, ())
    assert_right(stored(settings, now), [p for p in pictures(photos) if p.name != "rocket.jpg"], now)
    shutil.copy(photos / "trips" / "rocket.jpg", photos / "trips" / "later.jpg")
    assert index(settings, now, photos).added == 1  # the changed content is one of its own


def test_any_copy_of_a_content_will_do(settings: Settings, photos: Path, before: OnnxEncoder, now: OnnxEncoder) -> None:
    shutil.copy(photos / "trips" / "rocket.jpg", photos / "a.jpg")
    index(settings, before, photos)
    change_unseen(photos / "a.jpg")  # the first of the two by name
    assert index(settings, now, photos).regions == 5
    assert "rocket.jpg" in stored(settings, now)


def test_pictures_out_of_reach_are_left_alone(
    settings: Settings, photos: Path, before: OnnxEncoder, now: OnnxEncoder
) -> None:
    index(settings, before, photos)
    photos.rename(photos.with_name("unplugged"))
    report = index(settings, now)
    assert (report.regions, report.removed, report.skipped) == (0, 0, ())
    assert stored(settings, now) == {}
    photos.with_name("unplugged").rename(photos)
    assert index(settings, now).regions == 5


def test_tokens_can_be_left_out(settings: Settings, photos: Path, now: OnnxEncoder) -> None:
    without = replace(settings, regions=False)
    for _ in range(2):
        assert index(without, now, photos).regions == 0
        assert stored(settings, now) == {}
    assert index(settings, now, photos).regions == 5


def test_tokens_of_another_projection_are_replaced(
    settings: Settings, photos: Path, now: OnnxEncoder, tmp_path: Path
) -> None:
    index(settings, now, photos)
    other = with_projection(now, tmp_path / "other", seed=1)
    assert index(settings, other, photos).regions == 5
    assert_right(stored(settings, other), pictures(photos), other)
    assert index(settings, other, photos).regions == 0
