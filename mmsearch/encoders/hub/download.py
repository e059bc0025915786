"""Weights from the hub into Hugging Face's cache: a download that was cut goes on, and a damaged one is not used.

``hf_hub_download`` starts anew in every process (its temporary files have random names), and does not compare what came
with the hash that the hub states.  ``HfFileSystem`` cannot begin in the middle of a file that it streams.  So the bytes
are taken from the requests of ``huggingface_hub``, with their tokens, redirects and waiting where the hub is busy.
"""

from __future__ import annotations

import contextlib
import email.utils
import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from filelock import FileLock
from huggingface_hub import (
    HfFileMetadata,
    constants,
    get_hf_file_metadata,
    get_session,
    hf_hub_url,
    hf_raise_for_status,
)
from huggingface_hub.errors import (
    DisabledRepoError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

from mmsearch.encoders.hub import access, pickles
from mmsearch.errors import ModelError

logger = logging.getLogger(__name__)
Said = TypeVar("Said")

BLOCK = 2**20  # bytes that are written at once
FAILURES = 5  # in a row, with nothing that came between them, after which a download is given up
LONGEST = 300.0  # seconds that are waited at once for a hub that is busy: the length of its window for requests
EVERY = 60.0  # seconds after which a log says again how far a download is
_BUSY = (*access.BUSY, 500, 502, 503, 504)  # its answers then, or when it is out of order for a while
_SHA256 = re.compile(r"[0-9a-f]{64}")  # an ETag that is one: of large files; small ones have git's
_RESET = re.compile(r"\bt\s*=\s*(\d+)")  # seconds to the next window, in the header RateLimit


def fetch(name: str, repo: str, files: Sequence[str], trust_pickle: bool = False, needed: bool = True) -> None:
    """Bring the first of ``files`` that the repository ``org/name`` has into the cache, for the model ``name``.

    Where it has none, nothing is said unless one is ``needed``.  Raises PickledWeightsError before a pickle is
    downloaded, unless they are trusted, and ModelError where nothing usable came.
    """
    with _worded(name, repo):
        for file in files:
            try:
                facts = _facts(repo, file)
            except EntryNotFoundError:
                continue
            pickles.check(name, file, trust_pickle)
            _store(name, repo, file, facts)
            return
        if needed:
            raise ModelError(f"{_failed(name)}: {repo} holds none of {', '.join(files)}")


def listing(name: str, repo: str) -> tuple[str, ...]:
    """The files of the repository ``org/name``, asked for the model ``name`` until the hub answers.  Raises ModelError.

    ``access.about`` asks once, and not for long.
    """

    def ask() -> tuple[str, ...]:
        url, timeout = f"{access.endpoint()}/api/models/{repo}", constants.HF_HUB_ETAG_TIMEOUT
        answer = get_session().get(url, headers=_headers(to_hub=True), timeout=timeout, follow_redirects=True)
        hf_raise_for_status(answer)
        return access.files_in(answer.content)

    with _worded(name, repo):
        return _patiently(ask)


@contextlib.contextmanager
def _worded(name: str, repo: str) -> Iterator[None]:
    """What goes wrong is a ModelError that says why."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # of the HTTP library, huggingface_hub and the disk
        refused = _refused(error, repo)
        if refused:
            raise ModelError(f"{_failed(name)}: {refused}", code="model-refused") from error
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ModelError(f"{_failed(name)}: {reason}; what came is kept, and the same command goes on") from error


def _failed(name: str) -> str:
    return f"{name} could not be downloaded from {access.endpoint()}"


def fetch_all(name: str, repo: str, files: Sequence[str]) -> None:
    """Bring all of these files into the cache, none of which is ever read as a pickle.  Raises ModelError."""
    for file in files:
        fetch(name, repo, [file], trust_pickle=True)


def _refused(error: Exception, repo: str) -> str:
    """Why the hub does not give the files of a repository, and what to do; empty for other errors."""
    page = f"{access.endpoint()}/{repo}"
    known = access.token() is not None
    if isinstance(error, GatedRepoError):  # a kind of the next
        who = "the account of the token that was sent has no access" if known else "no token was sent"
        return f"{repo} is gated, and {who}; accept its terms at {page}, then log in: `hf auth login`, or set HF_TOKEN"
    if isinstance(error, RepositoryNotFoundError):
        if known:
            return f"there is no repository {repo}, or it is private and the token that was sent does not open it"
        return f"there is no repository {repo}, or it is private; to open it log in: `hf auth login`, or set HF_TOKEN"
    if isinstance(error, DisabledRepoError):
        return f"access to {repo} is disabled"
    if isinstance(error, RevisionNotFoundError):
        return f"{repo} has no revision main"
    if isinstance(error, HfHubHTTPError) and error.response.status_code == 401 and known:
        return "it does not accept the token that was sent; log in anew: `hf auth login`, or set HF_TOKEN to another"
    return ""


@dataclass
class _Patience:
    """What is left of it, for a hub that is busy or cannot be reached."""

    failures: int = 0  # in a row

    @property
    def ended(self) -> bool:
        return self.failures >= FAILURES

    def wait(self, seconds: float, why: str) -> None:
        """One failure more; says so and sleeps, where there is something to wait for."""
        self.failures += 1
        if not seconds:
            return
        logger.info("%s %s: asking again in %.0f s", access.endpoint(), why, seconds)
        time.sleep(seconds)


def _facts(repo: str, file: str) -> HfFileMetadata:
    """What the hub says of a file."""
    url = hf_hub_url(repo, file, endpoint=access.endpoint())
    return _patiently(lambda: get_hf_file_metadata(url, token=access.token() or False))


def _patiently(ask: Callable[[], Said]) -> Said:
    """What the hub answers; it is asked again where it is busy, or cannot be reached."""
    patience = _Patience()
    while True:
        try:
            return ask()
        except HfHubHTTPError as error:
            if error.response.status_code not in _BUSY or patience.ended:
                raise
            patience.wait(_stated_wait(error.response), f"is busy (HTTP {error.response.status_code})")
        except (OSError, ValueError):  # of the disk; a name that no repository can have
            raise
        except Exception:  # of the connection; the HTTP library is another one from version to version
            if patience.ended:
                raise
            patience.wait(1.0, "does not answer")


def _stated_wait(answer: Any) -> float:
    """For how many seconds an HTTP answer asks to wait; at least 1."""
    after, limit = answer.headers.get("Retry-After", ""), _RESET.search(answer.headers.get("RateLimit", ""))
    seconds = 1.0
    if after.strip().isdecimal():
        seconds = float(after)
    elif after:
        with contextlib.suppress(ValueError):
            seconds = email.utils.parsedate_to_datetime(after).timestamp() - time.time()
    elif limit is not None:
        seconds = float(limit[1])
    return min(max(seconds, 1.0), LONGEST)


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
                _load(name, repo, file, facts, blob)
            _point(pointer, blob)
    ref.write_text(commit, "utf-8")


def _load(name: str, repo: str, file: str, facts: HfFileMetadata, blob: Path) -> None:
    part = blob.with_name(f"{blob.name}.part")  # kept when it is cut
    part.touch()
    with part.open("r+b") as opened:
        _receive(repo, file, facts, opened)
    if _SHA256.fullmatch(blob.name):
        with part.open("rb") as opened:
            digest = hashlib.sha256()
            while block := opened.read(2**20):
                digest.update(block)
        if digest.hexdigest() != blob.name:
            part.unlink()
            raise ModelError(
                f"the weights of {name} came damaged from {access.endpoint()}: their SHA-256 is {digest.hexdigest()}, "
                f"the hub states {blob.name}; they were deleted, run the same command again to download them anew"
            )
    part.replace(blob)


def _receive(repo: str, name: str, facts: HfFileMetadata, file: BinaryIO) -> None:
    """Append what is missing of the file on the hub; a progress bar shows on a terminal.

    A connection that breaks is taken up where it broke, a hub that is busy is asked again, and one whose address of the
    file has expired is asked for another.  Raises OSError when the file does not come in the size that is stated, and
    what the HTTP library raises.
    """
    have = file.seek(0, os.SEEK_END)
    if facts.size is not None and have > facts.size:
        have = file.truncate(file.seek(0))
    patience, fresh = _Patience(), True  # ``fresh``: where the file is was asked just now
    with tqdm(total=facts.size, initial=have, unit="B", unit_scale=True, disable=None) as bar:
        while have != facts.size:
            wait, why = 1.0, "broke off"
            try:
                _append(facts, file, bar)
                break
            except HfHubHTTPError as error:
                status = error.response.status_code
                expired = status == 403 and not _of_hub(facts) and not fresh
                if not expired and (status not in _BUSY or patience.ended):
                    raise
                if expired:
                    before, facts, wait = facts.etag, _facts(repo, name), 0.0
                    if facts.etag != before:
                        raise OSError(f"{name} has changed there meanwhile") from error
                else:
                    wait, why = _stated_wait(error.response), f"is busy (HTTP {status})"
            except OSError:  # of the disk
                raise
            except Exception:  # of the connection; the HTTP library is another one from version to version
                if patience.ended:
                    raise
            fresh = not wait
            if file.tell() > have:
                patience = _Patience()
            have = file.tell()
            patience.wait(wait, why)
    if facts.size is not None and file.tell() != facts.size:
        raise OSError(f"{file.tell():,} bytes came of {facts.size:,}")


def _of_hub(facts: HfFileMetadata) -> bool:
    """Whether the hub sends the file itself."""
    return facts.location.startswith(f"{access.endpoint()}/")


def _headers(to_hub: bool) -> dict[str, str]:
    """Of a request; no other host than the hub gets the token."""
    token = access.token() if to_hub else None
    return {"User-Agent": "mmsearch", **({"Authorization": f"Bearer {token}"} if token else {})}


def _append(facts: HfFileMetadata, file: BinaryIO, bar: Any) -> None:
    """One request for what is missing of the file on the hub, written as it comes."""
    have = file.tell()
    headers = {"Accept-Encoding": "identity", **_headers(_of_hub(facts))}
    if have:
        headers["Range"] = f"bytes={have}-"
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", facts.location, headers=headers, timeout=timeout) as answer:
        hf_raise_for_status(answer)
        if have and answer.status_code == 200:  # it sends the whole, whatever was asked for
            file.truncate(file.seek(0))
            bar.reset()
        told = time.monotonic()
        for block in answer.iter_bytes(BLOCK):
            file.write(block)
            bar.update(len(block))
            if bar.disable and time.monotonic() - told > EVERY:  # no terminal
                told = time.monotonic()
                logger.info("downloaded %.0f of %.0f MB", file.tell() / 1e6, (facts.size or 0) / 1e6)


def _point(pointer: Path, blob: Path) -> None:
    try:
        pointer.symlink_to(os.path.relpath(blob, pointer.parent))
    except OSError:  # a system without links
        blob.replace(pointer)
