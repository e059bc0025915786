"""The query language on the real command line: words with dashes, fields, options, messages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import in_process
import pytest
from PIL import Image
from samples import CLI, SAMPLES, five_photos, surroundings

from mmsearch.cli.query_command import QueryCommand, _told_apart

XMP = (
    '<r xmlns:p="http://ns.adobe.com/photoshop/1.0/" xmlns:x="http://ns.adobe.com/xap/1.0/" p:City="Łódź" x:Rating="4" '
    'x:Label="Red" xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" i:PersonInImage="Ann Lee"/>'
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five photos, of which two say more: when, with what, where.  No test changes them, or the library beside them."""
    photos = five_photos(tmp_path_factory.mktemp("fields") / "photos")
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "FUJIFILM", "X-T4"
    exif.get_ifd(0x8769).update({0x9003: "2024:06:15 12:00:00", 0x8827: 800, 0x829A: 0.004, 0x829D: 2.8, 0x920A: 50.0})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 30.0), 3: "E", 4: (2.0, 17.0, 40.0)})
    with Image.open(SAMPLES / "rocket.jpg") as image:
        image.save(photos / "trips" / "rocket.jpg", exif=exif)
    exif[0x010F], exif[0x0110] = "Canon", "EOS 5D"
    exif.get_ifd(0x8769)[0x9003] = "2023:06:15 12:00:00"
    with Image.open(SAMPLES / "chelsea.png") as image:
        image.save(photos / "cat.png", exif=exif)
    (photos / "cat.xmp").write_text(XMP, "utf-8")
    done = in_process.call(["index", str(photos)], surroundings(photos.parent, {}), photos.parent)
    assert done.returncode == 0, done.stderr
    return photos


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where that library is, for tests that name it; elsewhere there is none."""
    library: Path | None = request.getfixturevalue("library") if "library" in request.fixturenames else None
    return library.parent if library else tmp_path


def names(mmsearch: CLI, *arguments: str) -> list[str]:
    return [Path(line).name for line in mmsearch("query", "--paths", *arguments).stdout.splitlines()]


@pytest.mark.parametrize(
    ("field", "option", "found"),
    [
        ("date:2024-06", ["--date", "2024-06"], ["rocket.jpg"]),
        ("taken:..2023", ["--taken", "..2023"], ["cat.png"]),
        ("camera:fuji,canon", ["--camera", "fuji,canon"], ["cat.png", "rocket.jpg"]),
        ("near:48.85,2.29,5km", ["--near", "48.85,2.29,5km"], ["cat.png", "rocket.jpg"]),
        ("type:jpg", ["--type", "jpg"], ["rocket.jpg"]),
        ("-type:png", ["--where", "-type:png"], ["rocket.jpg"]),
        ("width:>600", ["--width", ">600"], ["motorcycle.png", "rocket.jpg"]),
        ("height:300", ["--height", "300"], ["cat.png"]),
        ("size:>1GB", ["--size", ">1GB"], []),
        ("megapixels:>100", ["--megapixels", ">100"], []),
        ("orientation:square", ["--orientation", "square"], ["cameraman.png", "grass.png"]),
        ("has:gps", ["--has", "gps"], ["cat.png", "rocket.jpg"]),
        ("lens:50mm", ["--lens", "50mm"], []),
        ("tag:dog", ["--tag", "dog"], []),
        ("city:lodz", ["--city", "ŁÓDŹ"], ["cat.png"]),
        ("person:ann,bob", ["--person", "ann lee"], ["cat.png"]),
        ("rating:>=4", ["--rating", "4..5"], ["cat.png"]),
        ("label:red", ["--label", "RED"], ["cat.png"]),
        ("album:trips", ["--album", "trips"], ["motorcycle.png", "rocket.jpg"]),
        ("iso:>=800", ["--iso", "800"], ["cat.png", "rocket.jpg"]),
        ("exposure:1/250", ["--exposure", "<1/200"], ["cat.png", "rocket.jpg"]),
        ("aperture:f/2.8", ["--aperture", "f/2..f/4"], ["cat.png", "rocket.jpg"]),
        ("focal:50mm", ["--focal", ">=50"], ["cat.png", "rocket.jpg"]),
        ("taken:june-2024", ["--taken", "june 2024"], ["rocket.jpg"]),
        ("in:photos/trips", ["--in", "photos/trips"], ["motorcycle.png", "rocket.jpg"]),
        ("words:rocket", ["--words", "rocket"], ["rocket.jpg"]),
        ("-in:./photos/trips -camera:canon", ["--where", "-in:./photos/trips -camera:canon"],
         ["cameraman.png", "grass.png"]),
    ],
)  # fmt: skip
def test_fields_and_options_find_the_same(
    mmsearch: CLI, library: Path, field: str, option: list[str], found: list[str]
) -> None:
    assert sorted(names(mmsearch, *field.split(" "))) == found
    assert sorted(names(mmsearch, *option)) == found
    assert sorted(names(mmsearch, "a picture", *option)) == found


def test_towns_people_and_stars_are_shown(mmsearch: CLI, library: Path) -> None:
    [line] = mmsearch("query", "city:lodz", "--json").stdout.splitlines()
    hit = json.loads(line)
    assert (hit["city"], hit["people"], hit["rating"], hit["label"]) == ("Łódź", ["Ann Lee"], 4, "Red")
    assert (hit["iso"], hit["aperture"], hit["exposure"], hit["focal"]) == (800, 2.8, 0.004, 50.0)
    assert "Łódź  Ann Lee  ★★★★  Red" in mmsearch("query", "city:lodz", "--show", "--show-as", "blocks").stdout
    assert names(mmsearch, "words:cat.png") == ["cat.png"]
    assert names(mmsearch, "words:lodz") == ["cat.png"]


def test_words_may_begin_with_a_dash_beside_options(mmsearch: CLI, library: Path) -> None:
    shutil.copy(library / "cat.png", library.parent / "other cat.png")
    everything = names(mmsearch, "a cat", "-k5")
    assert everything[0] == "cat.png"
    place = json.loads(mmsearch("status", "--json").stdout)["library"]
    done = mmsearch("query", "a", "cat", "-in:photos/trips", "-k", "2", "-l", place, "-0")
    assert [Path(path).parent.name for path in done.stdout.split("\0")] == ["photos", "photos", ""]
    left = names(mmsearch, "-./photos/cat.png", "-k9")
    assert "cat.png" not in left
    assert names(mmsearch, "-other cat.png", "a cat", "-k9") == names(
        mmsearch, "a cat", "--not", "other cat.png", "-k9"
    )


def test_options_may_be_repeated_and_all_must_hold(mmsearch: CLI, library: Path) -> None:
    assert sorted(names(mmsearch, "--date", ">2022", "--date", "<=2023")) == ["cat.png"]
    assert sorted(names(mmsearch, "--where", "camera:fuji,canon", "--where", "type:jpeg")) == ["rocket.jpg"]
    assert names(mmsearch, "--camera", "fuji", "--camera", "canon") == []


def test_what_was_asked_stands_above_the_hits(mmsearch: CLI, library: Path) -> None:
    heading = mmsearch("query", "a cat", "2:on grass", "type:png,jpg", "-k1").stdout.splitlines()[0]
    assert heading.strip() == "a cat 2:on grass type:png,jpeg"
    assert mmsearch("query", "a cat", "sleeping", "-k1").stdout.splitlines()[0].strip() == "a cat + sleeping"


def test_newest_first_where_nothing_is_looked_for(mmsearch: CLI, library: Path) -> None:
    hits = [json.loads(line) for line in mmsearch("query", "camera:fuji,canon", "--json").stdout.splitlines()]
    assert [Path(hit["path"]).name for hit in hits] == ["rocket.jpg", "cat.png"]
    assert names(mmsearch, "camera:fuji,canon", "--sort", "date:asc") == ["cat.png", "rocket.jpg"]
    assert names(mmsearch, "--camera", "fuji,canon", "sort:name") == ["cat.png", "rocket.jpg"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["dog", "--unknown"], 2, "--unknown"),
        (["dog", "--wher", "x"], 2, "--where"),
        (["dog", "-x"], 2, "-x"),
        (["dog", "-k"], 2, "-k"),
        ([], 2, "QUERY"),
        ([""], 2, "the query is empty"),
        (["a", "dog", "date:2024-13"], 2, "mmsearch: '2024-13' is no date: month must be in 1..12\n"
                                          "  a dog date:2024-13\n"
                                          "             ^\n"),
        (["--width", "wide"], 2, "  --width wide\n          ^\n"),
        (["dog", "--where", "type:png cat"], 2, "only conditions can stand here"),
        (["dog", "-camra:x"], 2, "did you mean camera:?"),
        (["foo:bar"], 2, 'foo: is no field; the fields are date, taken, '),
        (["dog", "-foo:bar"], 2, 'To look for the words themselves, write "foo:bar"'),
        (["--where", "foo:bar"], 2, "foo: is no field"),
        (["duration:>10s"], 2, "did you mean length:?"),
        (["--sort", "date", "--sort", "name"], 2, "sort: is there twice"),
        (["dog", "--not", "./none.jpg"], 1, "./none.jpg: no such file"),
    ],
)  # fmt: skip
def test_slips_are_told(mmsearch: CLI, arguments: list[str], code: int, message: str) -> None:
    done = mmsearch("query", *arguments, check=code)
    assert message in done.stderr
    assert done.stdout == ""


def test_options_are_told_from_words() -> None:
    from typer.main import get_command

    from mmsearch.cli.app import app

    query = get_command(app).commands["query"]  # type: ignore[attr-defined]
    assert isinstance(query, QueryCommand)

    def apart(line: str) -> tuple[str, str]:
        options, words = _told_apart(query.params, line.split(" "))
        return " ".join(options), " ".join(words)

    assert apart("dog -people -k5 -k 3 -l DIR --in=a --in b") == ("-k5 -k 3 -l DIR --in=a --in b", "dog -people")
    assert apart("-kitten -lake -l/x -l./x -0 -0.5:x") == ("-l/x -l./x -0", "-kitten -lake -0.5:x")
    assert apart("--where -type:png -type:png") == ("--where -type:png", "-type:png")
    assert apart("--json -in:./x -./a.jpg -/b.jpg --no-rerank -") == (
        "--json --no-rerank",
        "-in:./x -./a.jpg -/b.jpg -",
    )
    assert apart('-"red -2:car -猫 -Ä') == ("", '-"red -2:car -猫 -Ä')
    assert apart("a -- --json -k -x") == ("", "a --json -k -x")
    assert apart("--unknown x -n 5 -k") == ("--unknown -n -k", "x 5")


def test_a_mark_stands_below_the_place_that_makes_no_sense(mmsearch: CLI, library: Path) -> None:
    said = mmsearch("query", "a cat date:20x5", check=2).stderr.splitlines()
    assert said[0].startswith("mmsearch: '20x5' is no date; ")
    assert said[1:] == ["  a cat date:20x5", "             ^"]
