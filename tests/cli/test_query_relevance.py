"""``mmsearch query``: relevance, variety, and pictures to be like, through the real command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from PIL import Image
from samples import CLI, SAMPLES


def test_relevance(mmsearch: CLI, photos: Path) -> None:
    mmsearch("index", photos)
    hits = [json.loads(line) for line in mmsearch("query", "a motorcycle", "--json").stdout.splitlines()]
    shares = [hit["relevance"] for hit in hits]
    assert len(shares) == 5
    least = str((shares[0] + shares[1]) / 2)
    kept = mmsearch("query", "a motorcycle", "--min-relevance", least, "--json").stdout.splitlines()
    assert [json.loads(line) for line in kept] == hits[:1]
    table = mmsearch("query", "a motorcycle").stdout.splitlines()
    assert table[1].split()[:2] == ["Score", "Relevance"]
    assert table[2].split()[1] == f"{shares[0]:.0%}"
    empty = mmsearch("query", "a violin", "--min-relevance", "1")
    assert empty.stdout == ""
    told = "no pictures found with a relevance of 100% or more; --min-relevance 0 shows the nearest ones"
    assert empty.stderr.strip() == told
    by_setting = mmsearch("query", "a motorcycle", "--json", MMSEARCH_MIN_RELEVANCE=least).stdout.splitlines()
    assert by_setting == kept
    wrong = mmsearch("query", "a motorcycle", "--min-relevance", "2", check=2)
    assert "--min-relevance" in wrong.stderr
    more = mmsearch("query", "a motorcycle", "--min-relevance", least, "--offset", "1").stderr
    assert more.startswith("no more pictures found with a relevance of ")
    assert more.endswith(" or more; --min-relevance 0 shows the nearest ones\n")
    ignored = mmsearch("query", photos / "cat.png", "--paths", MMSEARCH_MIN_RELEVANCE="0.5")
    assert len(ignored.stdout.splitlines()) == 4
    assert ignored.stderr == "the relevance of these pictures is not known: none was left out for it\n"
    unknown = mmsearch("query", photos / "cat.png", "--min-relevance", "0.5", check=1)
    assert "only where it is known" in unknown.stderr


def test_variety(mmsearch: CLI, photos: Path) -> None:
    with Image.open(photos / "cat.png") as cat:
        cat.convert("RGB").save(photos / "cat again.jpg", quality=70)
    mmsearch("index", photos)
    lines = mmsearch("query", "a cat", "--diverse").stdout.splitlines()
    assert "+1 similar" in lines[2]
    assert len(lines) == 2 + 5
    hit = json.loads(mmsearch("query", "a cat", "--diverse", "-k", "1", "--json").stdout)
    assert {hit["path"], *hit["similar"]} == {str(photos / "cat.png"), str(photos / "cat again.jpg")}


def test_like_and_unlike(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "motorcycle_right.png", tmp_path / "wanted.png")
    mmsearch("index", photos)
    assert mmsearch("query", "--like", tmp_path / "wanted.png", "-k", "1", "--paths").stdout.strip() == str(
        photos / "trips" / "motorcycle.png"
    )
    shown = mmsearch("query", "a photo", "--like", tmp_path / "wanted.png", "--unlike", photos / "cat.png")
    assert shown.stdout.startswith("a photo like wanted.png unlike photos/cat.png ")
    assert "cat.png" not in shown.stdout.partition("\n")[2]
    missing = mmsearch("query", "a photo", "--like", tmp_path / "nothing.png", check=1)
    assert "nothing.png cannot be used as a query" in missing.stderr
