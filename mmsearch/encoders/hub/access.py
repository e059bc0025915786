"""What the Hugging Face cache holds and whether the hub answers; imports no library of theirs.

``huggingface_hub`` asks an unreachable hub for about a minute before it gives up, with a page of warnings.  So the
cache is looked into here, the hub is asked once and quietly, and their library is called only when that can succeed.
"""

from __future__ import annotations

import os
import queue
import threading
from pathlib import Path

from mmsearch.media.filesystem import read_text

SECONDS = 3.0  # how long the hub may take to answer, finding its address included
_YES = {"1", "true", "yes", "on"}


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
    folder = cache_folder() / f"models--{repo.replace('/', '--')}"
    try:
        commit = read_text(folder / "refs" / "main").strip()
        path = folder / "snapshots" / commit / file
        return path if path.is_file() else None
    except OSError:
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


def ask(repo: str = "", seconds: float = SECONDS) -> int | None:
    """The HTTP status with which the hub answers for the repository ``org/name``; None without an answer in time.

    Without a repository it is asked for its front page.  The thread is left behind when it hangs: looking up a host
    name cannot be interrupted.
    """
    import urllib.error  # 15 ms, and only a new library asks
    import urllib.request

    url = f"{endpoint()}/api/models/{repo}" if repo else endpoint()
    statuses: queue.SimpleQueue[int | None] = queue.SimpleQueue()

    def send() -> None:
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "mmsearch"})
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                statuses.put(answer.status)
        except urllib.error.HTTPError as error:
            statuses.put(error.code)
            error.close()
        except Exception:  # refused, unknown host, certificate, proxy, a malformed HF_ENDPOINT: no answer is no answer
            statuses.put(None)

    threading.Thread(target=send, name="mmsearch-hub", daemon=True).start()
    try:
        return statuses.get(timeout=seconds)
    except queue.Empty:
        return None
