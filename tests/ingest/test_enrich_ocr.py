"""Text inside pictures, read by the real RapidOCR in pictures that are drawn here."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from kept_models import Remembering
from onnxruntime import InferenceSession
from PIL import Image, ImageDraw, ImageFont
from samples import CLI, SAMPLES

from mmsearch.cli.installing import adding
from mmsearch.ingest.enrich.ocr import TextReader, _best, _Line
from mmsearch.library.library import Library
from mmsearch.query.model import Condition, HasText
from mmsearch.types import Progress

pytest.importorskip("rapidocr", reason="the extra mmsearch[ocr]")


MOST = 50_000_000  # bytes of what goes in and comes out that are kept of a run
FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@pytest.fixture(scope="module", autouse=True)
def graphs() -> Iterator[None]:
    """Graphs of RapidOCR are loaded once, and run once for each input."""
    from rapidocr.inference_engine.onnxruntime import main

    kept: dict[str, Remembering] = {}

    def session(file: str, **options: Any) -> Remembering:
        if file not in kept:
            kept[file] = Remembering(InferenceSession(file, **options), MOST)
        return kept[file]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(main, "InferenceSession", session)
        yield


@pytest.fixture(scope="module")
def reader() -> TextReader:
    return TextReader()


def sign(
    text: str, size: int = 40, angle: float = 0, ink: str = "black", paper: str = "white", room: int = 12
) -> Image.Image:
    """Text on a board on a grey wall, turned against the clock."""
    letters = ImageFont.truetype(FONT, size)
    left, top, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, letters)
    board = Image.new("RGB", (round(right - left) + size, round(bottom - top) + size), paper)
    ImageDraw.Draw(board).multiline_text((size // 2 - left, size // 2 - top), text, ink, letters)
    mask = Image.new("L", board.size, 255).rotate(angle, expand=True)
    board = board.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    wall = Image.new("RGB", (board.width + 2 * room, board.height + 2 * room), "gray")
    wall.paste(board, (room, room), mask)
    return wall


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("Harbour", {}),
        ("CAUTION wet floor", {"ink": "white", "paper": "#117a3a"}),
        ("Platform 9", {"angle": 90}),
        ("City Library", {"angle": 180}),
        ("EMERGENCY EXIT", {"angle": 270}),
        ("Vineyard tasting", {"angle": 15}),
        ("invoice 4711", {"size": 14}),
        ("Straße nach Köln, déjà vu", {}),
    ],
)
def test_signs(reader: TextReader, text: str, how: dict[str, float | str]) -> None:
    assert reader.read(sign(text, **how)) == text  # type: ignore[arg-type]


def test_lines_come_from_top_to_bottom(reader: TextReader) -> None:
    text = "GREEN GROCER\nReceipt 4711\nApples 2.49\nThank you"
    assert reader.read(sign(text)) == text


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_pages_that_lie_on_their_side_or_stand_on_their_head(reader: TextReader, angle: float) -> None:
    """Words stay in their lines; which line is the first is not known of all."""
    lines = ["Carry the harvest to the station", "before the market closes at noon", "and bring a lantern"]
    assert sorted(reader.read(sign("\n".join(lines), 24, angle)).splitlines()) == sorted(lines)


def test_large_letters_that_stand_askew(reader: TextReader) -> None:
    """Which the detector does not see at the larger of the two sizes; the small ones below, at the smaller one."""
    wall = Image.fromarray(np.random.default_rng(0).normal(120, 6, (1200, 1600, 3)).clip(0, 255).astype(np.uint8))
    wall.paste(sign("NO TRESPASSING", 90, -12, "#b00020", room=0), (300, 200))
    wall.paste(sign("private road", 12, room=0), (1000, 1000))
    assert reader.read(wall) == "NO TRESPASSING\nprivate road"


def test_pictures_without_text(reader: TextReader) -> None:
    for name in ("grass.png", "chelsea.png"):
        assert reader.read(Image.open(SAMPLES / name).convert("RGB")) == ""
    for size in ((1, 1), (3, 900), (900, 3), (64, 64)):
        assert reader.read(Image.new("RGB", size, "white")) == ""


def test_of_two_readings_of_one_place_the_better_one_counts() -> None:
    def line(text: str, score: float, left: float, right: float) -> _Line:
        return _Line(text, score, ((left, 10), (right, 10), (right, 40), (left, 40)))

    whole, part, aside = line("Kindergarten", 0.99, 0, 200), line("garten", 0.95, 90, 200), line("open", 0.95, 210, 260)
    unsure = line("Kinderpan", 0.7, 0, 200)
    assert _best([part, aside], [whole]) == [aside]
    assert _best([whole], [part, aside]) == [whole]
    assert _best([unsure], [whole]) == []
    assert _best([whole], [whole]) == [whole]


@pytest.fixture
def folder(photos: Path) -> Path:
    """Two small photos and two signs."""
    for name in ("cameraman.png", "trips/rocket.jpg", "trips/motorcycle.png"):
        (photos / name).unlink()
    for name in ("cat.png", "grass.png"):
        with Image.open(photos / name) as picture:
            picture.resize((96, 64)).save(photos / name)  # larger ones take longer
    sign("Receipt 4711\nApples", 24).save(photos / "receipt.png")
    sign("NO SMOKING", 24, 90).save(photos / "trips" / "sign.png")
    return photos


def texts(library: Library) -> dict[str, str | None]:
    model = library.store.model()
    assert model is not None
    ids = library.store.searchable(model).tolist()
    return {Path(p.path).name: p.text for photos in library.store.photos(ids).values() for p in photos}


def found(library: Library, text: str) -> list[tuple[str, tuple[str, ...]]]:
    """File names of the photos with these words, and where the words stand."""
    model = library.store.model()
    assert model is not None
    hits = library.store.find_words(text, model)
    files = library.store.photos([hit.number for hit in hits])
    return [(Path(photo.path).name, hit.columns) for hit in hits for photo in files[hit.number]]


READ = {"cat.png": None, "grass.png": None, "receipt.png": "Receipt 4711\nApples", "sign.png": "NO SMOKING"}


def test_text_is_read_once_and_found(library: Library, folder: Path) -> None:
    steps: list[Progress] = []
    report = library.index(folder, progress=steps.append)
    assert (report.texts, report.added) == (0, 4)
    assert set(texts(library).values()) == {None}
    generation = library.status().generation
    steps.clear()
    report = library.index(folder, ocr=True, progress=steps.append)
    assert (report.texts, report.with_text, report.encoded, report.unchanged) == (4, 2, 0, 4)
    assert [(step.done, step.total, step.step) for step in steps] == [(n, 4, "text") for n in range(1, 5)]
    assert [step.path for step in steps] == [str(path) for path in sorted(folder.rglob("*")) if path.is_file()]
    assert texts(library) == READ
    assert found(library, "smoking") == [("sign.png", ("ocr",))]
    assert found(library, "4711") == [("receipt.png", ("ocr",))]
    model = library.store.model()
    assert model is not None
    assert len(library.store.searchable(model, conditions=[Condition(HasText())])) == 2
    assert library.status().summary.texts == 2
    assert library.status().generation == generation  # no vector changed
    steps.clear()
    assert library.index(folder, ocr=True, progress=steps.append).texts == 0
    assert steps == []


def test_only_new_pictures_are_looked_at(library: Library, folder: Path) -> None:
    library.index(folder, ocr=True)
    sign("Platform 9", 24).save(folder / "new.png")
    shutil.copy(folder / "receipt.png", folder / "copy.png")
    assert library.index(folder, ocr=True).texts == 1
    assert texts(library) == READ | {"new.png": "Platform 9", "copy.png": "Receipt 4711\nApples"}
    (folder / "receipt.png").rename(folder / "moved.png")
    assert library.index(folder, ocr=True).texts == 0
    assert found(library, "apples") == [("copy.png", ("ocr",)), ("moved.png", ("ocr",))]


def test_only_named_folders_and_pictures_in_reach(library: Library, folder: Path) -> None:
    library.index(folder)
    assert library.index(folder / "trips", ocr=True).texts == 1
    assert texts(library) == READ | {"receipt.png": None}
    folder.rename(folder.with_name("unplugged"))
    assert library.index(ocr=True).texts == 0
    folder.with_name("unplugged").rename(folder)
    receipt = folder / "receipt.png"
    facts = receipt.stat()
    receipt.write_bytes(b"x" * facts.st_size)  # another content, unseen
    os.utime(receipt, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert library.index(folder, ocr=True).texts == 2
    assert texts(library) == READ | {"receipt.png": None}


def test_an_interrupted_run_goes_on(library: Library, folder: Path) -> None:
    sign("Platform 9", 24).save(folder / "trips" / "z.png")

    def interrupt(step: Progress) -> None:
        if step.step == "text":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        library.index(folder, ocr=True, progress=interrupt)
    assert texts(library) == READ | {"z.png": None}  # four pictures are stored together
    assert library.index(folder, ocr=True).texts == 1
    assert texts(library) == READ | {"z.png": "Platform 9"}


def test_what_another_engine_read_is_read_anew(library: Library, folder: Path) -> None:
    library.index(folder, ocr=True)
    with closing(sqlite3.connect(library.folder / "library.sqlite")) as connection, connection:
        connection.execute("UPDATE ocr SET engine = 'older', text = 'RECEIVED' WHERE text LIKE 'Receipt%'")
    assert library.index(folder, ocr=True).texts == 1
    assert texts(library) == READ


def test_a_photo_on_its_side_is_read_upright(library: Library, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    exif = Image.Exif()
    exif[274] = 6  # turned by a quarter when it is shown
    sign("Harbour\nFerry").transpose(Image.Transpose.ROTATE_90).save(tmp_path / "photos" / "a.jpg", exif=exif)
    library.index(tmp_path / "photos", ocr=True)
    assert texts(library) == {"a.jpg": "Harbour\nFerry"}


def test_the_command_line(mmsearch: CLI, folder: Path) -> None:
    done = mmsearch("index", folder, "--ocr", "--no-regions")
    pace = re.compile(r"text looked for in 4 photos and read in 2 \(\d+\.\d photos/s\)")
    assert [line for line in done.stderr.splitlines() if pace.fullmatch(line)] != []
    [hit] = [json.loads(line) for line in mmsearch("query", '"receipt 4711"', "--json", "-k", "1").stdout.splitlines()]
    assert Path(hit["path"]).name == "receipt.png"
    only = mmsearch("query", "has:text", "--paths").stdout.splitlines()
    assert sorted(Path(path).name for path in only) == ["receipt.png", "sign.png"]
    assert json.loads(mmsearch("index", folder, "--ocr", "--no-regions", "--json").stdout)["texts"] == 0


def test_without_rapidocr_it_says_what_to_install(
    mmsearch: CLI, mmsearch_process: CLI, folder: Path, tmp_path: Path
) -> None:
    """In processes: a module is hidden before anything is imported."""
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "rapidocr.py").write_text("raise ImportError(\"No module named 'rapidocr'\")")
    failed = mmsearch_process("index", folder, "--ocr", check=1, PYTHONPATH=str(tmp_path / "hidden"))
    advice = f"reading text in pictures needs RapidOCR (No module named 'rapidocr'); run: {adding('ocr')}"
    assert f"mmsearch: {advice}" in failed.stderr.splitlines()
    assert json.loads(mmsearch("status", "--json").stdout)["photos"] == 0
