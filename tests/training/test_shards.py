"""Captioned photos in tar files: read where they lie, whatever the names in them are."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from samples import CLI, SAMPLES
from small_models import write_open_clip

from mmsearch.errors import SourceError
from mmsearch.media.decode import decode
from mmsearch.training.common import pairs, shards
from mmsearch.types import Preprocess

CAT, ROCKET = (SAMPLES / "chelsea.png").read_bytes(), (SAMPLES / "rocket.jpg").read_bytes()


def write(file: Path, members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(file, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.type = len(content), kind
            archive.addfile(info, io.BytesIO(content))
    return file


def test_samples_of_webdataset_itself(tmp_path: Path) -> None:
    """Shards as the library that open_clip and img2dataset use writes them."""
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter(str(tmp_path / "00000.tar")) as sink:
        sink.write({"__key__": "000", "png": CAT, "txt": "a cat", "json": {"caption": "another"}})
        sink.write({"__key__": "001", "jpg": ROCKET, "json": {"caption": "a rocket"}})
        sink.write({"__key__": "002", "txt": "no picture"})
        sink.write({"__key__": "003", "jpg": ROCKET})
    found = pairs.read_shards(tmp_path)
    assert (found.names, found.texts) == (("00000.tar/000", "00000.tar/001"), (("a cat",), ("a rocket",)))
    for row, content in enumerate((CAT, ROCKET)):
        with found.open(row) as file:
            assert file.read() == content


def test_pictures_are_decoded_as_files_are(tmp_path: Path) -> None:
    write(tmp_path / "a.tar", {"x.jpg": ROCKET, "x.txt": b"a rocket\nit takes off", "y.jpg": b"broken", "y.txt": b"y"})
    found, pictures = pairs.Pictures.open(pairs.read_shards(tmp_path / "a.tar"), Preprocess(64))
    assert (found.names, found.texts) == (("a.tar/x",), (("a rocket", "it takes off"),))
    assert [one.path for one in found.skipped] == [str(tmp_path / "a.tar" / "y")]
    with (SAMPLES / "rocket.jpg").open("rb") as file:
        own = decode(file, "rocket.jpg", Preprocess(64)).pixels
    assert np.array_equal(pictures.plain([0])[0], own)
    learned, judged = pairs.split(pairs.read_shards(tmp_path / "a.tar"), 0.5)
    assert sorted([*learned.names, *judged.names]) == ["a.tar/x", "a.tar/y"]
    assert learned.members


def test_dev_photos_are_those_of_the_same_file(tmp_path: Path) -> None:
    """Shards of several splits are often called alike."""
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        write(
            tmp_path / split / "0.tar", {f"{split}.jpg": CAT, f"{split}.txt": b"a cat", "x.jpg": ROCKET, "x.txt": b"x"}
        )
    learned, judged = (pairs.read_shards(tmp_path / split) for split in ("train", "val"))
    assert pairs.without(learned, judged).names == learned.names
    assert pairs.without(learned, learned.keep([0])).names == (learned.names[1],)


def test_names_write_nothing(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    names = {"../../evil.jpg": CAT, "../../evil.txt": b"x", "/abs.jpg": ROCKET, "/abs.txt": b"y", "a/b.c.jpg": CAT}
    write(inside / "a.tar", names)
    found = pairs.read_shards(inside)
    assert found.texts == (("x",), ("y",))
    with found.open(0) as file:
        assert file.read() == CAT
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.tar", "inside"]


def test_links_and_devices_are_passed_over(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for kind, name in ((tarfile.SYMTYPE, "a.jpg"), (tarfile.LNKTYPE, "b.jpg"), (tarfile.FIFOTYPE, "c.jpg")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
            text = tarfile.TarInfo(name[0] + ".txt")
            text.size = 1
            archive.addfile(text, io.BytesIO(b"x"))
    with pytest.raises(SourceError, match="no pairs"):
        pairs.read_shards(tmp_path / "a.tar")


def test_which_files_are_meant(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        write(tmp_path / f"s-{number:03d}.tar", {f"{number}.jpg": CAT, f"{number}.txt": b"a cat"})
    assert len(shards.files_of(tmp_path)) == 3
    assert [file.name for file in shards.files_of(tmp_path / "s-{001..002}.tar")] == ["s-001.tar", "s-002.tar"]
    assert [file.name for file in shards.files_of(tmp_path / "s-0*0.tar")] == ["s-010.tar"]
    assert pairs.read_shards(tmp_path).names == ("s-001.tar/1", "s-002.tar/2", "s-010.tar/10")
    with pytest.raises(SourceError, match="no tar file is there"):
        shards.files_of(tmp_path / "none-{0..3}.tar")


def test_damage_is_told(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.tar", {"x.jpg": CAT, "x.txt": b"a cat"}).read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[: len(CAT) // 2])
    (tmp_path / "no.tar").write_bytes(b"no tar file at all" * 100)
    with tarfile.open(tmp_path / "gz.tar", "w:gz") as archive:
        archive.add(SAMPLES / "rocket.jpg", "x.jpg")
    write(tmp_path / "bad.tar", {"x.jpg": CAT, "x.json": b"{"})
    write(tmp_path / "two.tar", {"x.jpg": CAT, "x.png": CAT, "x.txt": b"a cat"})
    for name, said in {
        "cut": "is cut off", "no": "no tar file", "gz": "compressed", "bad": "cannot be read", "two": "second picture",
    }.items():  # fmt: skip
        with pytest.raises(SourceError, match=said):
            pairs.read_shards(tmp_path / f"{name}.tar")


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A member's block, with any size: base 256, as GNU tar has sizes that octal digits cannot say."""
    info = tarfile.TarInfo(name)
    info.size, info.type = 0, kind
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = (size if size >= 0 else 256**12 + size).to_bytes(12, "big")
    block[124] |= 0x80
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("name", "block", "said"),
    [
        ("one that leads back to itself", header("x.jpg", -512), "a size below 0"),
        ("a larger one than there are files", header("x.jpg", 2**80), "is (cut off|damaged)"),
        ("a name of 256 TiB", header("././@LongLink", 2**48, tarfile.GNUTYPE_LONGNAME), "is damaged|no tar file"),
        ("texts for ever", b"".join(header("x", 0, tarfile.GNUTYPE_LONGNAME) for _ in range(3000)), "is damaged"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_headers_that_nobody_writes(tmp_path: Path, name: str, block: bytes, said: str) -> None:
    (tmp_path / "a.tar").write_bytes(block + bytes(1024))
    with pytest.raises(SourceError, match=said):
        pairs.read_shards(tmp_path / "a.tar")


def test_members_that_are_too_large(tmp_path: Path) -> None:
    """Of holes: what the headers say is there, and takes no room on the disk."""
    for member, size, said in (("x.jpg", 2**31, "2,147,483,648 bytes; at most 1,073,741,824"), ("x.txt", 2**21, "")):
        with (tmp_path / "a.tar").open("wb") as file:
            file.write(header(member, size))
            file.truncate(512 + size + 1024)
        with pytest.raises(SourceError, match=f"{member}.* has {said}"):
            pairs.read_shards(tmp_path / "a.tar")


@pytest.mark.usefixtures("own_memory")
def test_command_trains_from_shards(mmsearch: CLI, tmp_path: Path) -> None:
    names = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png")
    members: dict[str, bytes] = {}
    for name in names:
        members |= {f"{name}": (SAMPLES / name).read_bytes(), f"{name[:-4]}.txt": f"this is {name[:-4]}".encode()}
    write(tmp_path / "data.tar", members)
    write_open_clip(tmp_path / "clip")  # small: what is learned from is what matters
    recipe = ["--from", "local-dir:clip", "--epochs", "1", "--batch", "4", "--image-layers", "0", "--text-layers", "1"]
    done = mmsearch("train", "--images", "data.tar", "--out", "model", *recipe, "--dev", "0.34")
    assert "on 4 photos with 4 captions" in done.stderr
    assert (tmp_path / "model" / "MODEL_CARD.md").is_file()
    (tmp_path / "empty").mkdir()
    assert "are needed" in mmsearch("train", "--images", "empty", "--out", "other", check=2).stderr
