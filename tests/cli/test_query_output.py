"""What ``query`` does with what it found, and ``status`` with what is there, on the real command line."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image
from samples import CLI, SAMPLES

from mmsearch import schemas
from mmsearch.cli import formatting
from mmsearch.types import Hit, Photo


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--json", "--show"], "--json and --show exclude each other"),
        (["--paths", "--show-as", "blocks"], "--paths and --show exclude each other"),
        (["--json", "-0"], "--json and --print0 exclude each other"),
        (["--show-as", "paint"], "must be kitty, iterm2, sixel or blocks, not 'paint'"),
        (["--numbered"], "--numbered needs --copy-to"),
        (["--html", "photo.jpg"], "must end in .html, not 'photo.jpg'"),
    ],
)
def test_options_that_make_no_sense(mmsearch: CLI, options: list[str], message: str) -> None:
    done = mmsearch("query", "a cat", *options, check=2)  # before anything is opened: there is no library
    assert message in " ".join(done.stderr.replace("│", " ").split())
    assert done.stdout == ""


def test_paths_can_end_in_nul(mmsearch: CLI, photos: Path) -> None:
    shutil.copy(photos / "cat.png", photos / "a\nb.png")
    mmsearch("index", photos)
    found = mmsearch("query", "a cat", "-k", "2", "-0").stdout
    assert found == f"{photos}/a\nb.png\0{photos}/cat.png\0"
    assert mmsearch("query", "a cat", "-k", "2", "--paths", "--print0").stdout == found


def test_hits_are_written_copied_and_opened_in_one_go(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    """A viewer that writes down what it is to open stands in for a browser."""
    mmsearch("index", photos)
    (photos / "cat.png").unlink()
    viewer = tmp_path / "viewer.py"
    viewer.write_text(f"import sys; open({str(tmp_path / 'opened')!r}, 'a').write(sys.argv[1] + '\\n')")
    browser = f"{shlex.quote(sys.executable)} {shlex.quote(str(viewer))} %s"
    options = ["--html", "cats.html", "--copy-to", "cats", "--numbered", "--open"]
    done = mmsearch("query", "a cat", "-k", "3", "--paths", *options, check=1, BROWSER=browser)  # one is gone
    paths = done.stdout.splitlines()
    assert paths[0] == str(photos / "cat.png")
    assert done.stderr.splitlines() == [
        "wrote cats.html",
        "photos/cat.png: No such file or directory",
        "copied 2 pictures to cats",
    ]
    copies = {f"{rank}-{Path(path).name}": Path(path).read_bytes() for rank, path in enumerate(paths, 1) if rank > 1}
    assert {file.name: file.read_bytes() for file in (tmp_path / "cats").iterdir()} == copies
    sheet = (tmp_path / "cats.html").read_text("utf-8")
    assert (sheet.count("<li>"), sheet.count("<img "), sheet.count("the file is gone")) == (
        3,
        3,
        1,
    )  # one is a rough picture
    gone = mmsearch("query", "a cat", "-k", "1", "--open", check=1, BROWSER=browser)
    assert gone.stderr == "photos/cat.png cannot be opened: the file is gone\n"
    mmsearch("query", "a motorcycle", "-k", "1", "--open", BROWSER=browser)
    opened = [(tmp_path / "cats.html").as_uri(), (photos / "trips" / "motorcycle.png").as_uri()]
    assert (tmp_path / "opened").read_text().splitlines() == opened


def test_pages(mmsearch: CLI, photos: Path) -> None:
    mmsearch("index", photos)
    whole = mmsearch("query", "a cat", "--json").stdout.splitlines()
    assert len(whole) == 5
    pages = [mmsearch("query", "a cat", "--json", "-k", "2", "--offset", str(offset)).stdout for offset in (0, 2, 4)]
    assert "".join(pages).splitlines() == whole
    assert (
        mmsearch("query", "type:png", "--paths", "-k2", "--offset=1").stdout.splitlines()
        == (mmsearch("query", "type:png", "--paths").stdout.splitlines()[1:3])
    )
    beyond = mmsearch("query", "a cat", "--offset", "5")
    assert (beyond.stdout, beyond.stderr) == ("", "no more pictures found\n")
    for wrong in (("--offset", "-1"), ("--offset", "two"), ("-k", "0"), ("-k", "-3")):
        assert wrong[0] in mmsearch("query", "a cat", *wrong, check=2).stderr


def test_where_nothing_is_found_nothing_is_copied_or_opened(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    mmsearch("index", photos)
    (photos / "none").mkdir()
    inside = ["query", "a cat", "--in", photos / "none"]
    done = mmsearch(*inside, "--copy-to", "cats", "--open", "--html", "cats.html", BROWSER="true")
    assert (done.stdout, "no pictures found there" in done.stderr) == ("", True)
    assert not (tmp_path / "cats").exists()
    assert "No pictures were found" in (tmp_path / "cats.html").read_text("utf-8")
    (tmp_path / "notes.html").write_text("not HTML")
    done = mmsearch("query", "a cat", "--html", "notes.html", check=1)
    assert done.stderr == "mmsearch: notes.html is left as it is: it is no HTML file; give another name for the sheet\n"
    done = mmsearch("query", "a cat", "--copy-to", "notes.html", check=1)
    assert done.stderr == "mmsearch: --copy-to: notes.html is no folder\n"
    assert (tmp_path / "notes.html").read_text() == "not HTML"


def test_what_is_known_of_a_hit_is_in_its_json_and_its_row(capsys: pytest.CaptureFixture[str]) -> None:
    photo = Photo("/a.jpg", 3, 2, "jpeg", 7, 0, description="said", text="TAXI", tags=("dog", "sky"))
    plain = Hit(1, 0.5, Photo("/a.jpg", 3, 2, "jpeg", 7, 0))
    full = Hit(1, 0.5, photo, relevance=0.25, reasons=("name: a",), similar=("/b.jpg", "/c.jpg"))
    known = {"relevance", "reasons", "similar", "description", "text", "tags"}
    assert known & set(schemas.hit(plain)) == set()
    assert {name: value for name, value in schemas.hit(full).items() if name in known} == {
        "relevance": 0.25,
        "reasons": ["name: a"],
        "similar": ["/b.jpg", "/c.jpg"],
        "description": "said",
        "text": "TAXI",
        "tags": ["dog", "sky"],
    }
    formatting.hit_table([full], "title")
    title, heads, row = capsys.readouterr().out.splitlines()
    assert (title.strip(), heads.split()) == ("title", ["Score", "Relevance", "Path", "Size", "Date"])
    assert row.split()[:5] == ["0.500", "25%", "/a.jpg", "+2", "similar"]
    formatting.hit_table([plain], "title")
    assert capsys.readouterr().out.splitlines()[1].split() == ["Score", "Path", "Size", "Date"]


def test_status_shows_kinds_and_years(mmsearch: CLI, photos: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "FUJIFILM", "X100V"
    exif.get_ifd(0x8769)[0x9003] = "2019:07:14 18:03:22"
    Image.open(SAMPLES / "coffee.png").convert("RGB").save(photos / "coffee.jpg", exif=exif)
    shutil.copy2(photos / "coffee.jpg", photos / "trips" / "again.jpg")
    with Image.open(SAMPLES / "rocket.jpg") as rocket:
        rocket.save(photos / "trips" / "rocket.jpg", comment="")  # without the name of the program that wrote it
    for file in photos.rglob("*.png"):
        os.utime(file, (1_600_000_000, 1_600_000_000))  # 2020
    os.utime(photos / "trips" / "rocket.jpg", (1_700_000_000, 1_700_000_000))  # 2023
    (photos / "bad.jpg").write_bytes(b"no picture")
    (photos / "worse.jpg").write_bytes(b"")
    mmsearch("index", photos)
    found = [file for file in photos.rglob("*.*") if file.name not in ("bad.jpg", "worse.jpg")]
    sizes = []
    for file in found:
        with Image.open(file) as picture:
            sizes.append(picture.width * picture.height)
    status = json.loads(mmsearch("status", "--json").stdout)
    assert {name: status[name] for name in list(status)[list(status).index("formats") :]} == {
        "formats": {"png": 4, "jpeg": 3},
        "years": {"2009": 1, "2019": 2, "2020": 3, "2023": 1},  # the cat's XMP says 2009
        "dated": 3,
        "cameras": {"FUJIFILM X100V": 2},
        "photo_bytes": sum(file.stat().st_size for file in found),
        "megapixels": round(sorted(sizes)[3] / 1e6, 2),
        "located": 0,
        "described": 0,
        "texts": 0,
        "tagged": 0,
        "films": 0,
        "hours": 0.0,
        "moments": 0,
        "documents": 0,
        "pages": 0,
        "sounds": 0,
        "sound_hours": 0.0,
        "copies": 1,
        "reasons": {"not a picture that can be read": 1, "the file is empty": 1},
        "engines": [],
    }
    lines = mmsearch("status").stdout.splitlines()
    for line in [
        "formats   png 4, jpeg 3",
        "words     3 with a date of the camera",
        "cameras   FUJIFILM X100V 2",
        "years      2009 ██████████ 1",
        "           2019 ████████████████████ 2",
        "           2020 ██████████████████████████████ 3",
        "           2023 ██████████ 1",
        "failures  1 not a picture that can be read",
        "          1 the file is empty",
    ]:
        assert line in lines


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="there is no folder that takes no file")
def test_a_sheet_that_cannot_be_written_is_named(mmsearch: CLI, photos: Path) -> None:
    mmsearch("index", photos)
    said = mmsearch("query", "a cat", "--html", "/proc/out.html", check=1).stderr.splitlines()
    assert said[-1].startswith("mmsearch: /proc/out.html cannot be written: ")
