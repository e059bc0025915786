"""Whether a run that is resumed has what it was started with: counts and digests of photos, captions and questions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmsearch.errors import TrainingError
from mmsearch.media.filesystem import open_regular

SEEN = 2**16  # bytes of a photo's file that are looked at, beside its size: another picture begins otherwise

# What the facts of a run are called.
NAMES = {
    "base": "the model of the first stage", "regions": "its region tokens", "photos": "photos to learn from",
    "captions": "captions to learn from", "dev_photos": "photos to judge by", "dev_captions": "captions to judge by",
    "question_photos": "photos with questions", "questions": "given questions", "answers": "answers to them",
    "reranker_recipe": "the recipe",
}  # fmt: skip


def texts(rows: Iterable[Sequence[str]]) -> dict[str, Any]:
    """How many rows of texts there are, and a digest over all of them in their order."""
    return _counted("\t".join(row).encode("utf-8", "surrogatepass") for row in rows)


def photos(folder: Path, names: Iterable[str]) -> dict[str, Any]:
    """How many files there are, and a digest over their names, sizes and first bytes."""
    return _counted(_photo(folder / name, name) for name in names)


def check(out: Path, started: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raises TrainingError, with what is not the same any more, where ``started``, facts of a run, is not ``now``."""
    changed = [_told(name, started.get(name), value) for name, value in now.items() if started.get(name) != value]
    if changed:
        raise TrainingError(
            f"the run in {out} cannot be resumed: since it was started these changed: {', '.join(changed)}; "
            "bring back what it had, or start a new run in another folder"
        )


def _told(name: str, before: Any, now: Any) -> str:
    said = NAMES.get(name, name)
    if not isinstance(before, dict) or not isinstance(now, dict):
        return said
    if set(now) != {"count", "digest"}:
        return f"{said} ({', '.join(key for key in now if before.get(key) != now[key])})"
    if before["count"] != now["count"]:
        return f"{said} ({before['count']:,} then, {now['count']:,} now)"
    return f"{said} ({now['count']:,} as before, but not the same)"


def _counted(rows: Iterable[bytes]) -> dict[str, Any]:
    digest, count = hashlib.sha256(), 0
    for row in rows:
        digest.update(hashlib.sha256(row).digest())
        count += 1
    return {"count": count, "digest": digest.hexdigest()[:16]}


def _photo(file: Path, name: str) -> bytes:
    told = name.encode("utf-8", "surrogatepass")
    try:
        with open_regular(file) as photo:
            return b"%s\t%d\t%s" % (told, file.stat().st_size, photo.read(SEEN))
    except OSError:  # it is skipped, as a damaged one is
        return told
