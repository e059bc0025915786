"""Weights from the hub into Hugging Face's cache: a download that was cut goes on, and a damaged one is not used.

``hf_hub_download`` starts anew in every process (its temporary files have random names), and does not compare what came
with the hash that the hub states.  ``HfFileSystem`` cannot begin in the middle of a file that it streams.  So the bytes
are taken from the requests of ``huggingface_hub``, with their tokens, redirects and waiting where the hub is busy.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock
from huggingface_hub import (
    HfFileMetadata,
    constants,
    get_hf_file_metadata,
    get_session,
    get_token,
    hf_hub_url,
    hf_raise_for_status,
)
from huggingface_hub.errors import EntryNotFoundError
from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

from mmsearch.encoders.hub import access, pickles
from mmsearch.errors import ModelError

BLOCK = 2**20  # bytes that are written at once
FAILURES = 5  # in a row, with nothing that came between them, after which a download is given up
LONGEST = 60.0  # seconds that are waited at once for a hub that is busy
_BUSY = (408, 429)  # its answers then
_SHA256 = re.compile(r"[0-9a-f]{64}")  # an ETag that is one: of large files; small ones have git's


def fetch(name: str, repo: str, files: Sequence[str], trust_pickle: bool = False) -> None:
    """Bring the first of ``files`` that the repository ``org/name`` has into the cache, for the model ``name``.

    Raises PickledWeightsError before a pickle is downloaded, unless they are trusted, and ModelError where nothing
    usable came.
    """
    place = f"{name} could not be downloaded from {access.endpoint()}"
    try:
        for file in files:
            try:
                facts = get_hf_file_metadata(hf_hub_url(repo, file, endpoint=access.endpoint()))
            except EntryNotFoundError:
                continue
            pickles.check(name, file, trust_pickle)
            _store(name, repo, file, facts)
            return
    except (ModelError, KeyboardInterrupt):
        raise
    except Exception as error:  # of httpx, huggingface_hub and the disk
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ModelError(f"{place}: {reason}; what came is kept, and the same command goes on") from error
    raise ModelError(f"{place}: {repo} holds none of {', '.join(files)}")


def _store(name: str, repo: str, file: str, facts: HfFileMetadata) -> None:
    """The file under its name in the cache, as ``huggingface_hub`` lays it out."""
    etag, commit = facts.etag, facts.commit_hash
    if not etag or not commit or os.path.basename(etag) != etag or os.path.basename(commit) != commit:
        raise ModelError(f"{access.endpoint()} does not answer as a model hub does: ETag {etag!r}, commit {commit!r}")
    top = access.cache_folder() / f"models--{repo.replace('/', '--')}"
    blob, pointer, ref = top / "blobs" / etag, top / "snapshots" / commit / file, top / "refs" / "main"
    for folder in (blob.parent, pointer.parent, ref.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{blob}.lock"):
        if not pointer.exists():
            if not blob.exists():
                _load(name, facts, blob)
            _point(pointer, blob)
    ref.write_text(commit, "utf-8")


def _load(name: str, facts: HfFileMetadata, blob: Path) -> None:
    part = blob.with_name(f"{blob.name}.part")  # kept when it is cut
    part.touch()
    with part.open("r+b") as file:
        _receive(facts, file)
    if _SHA256.fullmatch(blob.name):
        with part.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(2**20):
                digest.update(block)
        if digest.hexdigest() != blob.name:
            part.unlink()
            raise ModelError(
                f"the weights of {name} came damaged from {access.endpoint()}: their SHA-256 is {digest.hexdigest()}, "
                f"the hub states {blob.name}; they were deleted, run the same command again to download them anew"
            )
    part.replace(blob)


def _receive(facts: HfFileMetadata, file: BinaryIO) -> None:
    """Append what is missing of the file on the hub; a progress bar shows on a terminal.

    A connection that breaks is taken up where it broke, a hub that is busy is asked again.  Raises OSError when the
    file does not come in the size that is stated, and what the HTTP library raises.
    """
    have = file.seek(0, os.SEEK_END)
    if facts.size is not None and have > facts.size:
        have = file.truncate(file.seek(0))
    failures, wait = 0, 0.0
    with tqdm(total=facts.size, initial=have, unit="B", unit_scale=True, disable=None) as bar:
        while have != facts.size:
            try:
                wait = _append(facts, file, bar, last=failures == FAILURES)
            except OSError:  # of the disk, and what the hub answers
                raise
            except Exception:  # of the connection; the HTTP library is another one from version to version
                if failures == FAILURES:
                    raise
                wait = 1.0
            if not wait:
                break
            failures = 0 if file.tell() > have else failures + 1
            have = file.tell()
            time.sleep(wait)
    if facts.size is not None and file.tell() != facts.size:
        raise OSError(f"{file.tell():,} bytes came of {facts.size:,}")


def _append(facts: HfFileMetadata, file: BinaryIO, bar: Any, last: bool) -> float:
    """One request for what is missing of the file on the hub, written as it comes.

    Returns for how many seconds the hub asks to wait, 0 when the answer was whole.  The ``last`` time its answer that
    it is busy is an error, as others are.
    """
    have = file.tell()
    headers = {"User-Agent": "mmsearch"}
    if facts.location.startswith(f"{access.endpoint()}/") and not constants.HF_HUB_DISABLE_IMPLICIT_TOKEN:
        headers |= {"Authorization": f"Bearer {token}"} if (token := get_token()) else {}  # no token for others
    if have:
        headers["Range"] = f"bytes={have}-"
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", facts.location, headers=headers, timeout=timeout) as answer:
        if answer.status_code in _BUSY and not last:
            stated = answer.headers.get("Retry-After", "")
            return min(max(float(stated), 1.0), LONGEST) if stated.isdecimal() else 1.0
        hf_raise_for_status(answer)
        if have and answer.status_code == 200:  # it sends the whole, whatever was asked for
            file.truncate(file.seek(0))
            bar.reset()
        for block in answer.iter_bytes(BLOCK):
            file.write(block)
            bar.update(len(block))
    return 0.0


def _point(pointer: Path, blob: Path) -> None:
    try:
        pointer.symlink_to(os.path.relpath(blob, pointer.parent))
    except OSError:  # a system without links
        blob.replace(pointer)
