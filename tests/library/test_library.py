"""What happens to a library when files come, change, move, vanish and break."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest
from older_schema import write_schema
from PIL import Image
from samples import SAMPLES
from scores import score as score_of

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import (
    LibraryBusyError,
    ModelMismatchError,
    NewerLibraryError,
    NoModelError,
    QueryError,
    SourceError,
)
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.media.decode import decode
from mmsearch.query.model import Example, Query, Words
from mmsearch.types import Damaged, IndexReport, Progress, Skipped


def counts(report: IndexReport) -> dict[str, int]:
    """The parts of a report that are not zero."""
    names = ("added", "updated", "moved", "restored", "unchanged", "removed", "encoded")
    values = {name: getattr(report, name) for name in names}
    return {name: value for name, value in {**values, "skipped": len(report.skipped)}.items() if value}


def brute_force(folder: Path, encoder: OnnxEncoder, text: str) -> list[tuple[str, float]]:
    """Every picture below a folder by cosine with a text, encoded anew, best first."""
    scored = []
    query = encoder.encode_texts([text])[0]
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".png", ".jpg"):
            with path.open("rb") as file:
                pixels = decode(file, str(path), encoder.card.preprocess).pixels
            vector = encoder.encode_images(pixels[None])[0].astype(np.float16).astype(np.float32)
            scored.append((str(path), float(query @ vector)))
    return sorted(scored, key=lambda item: -item[1])


def found(library: Library, text: str = "a cat", k: int = 10) -> list[tuple[str, float]]:
    """By cosine alone: what words and backgrounds add is tested in ``test_search.py``."""
    hits = library.search(Query((Words(text),), arithmetic=True), k)
    return [(hit.path, score_of(hit)) for hit in hits]


def assert_same(hits: list[tuple[str, float]], wanted: list[tuple[str, float]]) -> None:
    assert [path for path, _ in hits] == [path for path, _ in wanted]
    np.testing.assert_allclose([score for _, score in hits], [score for _, score in wanted], atol=1e-3)


def test_first_run_adds_all_and_answers_equal_brute_force(library: Library, photos: Path, encoder: OnnxEncoder) -> None:
    report = library.index(photos)
    assert counts(report) == {"added": 5, "encoded": 5}
    assert report.model == "embedded"
    for text in ("a cat", "a man with a camera", "a motorcycle"):
        assert_same(found(library, text), brute_force(photos, encoder, text))
    assert Path(found(library, "a motorcycle")[0][0]).name == "motorcycle.png"


def test_second_run_reads_nothing(library: Library, photos: Path) -> None:
    library.index(photos)
    steps: list[Progress] = []
    assert counts(library.index(photos, progress=steps.append)) == {"unchanged": 5}
    assert steps == []


def test_touched_file_is_not_encoded_again(library: Library, photos: Path) -> None:
    library.index(photos)
    generation = library.status().generation
    os.utime(photos / "cat.png", ns=(1, 1))
    assert counts(library.index(photos)) == {"unchanged": 5}
    assert counts(library.index(photos)) == {"unchanged": 5}
    assert library.status().generation == generation


def test_moved_and_renamed_files_keep_their_vectors(library: Library, photos: Path, encoder: OnnxEncoder) -> None:
    library.index(photos)
    (photos / "cat.png").rename(photos / "trips" / "chelsea.png")
    (photos / "trips" / "rocket.jpg").rename(photos / "start.jpg")
    assert counts(library.index(photos)) == {"moved": 2, "unchanged": 3}
    assert_same(found(library), brute_force(photos, encoder, "a cat"))


def test_two_files_that_swap_names_are_found_under_their_new_ones(
    library: Library, photos: Path, encoder: OnnxEncoder
) -> None:
    library.index(photos)
    (photos / "cat.png").rename(photos / "other.png")
    (photos / "grass.png").rename(photos / "cat.png")
    (photos / "other.png").rename(photos / "grass.png")
    for name, time in (("cat.png", 10), ("grass.png", 20)):
        os.utime(photos / name, ns=(time, time))
    report = library.index(photos)
    assert (report.encoded, report.removed, report.skipped) == (0, 0, ())
    assert_same(found(library), brute_force(photos, encoder, "a cat"))


def test_copied_file_is_added_without_encoding(library: Library, photos: Path, encoder: OnnxEncoder) -> None:
    library.index(photos)
    shutil.copy(photos / "cat.png", photos / "copy.png")
    assert counts(library.index(photos)) == {"added": 1, "unchanged": 5}
    assert {Path(path).name for path, _ in found(library)[:2]} == {"cat.png", "copy.png"}


def test_edited_file_gets_a_new_vector(library: Library, photos: Path, encoder: OnnxEncoder) -> None:
    library.index(photos)
    shutil.copy(SAMPLES / "coffee.png", photos / "cat.png")
    assert counts(library.index(photos)) == {"updated": 1, "unchanged": 4, "encoded": 1}
    assert_same(found(library), brute_force(photos, encoder, "a cat"))


def test_deleted_file_is_missing_and_comes_back_without_encoding(
    library: Library, photos: Path, encoder: OnnxEncoder
) -> None:
    library.index(photos)
    before = found(library)
    content, time = (photos / "cat.png").read_bytes(), (photos / "cat.png").stat().st_mtime_ns
    (photos / "cat.png").unlink()
    assert counts(library.index(photos)) == {"removed": 1, "unchanged": 4}
    assert_same(found(library), brute_force(photos, encoder, "a cat"))
    assert (library.status().photos, library.status().missing) == (4, 1)
    assert counts(library.index(photos)) == {"unchanged": 4}
    (photos / "cat.png").write_bytes(content)
    os.utime(photos / "cat.png", ns=(time, time))
    assert counts(library.index(photos)) == {"restored": 1, "unchanged": 4}
    assert found(library) == before


def test_deleted_file_comes_back_with_another_time_and_at_another_path(library: Library, photos: Path) -> None:
    library.index(photos)
    content = (photos / "cat.png").read_bytes()
    (photos / "cat.png").unlink()
    library.index(photos)
    (photos / "cat.png").write_bytes(content)
    os.utime(photos / "cat.png", ns=(5, 5))
    assert counts(library.index(photos)) == {"restored": 1, "unchanged": 4}
    (photos / "cat.png").unlink()
    library.index(photos)
    (photos / "found.png").write_bytes(content)
    assert counts(library.index(photos)) == {"moved": 1, "unchanged": 4}
    assert library.status().missing == 0


def test_damaged_file_is_recorded_and_tried_again_when_it_changes(library: Library, photos: Path) -> None:
    good = (photos / "grass.png").read_bytes()
    (photos / "grass.png").write_bytes(good[:5000])
    report = library.index(photos)
    assert counts(report) == {"added": 4, "encoded": 4, "skipped": 1}
    (skipped,) = report.skipped
    assert skipped.path == str(photos / "grass.png")
    assert library.status().failures == (skipped,)
    assert library.status().failed == 1
    steps: list[Progress] = []
    assert library.index(photos, progress=steps.append).skipped == (skipped,)
    assert steps == []  # not read again
    (photos / "grass.png").write_bytes(good)
    assert counts(library.index(photos)) == {"added": 1, "unchanged": 4, "encoded": 1}
    assert library.status().failures == ()


def test_file_that_breaks_is_not_searched_and_keeps_its_vector_for_its_return(library: Library, photos: Path) -> None:
    library.index(photos)
    good = (photos / "cat.png").read_bytes()
    (photos / "cat.png").write_bytes(b"")
    assert library.index(photos).skipped == (Skipped(str(photos / "cat.png"), "the file is empty"),)
    assert str(photos / "cat.png") not in dict(found(library))
    (photos / "cat.png").write_bytes(good)
    assert counts(library.index(photos)) == {"restored": 1, "unchanged": 4}
    assert found(library)[0][0] == str(photos / "cat.png")


def test_suddenly_empty_folder_is_not_read_as_all_deleted(library: Library, photos: Path) -> None:
    library.index(photos)
    photos.rename(photos.with_name("elsewhere"))
    photos.mkdir()  # an empty mount point
    report = library.index(photos)
    assert counts(report) == {}
    assert "is its drive connected?" in report.notes[0]
    assert library.status().photos == 5
    photos.rmdir()
    with pytest.raises(SourceError, match="no such file or folder"):
        library.index(photos)
    (note,) = library.index().notes
    assert note.startswith(f"{photos} is not there now: nothing was changed for the 5 pictures")
    assert library.status().photos == 5
    photos.with_name("elsewhere").rename(photos)
    assert counts(library.index()) == {"unchanged": 5}


def test_several_folders_in_one_library(library: Library, photos: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(SAMPLES / "astronaut.png", other)
    library.index([photos, other])
    assert library.status().roots == (str(other), str(photos))
    assert {Path(hit.path).name for hit in library.search("a woman", within=other)} == {"astronaut.png"}
    assert {Path(hit.path).name for hit in library.search("a cat", within=photos / "trips")} == {
        "motorcycle.png",
        "rocket.jpg",
    }
    assert [hit.path for hit in library.search("a cat", within=photos / "cat.png")] == [str(photos / "cat.png")]
    (tmp_path / "nothing").mkdir()
    assert library.search("a cat", within=tmp_path / "nothing") == []
    with pytest.raises(QueryError, match="no such file or folder, and no picture is known there"):
        library.search("a cat", within=tmp_path / "nowhere")
    (other / "astronaut.png").unlink()
    shutil.copy(SAMPLES / "coffee.png", other)
    assert counts(library.index()) == {"added": 1, "unchanged": 5, "removed": 1, "encoded": 1}


def test_a_folder_whose_name_begins_like_another_is_not_in_it(library: Library, photos: Path) -> None:
    shutil.copytree(photos / "trips", photos / "trips2")
    library.index(photos)
    assert len(library.search("x", within=photos / "trips")) == 2
    assert library.remove(photos / "trips") == 2
    assert len(library.search("x", within=photos / "trips2")) == 2


def test_file_names_that_are_no_utf8(library: Library, photos: Path, encoder: OnnxEncoder) -> None:
    name = os.path.join(os.fsencode(photos), b"caf\xe9 \n \xf0\x9f\x90\xb1.png")
    try:
        shutil.copy(os.fsencode(photos / "cat.png"), name)
    except OSError:
        pytest.skip("this file system wants UTF-8 names")
    (photos / "cat.png").unlink()
    library.index(photos)
    assert library.search("a cat", 1)[0].path == os.fsdecode(name)
    assert counts(library.index(photos)) == {"unchanged": 5}
    assert library.remove(os.fsdecode(name)) == 1


def test_removed_photo_is_not_found_after_reload(
    library: Library, photos: Path, settings: Settings, encoder: OnnxEncoder
) -> None:
    library.index(photos)
    assert library.remove([photos / "cat.png", photos / "trips"]) == 3
    assert library.remove(photos / "cat.png") == 0
    with open_library(library.folder, settings=settings, encoder=encoder) as again:
        assert {Path(path).name for path, _ in found(again)} == {"cameraman.png", "grass.png"}
    assert (photos / "cat.png").exists()


def test_answers_survive_reload_and_loss_of_the_index(
    library: Library, photos: Path, settings: Settings, encoder: OnnxEncoder
) -> None:
    library.index(photos)
    wanted = found(library)
    with open_library(library.folder, settings=settings, encoder=encoder) as again:
        assert found(again) == wanted
    for ending in (".json", ".f16", ".ids"):
        for damage in (Path.unlink, lambda file: file.write_bytes(b"damaged")):
            for file in (library.folder / "index").glob(f"*{ending}"):
                damage(file)
            with open_library(library.folder, settings=settings, encoder=encoder) as again:
                assert found(again) == wanted
            (kept,) = (library.folder / "index").glob("*.json")  # built again and kept
            assert json.loads(kept.read_text())["count"] == len(wanted)


def test_a_stale_index_is_caught_up(library: Library, photos: Path, settings: Settings, encoder: OnnxEncoder) -> None:
    library.index(photos / "trips")
    old = {file: file.read_bytes() for file in (library.folder / "index").iterdir()}
    library.index(photos)
    library.remove(photos / "trips" / "rocket.jpg")
    for newer in (library.folder / "index").iterdir():
        newer.unlink()
    for file, content in old.items():
        file.write_bytes(content)  # as after a kill between the commit and the writing of the index
    with open_library(library.folder, settings=settings, encoder=encoder) as again:
        assert {Path(path).name for path, _ in found(again)} == {
            "cat.png", "cameraman.png", "grass.png", "motorcycle.png",
        }  # fmt: skip


def test_interrupted_run_keeps_what_it_stored_and_goes_on(library: Library, photos: Path, encoder: OnnxEncoder) -> None:
    def interrupt(step: Progress) -> None:
        if step.done == 2:  # in the first batch of four
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        library.index(photos, progress=interrupt)
    assert library.status().photos == 4
    assert len(found(library)) == 4
    assert counts(library.index(photos)) == {"added": 1, "unchanged": 4, "encoded": 1}
    assert_same(found(library), brute_force(photos, encoder, "a cat"))


def test_backup_of_an_edited_photo_keeps_the_old_vector(library: Library, photos: Path, encoder: OnnxEncoder) -> None:
    library.index(photos)
    (photos / "cat.png").rename(photos / "cat_original.png")
    shutil.copy(SAMPLES / "coffee.png", photos / "cat.png")  # what was known of this path is replaced first
    report = library.index(photos)
    assert counts(report) == {"added": 1, "updated": 1, "unchanged": 4, "encoded": 1}
    assert_same(found(library), brute_force(photos, encoder, "a cat"))


def test_copies_share_one_vector_and_are_all_found(library: Library, photos: Path) -> None:
    for number in range(6):
        shutil.copy(photos / "cat.png", photos / f"copy{number}.png")
    library.index(photos)
    assert (library.status().photos, library.status().index) == (11, 5)
    assert len(library.search("a cat", 4)) == 4
    hits = library.search("a cat", 20)
    assert len({hit.path for hit in hits}) == len(hits) == 11
    library.remove([photos / f"copy{number}.png" for number in range(6)])
    assert (library.status().photos, library.status().index) == (5, 5)
    library.remove(photos / "cat.png")
    assert library.status().index == 4


def test_missing_path_that_is_in_use_again_is_no_source_of_a_move(
    library: Library, photos: Path, encoder: OnnxEncoder
) -> None:
    library.index(photos)
    old = (photos / "cat.png").read_bytes()
    (photos / "cat.png").unlink()
    library.index(photos)
    shutil.copy(SAMPLES / "coffee.png", photos / "cat.png")
    (photos / "another.png").write_bytes(old)
    assert counts(library.index(photos)) == {"added": 1, "updated": 1, "unchanged": 4, "encoded": 1}
    assert_same(found(library), brute_force(photos, encoder, "a cat"))


def test_file_moved_onto_a_missing_one_whose_content_returns(
    library: Library, photos: Path, encoder: OnnxEncoder
) -> None:
    library.index(photos)
    old = (photos / "cat.png").read_bytes()
    (photos / "cat.png").unlink()
    library.index(photos)
    (photos / "grass.png").rename(photos / "cat.png")
    (photos / "returned.png").write_bytes(old)
    assert library.index(photos).encoded == 0
    assert_same(found(library), brute_force(photos, encoder, "a cat"))
    assert counts(library.index(photos)) == {"unchanged": 5}


def test_damaged_file_that_went_and_came_back_is_still_damaged(library: Library, photos: Path) -> None:
    library.index(photos)
    (photos / "cat.png").write_bytes((photos / "cat.png").read_bytes()[:5000])
    library.index(photos)
    (photos / "cat.png").rename(photos.parent / "aside.png")
    library.index(photos)
    (photos.parent / "aside.png").rename(photos / "cat.png")
    assert counts(library.index(photos)) == {"unchanged": 4, "skipped": 1}
    assert str(photos / "cat.png") not in dict(found(library))


def test_database_put_back_to_an_earlier_state(
    library: Library, photos: Path, settings: Settings, encoder: OnnxEncoder
) -> None:
    library.index(photos / "trips")
    library.close()
    file = library.folder / "library.sqlite"
    backup = file.read_bytes()
    with open_library(library.folder, settings=settings, encoder=encoder) as again:
        again.index(photos)
    file.write_bytes(backup)
    shutil.copy(SAMPLES / "coffee.png", photos)
    with open_library(library.folder, settings=settings, encoder=encoder) as again:
        again.index(photos / "coffee.png")  # takes ids that the index on disk knows as other photos
        again.index(photos)
        assert_same(found(again), brute_force(photos, encoder, "a cat"))


def test_model_is_not_switched_while_photos_are_out_of_reach(
    library: Library, photos: Path, settings: Settings, encoder: OnnxEncoder, tmp_path: Path
) -> None:
    drive = tmp_path / "drive"
    drive.mkdir()
    shutil.copy(SAMPLES / "coffee.png", drive)
    library.index([photos, drive])
    drive.rename(tmp_path / "unplugged")
    shutil.copytree(encoder.folder, tmp_path / "other")
    text = (tmp_path / "other" / "model.json").read_text().replace('"context": 64', '"context": 32')
    (tmp_path / "other" / "model.json").write_text(text.replace('"embedded"', '"other"'))
    with open_library(library.folder, settings=settings, encoder=OnnxEncoder(tmp_path / "other")) as again:
        report = again.index(model="other")
        assert any("still searching with embedded: 1 pictures" in note for note in report.notes)
        assert len(found(library)) == 6
        (tmp_path / "unplugged").rename(drive)
        assert counts(again.index(model="other")) == {"updated": 1, "unchanged": 5, "encoded": 1}
        assert (again.status().model, len(found(again))) == ("other", 6)


def test_file_of_the_far_future(library: Library, photos: Path) -> None:
    os.utime(photos / "cat.png", (10_413_792_000, 10_413_792_000))  # the year 2300: more ns than 64 bits hold
    assert library.index(photos).added == 5
    assert counts(library.index(photos)) == {"unchanged": 5}


def test_hidden_folder_that_was_named_stays_when_its_parent_is_indexed(library: Library, photos: Path) -> None:
    (photos / "trips").rename(photos / ".trips")
    library.index(photos / ".trips")
    assert counts(library.index(photos)) == {"added": 3, "unchanged": 2, "encoded": 3}
    (photos / ".trips" / "rocket.jpg").unlink()
    assert counts(library.index()) == {"unchanged": 4, "removed": 1}


def test_higher_limit_is_tried_at_once(library: Library, photos: Path) -> None:
    library.index(photos, max_megapixels=0.27)
    assert counts(library.index(photos)) == {"added": 2, "unchanged": 3, "encoded": 2}


def test_paths_through_links(library: Library, photos: Path, tmp_path: Path) -> None:
    (photos / "trips").rename(tmp_path / "real")
    try:
        (photos / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    except OSError:
        pytest.skip("links are not allowed here")
    library.index([photos, tmp_path / "real"])
    assert library.status().photos == 5  # each once, by its real path
    inside = {hit.path for hit in library.search("x", within=photos / "link")}
    assert inside == {str(tmp_path / "real" / "rocket.jpg"), str(tmp_path / "real" / "motorcycle.png")}
    assert library.remove(photos / "link" / "rocket.jpg") == 1
    assert len(library.search("x", within=tmp_path / "real")) == 1


def test_last_photo_of_a_folder_that_is_not_empty_is_missing(library: Library, photos: Path) -> None:
    library.index([photos / "trips", photos / "cat.png"])
    (photos / "trips" / "notes.txt").write_text("still here")
    for name in ("trips/motorcycle.png", "trips/rocket.jpg", "cat.png"):
        (photos / name).unlink()
    assert counts(library.index()) == {"removed": 3}


def test_folder_of_odd_bytes_holds_a_library(photos: Path, settings: Settings, encoder: OnnxEncoder) -> None:
    folder = Path(os.fsdecode(os.fsencode(settings.library) + b" \xe9 #?%"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system wants UTF-8 names")
    for _ in range(2):
        with open_library(folder, settings=settings, encoder=encoder) as library:
            library.index(photos)
            assert len(found(library)) == 5
    assert sorted(file.suffix for file in (folder / "index").iterdir()) == [".f16", ".ids", ".json"]


@pytest.mark.parametrize("damage", ["nan", "empty", "narrow", "flat", "cut", "text"])
def test_a_damaged_querybank_is_made_anew(
    settings: Settings, encoder: OnnxEncoder, photos: Path, tmp_path: Path, damage: str
) -> None:
    folder = tmp_path / "library"
    with open_library(folder, settings=settings, encoder=encoder) as library:
        library.index(photos)
        wanted = library.search("a cat", 5)
    (file,) = folder.glob("background-*.npy")
    rows = np.load(file)
    damaged = {
        "nan": rows * np.nan, "empty": rows[:0], "narrow": rows[:, :7], "flat": rows[0], "cut": None, "text": None,
    }[damage]  # fmt: skip
    if damaged is not None:
        np.save(file, damaged)
    else:
        file.write_bytes(file.read_bytes()[:100] if damage == "cut" else b"no array")
    with open_library(folder, settings=settings, encoder=encoder) as library:
        assert library.search("a cat", 5) == wanted
        assert library.verify(deep=True) == []


def test_excluded_files_are_left_out_until_something_else_is_said(library: Library, photos: Path) -> None:
    assert counts(library.index(photos)) == {"added": 5, "encoded": 5}
    assert counts(library.index(photos, exclude=["trips", "cam*"])) == {"unchanged": 2, "removed": 3}
    with open_library(library.folder, settings=library.settings, encoder=library.encoder()) as again:
        for paths in (photos, ()):
            assert counts(again.index(paths)) == {"unchanged": 2}
        assert again.status().exclude == {str(photos): ("trips", "cam*")}
        assert len(again.search("a photo", 10)) == 2
    assert counts(library.index(exclude="cam*")) == {"unchanged": 2, "restored": 2}  # nothing is encoded anew
    assert counts(library.index(photos, exclude=())) == {"unchanged": 4, "restored": 1}
    assert library.status().exclude == {}


def test_a_folder_inside_keeps_to_what_was_said_of_it(library: Library, photos: Path) -> None:
    trips = photos / "trips"
    library.index(trips, exclude="*.png")
    assert counts(library.index(photos, exclude=["*.jpg", ""])) == {"added": 3, "unchanged": 1, "encoded": 3}
    assert counts(library.index()) == {"unchanged": 4}
    library.remove(trips)
    assert library.status().exclude == {str(photos): ("*.jpg",)}
    assert counts(library.index()) == {"added": 1, "unchanged": 3, "encoded": 1}


def test_pixel_limit(library: Library, photos: Path) -> None:
    report = library.index(photos, max_megapixels=0.27)
    assert sorted(Path(item.path).name for item in report.skipped) == ["motorcycle.png", "rocket.jpg"]
    assert "raise max_megapixels" in report.skipped[0].reason


def test_photo_used_as_query_is_not_its_own_answer(library: Library, photos: Path) -> None:
    shutil.copy(SAMPLES / "motorcycle_right.png", photos / "right.png")
    library.index(photos)
    hits = library.search(photos / "trips" / "motorcycle.png", 5)
    assert len(hits) == 5
    assert Path(hits[0].path).name == "right.png"
    assert str(photos / "trips" / "motorcycle.png") not in [hit.path for hit in hits]
    outside = SAMPLES / "chelsea.png"  # not in the library: its copy there is a fair answer
    (hit,) = library.search(outside, 1)
    assert hit.path == str(photos / "cat.png")
    assert score_of(hit) == pytest.approx(1, abs=1e-3)


def test_terms_are_averaged_by_arithmetic(library: Library, photos: Path, encoder: OnnxEncoder) -> None:
    library.index(photos)
    both = encoder.encode_texts(["a cat", "green grass"]).mean(axis=0)
    both /= np.linalg.norm(both)
    scores = {}
    for path in photos.rglob("*.*"):
        with path.open("rb") as file:
            pixels = decode(file, str(path), encoder.card.preprocess).pixels
        scores[str(path)] = float(encoder.encode_images(pixels[None])[0] @ both)
    hits = library.search(Query((Words("a cat"), Words("green grass")), arithmetic=True))
    assert {hit.path: score_of(hit) for hit in hits} == pytest.approx(scores, abs=2e-3)
    mixed = library.search(Query((Example(str(photos / "cat.png")), Words("green grass"))))
    assert mixed[0].path == str(photos / "grass.png")


def test_marks_at_the_end_of_a_query_change_nothing(library: Library, photos: Path) -> None:
    library.index(photos)
    plain = [(hit.path, score_of(hit)) for hit in library.search("a cat", k=5)]
    assert [(hit.path, score_of(hit)) for hit in library.search("A Cat.", k=5)] == plain
    assert [(hit.path, score_of(hit)) for hit in library.search("a cat ?!", k=5)] == plain
    assert library.search("?", k=1)


def test_facts_of_a_hit(library: Library, photos: Path) -> None:
    library.index(photos)
    photo = library.search("a rocket", within=photos / "trips" / "rocket.jpg")[0].photo
    status = (photos / "trips" / "rocket.jpg").stat()
    assert (photo.width, photo.height, photo.format, photo.size) == (640, 427, "jpeg", status.st_size)
    assert photo.date.timestamp() == pytest.approx(status.st_mtime, abs=1)


def test_wrong_queries(library: Library, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(NoModelError, match="is empty"):
        library.search("a cat")
    library.index(photos)
    (tmp_path / "notes.txt").write_text("no picture")
    wrong: dict[str | Path, str] = {
        "": "the query is empty",
        "./nowhere.jpg": "no such file",
        str(photos): "is a folder",
        tmp_path / "notes.txt": "cannot be used as a query",
    }
    for query, message in wrong.items():
        with pytest.raises(QueryError, match=message):
            library.search(query)
    with pytest.raises(QueryError, match="k must be at least 1"):
        library.search("a cat", 0)
    with pytest.raises(SourceError, match="the path is empty"):
        library.remove("")
    assert len(library.search("a cat", 10**20)) == 5


def test_vectors_of_two_models_never_mix(
    library: Library, photos: Path, settings: Settings, encoder: OnnxEncoder, tmp_path: Path
) -> None:
    library.index(photos)
    shutil.copytree(encoder.folder, tmp_path / "other")
    text = (tmp_path / "other" / "model.json").read_text().replace('"context": 64', '"context": 32')
    (tmp_path / "other" / "model.json").write_text(text.replace('"embedded"', '"other"'))
    with open_library(library.folder, settings=settings, encoder=OnnxEncoder(tmp_path / "other")) as again:
        attempts = (lambda: again.search("a cat"), lambda: again.index(photos), lambda: again.index(photos, model="x"))
        for attempt in attempts:
            with pytest.raises(ModelMismatchError, match="was made with the model 'embedded', not 'other'"):
                attempt()


def test_another_model_takes_over_when_its_vectors_are_complete(
    library: Library, photos: Path, settings: Settings, encoder: OnnxEncoder, tmp_path: Path
) -> None:
    library.index(photos)
    wanted = found(library)
    shutil.copytree(encoder.folder, tmp_path / "other")
    text = (tmp_path / "other" / "model.json").read_text().replace('"context": 64', '"context": 32')
    (tmp_path / "other" / "model.json").write_text(text.replace('"embedded"', '"other"'))

    def look(step: Progress) -> None:
        assert found(library) == wanted  # the old vectors serve meanwhile
        if step.done == 2:
            raise KeyboardInterrupt

    with open_library(library.folder, settings=settings, encoder=OnnxEncoder(tmp_path / "other")) as again:
        with pytest.raises(KeyboardInterrupt):
            again.index(model="other", progress=look)
        assert library.status().model == "embedded"
        assert counts(again.index(model="other")) == {"updated": 1, "unchanged": 4, "encoded": 1}
        assert found(again) == wanted  # the same weights under another name
        assert (again.status().model, again.status().index) == ("other", 5)
    with pytest.raises(ModelMismatchError):
        library.search("a cat")


def test_newer_library_is_refused_and_left_alone(library: Library, settings: Settings) -> None:
    import sqlite3

    library.close()
    with sqlite3.connect(library.folder / "library.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '999'")
    connection.close()
    with pytest.raises(NewerLibraryError, match="made by a newer version of mmsearch"):
        open_library(library.folder, settings=settings)


def test_one_writer_at_a_time(library: Library, photos: Path, settings: Settings, encoder: OnnxEncoder) -> None:
    def second(step: Progress) -> None:
        with (
            open_library(library.folder, settings=settings, encoder=encoder) as other,
            pytest.raises(LibraryBusyError, match="another mmsearch is writing"),
        ):
            other.index(photos)

    assert library.index(photos, progress=second).added == 5


def test_searching_from_threads_while_indexing(library: Library, photos: Path, encoder: OnnxEncoder) -> None:
    library.index(photos / "trips")
    stop = threading.Event()
    problems: list[object] = []

    def search() -> None:
        while not stop.is_set():
            try:
                hits = found(library)
                if len(hits) < 2 or [score for _, score in hits] != sorted((s for _, s in hits), reverse=True):
                    problems.append(hits)
            except BaseException as error:
                problems.append(error)

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    library.index(photos)
    library.remove(photos / "grass.png")
    stop.set()
    for thread in threads:
        thread.join()
    assert problems == []
    (photos / "grass.png").unlink()
    assert_same(found(library), brute_force(photos, encoder, "a cat"))


def test_changes_by_another_process_are_seen(
    library: Library, photos: Path, settings: Settings, encoder: OnnxEncoder
) -> None:
    library.index(photos / "trips")
    assert len(found(library)) == 2
    with open_library(library.folder, settings=settings, encoder=encoder) as other:
        other.index(photos)
    assert len(found(library)) == 5


def test_open_library_makes_the_folder_and_loads_the_model(photos: Path, tmp_path: Path) -> None:
    with open_library(tmp_path / "new" / "library", model="embedded", device="cpu") as library:
        assert library.index(photos / "cat.png").added == 1
    with open_library(tmp_path / "new" / "library") as library:
        assert [hit.path for hit in library.search("a cat")] == [str(photos / "cat.png")]


def test_what_is_damaged_of_a_picture_is_reported_and_kept(library: Library, photos: Path) -> None:
    whole = Image.open(photos / "cat.png").convert("RGB")
    whole.save(photos / "cut.jpg", quality=90)
    content = (photos / "cut.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(content[:-2])
    (photos / "copy.jpg").write_bytes(content[:-2])
    damaged = Damaged(str(photos / "copy.jpg"), "the end of the file is missing")
    report = library.index(photos)
    assert (report.added, report.skipped, report.damaged[0]) == (7, (), damaged)
    assert library.status().damaged == (damaged, Damaged(str(photos / "cut.jpg"), damaged.what))  # copies share it
    assert library.index(photos).damaged == ()
    for name in ("cut.jpg", "copy.jpg"):
        (photos / name).write_bytes(content)
    library.index(photos)
    assert library.status().damaged == ()


def test_files_that_an_earlier_version_could_not_read_are_tried_again(
    photos: Path, settings: Settings, encoder: OnnxEncoder
) -> None:
    (photos.parent / "before").mkdir()
    file = write_schema(photos.parent / "before" / "library.sqlite", "006")
    content = (photos / "grass.png").read_bytes()
    broken = (content[:33] + b"\0\0\0\4gAMA\0\0\0\0abcd" + content[33:], b"no picture")
    for name, bad in zip(("grass.png", "cat.png"), broken, strict=True):
        (photos / name).write_bytes(bad)
    with sqlite3.connect(file) as connection:
        for name in ("grass.png", "cat.png"):
            status = (photos / name).stat()
            row = (os.fsencode(photos / name), status.st_size, status.st_mtime_ns)
            connection.execute(
                "INSERT INTO photos (path, state, reason, size, mtime_ns) VALUES (?, 'failed', 'then', ?, ?)", row
            )
    connection.close()
    with open_library(file.parent, settings=settings, encoder=encoder) as library:
        report = library.index(photos)
    assert [damaged.path for damaged in report.damaged] == [str(photos / "grass.png")]
    assert [skipped.reason for skipped in report.skipped] == ["not a picture that can be read"]
