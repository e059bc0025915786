"""Weights from the hub into Hugging Face's cache: a download that was cut goes on, and a damaged one is not used.

``huggingface_hub`` starts anew in every process (its temporary files have random names), and does not compare what came
with the hash that the hub states.  Its requests are used, with their tokens, redirects, retries and progress bar; that
shows on a terminal only.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock
from huggingface_hub import get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError
from huggingface_hub.file_download import HfFileMetadata, http_get
from huggingface_hub.utils._headers import build_hf_headers

from mmsearch.encoders.hub import access, pickles
from mmsearch.errors import ModelError

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
        have = file.seek(0, os.SEEK_END)
        if facts.size is not None and have > facts.size:
            have = file.truncate(file.seek(0))
        headers = build_hf_headers() if facts.location.startswith(access.endpoint()) else {}  # no token for others
        http_get(facts.location, file, resume_size=have, headers=headers, expected_size=facts.size)
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


def _point(pointer: Path, blob: Path) -> None:
    try:
        pointer.symlink_to(os.path.relpath(blob, pointer.parent))
    except OSError:  # a system without links
        blob.replace(pointer)
