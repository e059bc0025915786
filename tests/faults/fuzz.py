"""Damages pictures and queries at random and feeds them to what reads them, for a while.

    python tests/faults/fuzz.py [--seconds 60] [--seed 0] [--keep DIR]

Pictures are the corpus of ``tests/hostile.py`` with bytes changed, cut out, repeated or taken from another one.
``decode`` may raise ImageError and nothing else, and not for a mistake in this package; what it reads must be fit to be
stored.  Decoding goes through a process, so a crash, a hang or too much memory is a finding like others.  Queries are
parts of the query language, shuffled and damaged: the parser may raise QueryError and nothing else, and what it
understands must mean the same when it is written down.

One JSON line; exit code 1 where there was a finding.  Inputs of findings are kept in DIR.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import sys
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from mmsearch.errors import ImageError, QueryError
from mmsearch.media.decode import decode
from mmsearch.media.memory_budget import Budget
from mmsearch.media.worker_pool import Decoders
from mmsearch.query.files import parse
from mmsearch.query.writer import written
from mmsearch.types import Decoded, Preprocess

MEGAPIXELS = 4.0  # larger claims are refused, so that a try takes milliseconds
LONGEST = 300_000  # bytes of a seed
MISTAKE = "a mistake in"
FAULTS = (MISTAKE, "the decoder crashed", "decoding took longer", "not enough memory")
NUMBERS = (b"\0", b"\1", b"\x7f", b"\x80", b"\xff", b"\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff")
PARTS = (
    "a cat", "dog", "-", "--", "and", "or", "OR", "not", "(", ")", '"', "'", "“", "\\", ",", "..", "…", ":", ">", ">=",
    "date:", "2024", "2024-02-30", "2024-01..2023", "last week", "camera:", "type:", "jpeg", "width:", "1e309", "10MB",
    "size:>", "near:", "91,181", "48.1,11.5", "5km", "has:", "place", "words:", "text:", "tag:", "in:", "~", "<",
    "like:", "lens:", "shape:", "wide", "*", "?", "[", "NaN", "-0", "٣", "\0", "\n", "\u202e", "🏝️", "\udcff", "x" * 300,
)  # fmt: skip


def damaged(seeds: list[bytes], dice: random.Random) -> bytes:
    """One of the seeds with up to eight kinds of damage."""
    content = bytearray(dice.choice(seeds))
    for _ in range(dice.choice((1, 1, 1, 2, 3, 8))):
        at, length = dice.randrange(len(content) + 1), int(2 ** dice.uniform(0, 8))
        if dice.random() < 0.5:
            at = min(at, dice.randrange(1, 600))  # headers lie in front
        how = dice.randrange(6)
        if how == 0 and at < len(content):
            content[at] ^= 1 << dice.randrange(8)
        elif how == 1:
            number = dice.choice(NUMBERS)
            content[at : at + len(number)] = number
        elif how == 2:
            del content[at : at + length]
        elif how == 3:
            content[at:at] = content[at : at + length] * dice.randint(1, 20)
        elif how == 4:
            other = dice.choice(seeds)
            start = dice.randrange(len(other) + 1)
            content[at : at + length] = other[start : start + length]
        elif dice.random() < 0.3:
            del content[at:]
    return with_checksums(bytes(content)) if dice.random() < 0.8 else bytes(content)


def with_checksums(content: bytes) -> bytes:
    """The checksums of a PNG made right, so that damage goes deeper."""
    at = 8
    while content.startswith(b"\x89PNG") and at + 12 <= len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4], "big")
        content = content[:end] + zlib.crc32(content[at + 4 : end]).to_bytes(4, "big") + content[end + 4 :]
        at = end + 4
    return content


def heic() -> list[bytes]:
    """A seed of the format that needs an extra, where that is installed."""
    try:
        import pillow_heif
    except ImportError:
        return []
    pillow_heif.register_heif_opener()
    file = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").save(file, "HEIF")
    return [file.getvalue()] * 10


def checked(file: BinaryIO, path: str, preprocess: Preprocess, max_megapixels: float, in_flight: Budget) -> Decoded:
    """What ``decode`` gives; AssertionError, which ends the process, where that is not as it should be."""
    try:
        found = decode(file, path, preprocess, max_megapixels, in_flight)
    except ImageError as error:
        frames = traceback.extract_tb(error.__cause__.__traceback__) if error.__cause__ else []
        if frames and "mmsearch" in frames[-1].filename:
            frame = frames[-1]
            raise ImageError(path, f"{MISTAKE} {frame.name}, line {frame.lineno}: {error.__cause__!r}") from error
        raise
    assert found.pixels.shape == (preprocess.size, preprocess.size, 3)
    assert min(found.width, found.height) > 0
    for text in (found.description, found.exif.camera, found.exif.lens):
        assert (text or "x").encode().strip()  # no lone surrogates, which SQLite would refuse
    assert all(abs(angle or 0) <= 180 for angle in (found.exif.latitude, found.exif.longitude))
    return found


def question(dice: random.Random) -> str:
    """Parts of the language in any order, now and then a letter of them changed."""
    text = "".join(dice.choice(PARTS) + dice.choice(("", "", " ")) for _ in range(dice.randint(1, 10)))
    if dice.random() < 0.3:
        at = dice.randrange(len(text))
        text = text[:at] + chr(dice.choice((dice.randrange(128), dice.randrange(0x3000)))) + text[at + 1 :]
    return text


def ask(text: str) -> str:
    """What came of it."""
    try:
        query = parse(text.split(" ") if len(text) % 2 else [text])
    except QueryError:
        return "refused"
    again = written(query)
    try:
        same = parse([again]) == query
    except QueryError as error:
        raise AssertionError(f"what is written is not understood: {again!r}") from error
    assert same, f"what is written means something else: {again!r}"
    return "understood"


def main() -> int:
    parser = argparse.ArgumentParser(description="Feed damaged pictures and queries to what reads them.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="where inputs of findings are kept")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from hostile import contents

    dice = random.Random(options.seed)
    seeds = [content for content in (*contents(), *heic()) if 0 < len(content) < LONGEST]
    counts: Counter[str] = Counter()
    findings: Counter[str] = Counter()
    begun = time.monotonic()

    with Decoders(1, seconds=20, memory=2**31, decoder="fuzz:checked") as decoders:

        def look(content: bytes, name: str) -> str:
            try:
                decoders.decode(io.BytesIO(content), name, Preprocess(32), MEGAPIXELS)
            except ImageError as error:
                reason = error.reason
            else:
                return "decoded"
            assert not reason.startswith(FAULTS), reason
            return "skipped"

        def attempt(kind: str, work: Callable[[], str], content: bytes) -> None:
            try:
                counts[f"{kind} {work()}"] += 1
            except Exception as error:
                what = f"{kind}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
                if what not in findings and options.keep:
                    options.keep.mkdir(parents=True, exist_ok=True)
                    (options.keep / f"{len(findings)}.bin").write_bytes(content)
                findings[what] += 1

        while time.monotonic() - begun < options.seconds:
            content = damaged(seeds, dice)
            attempt("pictures", partial(look, content, dice.choice(("a.jpg", "a.tga"))), content)
            for _ in range(5):
                text = question(dice)
                attempt("queries", partial(ask, text), text.encode("utf-8", "surrogatepass"))
    tries = {"tries": sum(counts.values()) + sum(findings.values()), **dict(sorted(counts.items()))}
    print(json.dumps({"seed": options.seed, "seconds": options.seconds, **tries, "findings": dict(findings)}))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
