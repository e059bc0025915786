"""What the Hugging Face cache holds and whether the hub answers; imports no library of theirs.

``huggingface_hub`` asks an unreachable hub for about a minute before it gives up, with a page of warnings.  So the
cache is looked into here, the hub is asked once and quietly, and their library is called only when that can succeed.
"""

from __future__ import annotations

import json
import os
import queue
import threading
from dataclasses import dataclass
from pathlib import Path

from mmsearch.media.filesystem import read_text

SECONDS = 3.0  # how long the hub may take to answer, finding its address included
BUSY = (408, 429)  # answers of a hub that wants to be asked later
_LONGEST = 2**24  # bytes of what it says of a repository
_YES = {"1", "true", "yes", "on"}


@dataclass(frozen=True)
class Answer:
    """What the hub says of a repository."""

    status: int  # of HTTP
    files: tuple[str, ...] = ()  # paths within the repository; empty where it is not to be seen


def endpoint() -> str:
    """The hub's address, without a slash at the end."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def cache_folder() -> Path:
    """Where ``huggingface_hub`` keeps its downloads; it need not exist."""
    home = os.environ.get("HF_HOME") or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    folder = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or f"{home}/hub"
    return Path(os.path.expandvars(folder)).expanduser()


def cached(repo: str, file: str) -> Path | None:
    """A downloaded file of the repository ``org/name``, in the version last downloaded; None when it is not there."""
    folder = snapshot(repo)
    try:
        return folder / file if folder is not None and (folder / file).is_file() else None
    except OSError:
        return None


def snapshot(repo: str) -> Path | None:
    """The folder with what was downloaded of the repository ``org/name`` in its version last downloaded, if any was."""
    folder = cache_folder() / f"models--{repo.replace('/', '--')}"
    try:
        return folder / "snapshots" / read_text(folder / "refs" / "main").strip()
    except (OSError, ValueError):
        return None


def repositories() -> list[str]:
    """The repositories ``org/name`` that something was downloaded from, in the order of their names."""
    return sorted(folder.name[len("models--") :].replace("--", "/", 1) for folder in cache_folder().glob("models--*"))


def forbidden() -> str | None:
    """The environment variable that forbids asking the hub; None when it may be asked."""
    for name in ("MMSEARCH_OFFLINE", "HF_HUB_OFFLINE"):
        if os.environ.get(name, "").strip().lower() in _YES:
            return name
    return None


def token() -> str | None:
    """What the user's account on the hub is known by, as ``huggingface_hub`` finds it; None where there is none."""
    if os.environ.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").strip().lower() in _YES:
        return None
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if stated := os.environ.get(name, "").strip():
            return stated
    home = os.environ.get("HF_HOME") or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    file = os.environ.get("HF_TOKEN_PATH") or f"{home}/token"
    try:
        return read_text(Path(os.path.expandvars(file)).expanduser()).strip() or None
    except (OSError, ValueError):
        return None


def ask(repo: str = "", seconds: float = SECONDS) -> int | None:
    """The HTTP status with which the hub answers for the repository ``org/name``; None without an answer in time.

    Without a repository it is asked for its front page.
    """
    answer = about(repo, seconds)
    return None if answer is None else answer.status


def about(repo: str = "", seconds: float = SECONDS) -> Answer | None:
    """What the hub says of the repository ``org/name``; None without an answer in time.

    The thread is left behind when it hangs: looking up a host name cannot be interrupted.
    """
    import urllib.error  # 15 ms, and only a new library asks
    import urllib.request

    url = f"{endpoint()}/api/models/{repo}" if repo else endpoint()
    answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()

    def send() -> None:
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "mmsearch"})
            if (own := token()) is not None:
                request.add_unredirected_header("Authorization", f"Bearer {own}")  # for this host alone
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                answers.put(Answer(answer.status, files_in(answer.read(_LONGEST)) if repo else ()))
        except urllib.error.HTTPError as error:
            answers.put(Answer(error.code))
            error.close()
        except Exception:  # refused, unknown host, certificate, proxy, a malformed HF_ENDPOINT: no answer is no answer
            answers.put(None)

    threading.Thread(target=send, name="mmsearch-hub", daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except queue.Empty:
        return None


def files_in(content: bytes) -> tuple[str, ...]:
    """The files of a repository, in what the hub says of it."""
    try:
        return tuple(str(each["rfilename"]) for each in json.loads(content)["siblings"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return ()
