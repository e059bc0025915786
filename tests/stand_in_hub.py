"""A stand-in for the Hugging Face hub and its CDN, two servers on this machine, and what it holds.

It answers as the hub does: files by revision, with the commit and two kinds of ETag; large ones (LFS) by a redirect to
another host, small ones by one on the same; ranges and 304; 401, 403 and 404 with the hub's error codes; repositories
that are gated, private, renamed; the API's facts and trees.  ``Trouble`` makes it busy, slow, broken or cut off.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

LARGE = (".safetensors", ".bin", ".onnx", ".onnx.data", ".pt")  # kinds of files that are in LFS
COMMIT = "1" * 40


@dataclass
class Trouble:
    """What happens to the next requests of a kind, in place of the answer or to it."""

    status: int = 0  # answered in place of what was asked for; 0 leaves that as it is
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None  # the connection ends after so many bytes
    delay: float = 0.0  # seconds before the answer
    times: int = 1
    on: str = "content"  # or "facts" (a HEAD of a file), "api"
    file: str = ""  # only where the path ends so


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answer: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), answer)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Of a client that went away nothing is said."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class Hub(_Server):
    """Serves ``root/org/name/file``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: list[str] = []  # paths, of the hub
        self.sent: list[str] = []  # names of files whose content was asked for, of the hub or its CDN
        self.ranges: list[str] = []  # that were asked for
        self.leaked: list[str] = []  # Authorization headers that reached the CDN
        self.stated: dict[str, str] = {}  # file name -> SHA-256 that is stated, where it is not the true one
        self.troubles: list[Trouble] = []
        self.gated: set[str] = set()
        self.private: set[str] = set()
        self.tokens: dict[str, set[str]] = {}  # token -> repositories that it opens
        self.renamed: dict[str, str] = {}  # old name of a repository -> its name
        self.cdn = _Cdn(self)
        super().__init__(_HubAnswer)

    def stop(self) -> None:
        super().stop()
        self.cdn.stop()

    def trouble(self, on: str, path: str) -> Trouble | None:
        """What is to happen to this request."""
        for each in self.troubles:
            if each.on == on and each.times > 0 and path.endswith(each.file):
                each.times -= 1
                return each
        return None


class _Cdn(_Server):
    """Content of large files, on another host than the hub: by hash, with a signature in the query."""

    def __init__(self, hub: Hub) -> None:
        self.hub, self.files = hub, dict[str, Path]()
        super().__init__(_CdnAnswer)


class _Answer(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        raise NotImplementedError

    def reply(self, status: int, content: bytes = b"", headers: dict[str, str] | None = None, cut: Any = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[:cut])

    def upset(self, hub: Hub, on: str, path: str) -> Trouble | None:
        """The trouble of this request, if any; one with a status of its own is answered, and more is not to be said."""
        trouble = hub.trouble(on, path)
        if trouble is not None:
            if trouble.delay:
                time.sleep(trouble.delay)
            if trouble.status:
                self.reply(trouble.status, b"", trouble.headers)
        return trouble

    def content(self, hub: Hub, file: Path, headers: dict[str, str]) -> None:
        """A file, whole or from where it is asked for."""
        name = file.relative_to(hub.root).as_posix()
        cut = None
        if self.command == "GET":
            hub.sent.append(name)
            trouble = self.upset(hub, "content", name)
            if trouble is not None and trouble.status:
                return
            cut = None if trouble is None else trouble.cut
        if self.headers["If-None-Match"] == headers["ETag"]:
            self.reply(304, b"", headers)
            return
        content = file.read_bytes()
        wanted = self.headers["Range"]
        if wanted is None or self.command == "HEAD":
            self.reply(200, content, headers, cut)
            return
        hub.ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(content):
            self.reply(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.reply(206, content[start:], headers, cut)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


class _CdnAnswer(_Answer):
    server: _Cdn

    def do_GET(self) -> None:
        name, _, signature = self.path.strip("/").partition("?")
        if self.headers["Authorization"]:
            self.server.hub.leaked.append(self.headers["Authorization"])
        if name not in self.server.files or not signature.startswith("Signature="):
            self.reply(403)
            return
        self.content(self.server.hub, self.server.files[name], {"ETag": f'"{name}"', "Accept-Ranges": "bytes"})


class _HubAnswer(_Answer):
    server: Hub

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0]).strip("/")
        self.server.asked.append(path)
        if path.startswith("api/resolve-cache/models/"):
            org, name, _, file = path.removeprefix("api/resolve-cache/models/").split("/", 3)
            self._small(self.server.root / org / name / file)
        elif path.startswith("api/models/"):
            self._facts(*path.removeprefix("api/models/").split("/"))
        elif "/resolve/" in path:
            repo, _, rest = path.partition("/resolve/")
            self._resolve(repo, *rest.split("/", 1))
        else:
            self.reply(404)

    def _allowed(self, repo: str, gate: bool) -> bool:
        """Whether the sender may see the repository, else the answer is sent; ``gate``: and its files."""
        hub, stated = self.server, self.headers["Authorization"] or ""
        token = stated.removeprefix("Bearer ")
        if token and token not in hub.tokens:
            self.reply(401, b"", {"X-Error-Message": "Invalid credentials in Authorization header"})
            return False
        opens = hub.tokens.get(token, set())
        if not (hub.root / repo).is_dir() or (repo in hub.private and repo not in opens):
            facts = {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}
            self.reply(404 if token else 401, b"", facts)
            return False
        if gate and repo in hub.gated and repo not in opens:
            facts = {"X-Error-Code": "GatedRepo", "X-Error-Message": f"Access to model {repo} is restricted."}
            self.reply(403 if token else 401, b"", facts)
            return False
        return True

    def _facts(self, org: str, name: str, kind: str = "", revision: str = "main", *rest: str) -> None:
        repo = f"{org}/{name}"
        if repo in self.server.renamed:
            self.reply(307, b"", {"Location": f"/api/models/{self.server.renamed[repo]}"})
            return
        trouble = self.upset(self.server, "api", self.path)
        if (trouble is not None and trouble.status) or not self._allowed(repo, gate=kind == "tree"):
            return
        if revision not in ("main", COMMIT):
            self.reply(404, b"", {"X-Error-Code": "RevisionNotFound"})
            return
        top = self.server.root / repo
        files = sorted(file for file in top.rglob("*") if file.is_file())
        if kind == "tree":
            facts: Any = [
                {
                    "type": "file",
                    "oid": _git(file).strip('"'),
                    "path": file.relative_to(top).as_posix(),
                    "size": file.stat().st_size,
                }
                for file in files
            ]
        else:
            siblings = [{"rfilename": file.relative_to(top).as_posix()} for file in files]
            gated = "manual" if repo in self.server.gated else False
            facts = {"id": repo, "sha": COMMIT, "gated": gated, "siblings": siblings}
        self.reply(200, json.dumps(facts).encode(), {"Content-Type": "application/json"})

    def _resolve(self, repo: str, revision: str, name: str) -> None:
        hub = self.server
        if repo in hub.renamed:
            self.reply(307, b"", {"Location": f"/{hub.renamed[repo]}/resolve/{revision}/{name}"})
            return
        trouble = self.upset(hub, "facts", name) if self.command == "HEAD" else None
        if (trouble is not None and trouble.status) or not self._allowed(repo, gate=True):
            return
        if revision not in ("main", COMMIT):
            self.reply(404, b"", {"X-Error-Code": "RevisionNotFound"})
            return
        file = hub.root / repo / name
        if not file.is_file():
            self.reply(404, b"", {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"})
            return
        facts = {"X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if name.endswith(LARGE) or name in hub.stated:
            true = _sha256(file, file.stat().st_mtime_ns)
            stated = hub.stated.get(name, true)
            hub.cdn.files[stated] = file
            facts |= {"X-Linked-ETag": f'"{stated}"', "X-Linked-Size": str(file.stat().st_size)}
            self.reply(302, b"", {**facts, "Location": f"{hub.cdn.url}/{stated}?Signature=x&Expires=y"})
        else:
            place = f"/api/resolve-cache/models/{repo}/{COMMIT}/{name}"
            self.reply(307, b"", {**facts, "Location": place, "ETag": _git(file)})

    def _small(self, file: Path) -> None:
        repo = "/".join(file.relative_to(self.server.root).parts[:2])
        if self._allowed(repo, gate=True):
            self.content(self.server, file, {"ETag": _git(file), "X-Repo-Commit": COMMIT})


@lru_cache
def _sha256(file: Path, written: int) -> str:
    """Of what the file held when it was ``written``: gigabytes take longer than a client waits, so only once."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while part := content.read(2**20):
            digest.update(part)
    return digest.hexdigest()


def _git(file: Path) -> str:
    """The ETag of a small file: git's hash."""
    content = file.read_bytes()
    return f'"{hashlib.sha1(b"blob %d" % len(content) + bytes(1) + content).hexdigest()}"'
