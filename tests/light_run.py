"""The light way, from end to end: ``python tests/light_run.py`` in an environment without torch and its like.

Needs nothing but what is in that environment, and the samples of scikit-image.  Where the packages are there all the
same, as in the environment of development, each process is told that they are not: to import one raises.  There
``light_here.py`` goes the same way in one process.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

HEAVY = ("onnx", "onnxscript", "open_clip", "timm", "torch", "torchvision", "transformers")
GUARD = f"import sys\nsys.modules.update(dict.fromkeys({HEAVY!r}))  # None there: to import it raises\n"


class Light:
    """Commands in ``folder``, with a home and a library of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        guard = folder / "guard"
        guard.mkdir(exist_ok=True)
        (guard / "sitecustomize.py").write_text(GUARD, "utf-8")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MMSEARCH_", "XDG_", "HF_"))}
        path = os.pathsep.join(filter(None, [str(guard), kept.get("PYTHONPATH", "")]))
        own = {"HOME": str(folder), "USERPROFILE": str(folder), "MMSEARCH_OFFLINE": "1", "PYTHONPATH": path}
        self.environment = {**kept, **own}

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """What a command says; it must end with ``code`` and without a traceback."""
        done = self.call(arguments)
        said = f"mmsearch {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == code, said
        assert "Traceback" not in done.stderr, said
        return done

    def call(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """In a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "mmsearch.cli", *arguments],
            env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip

    def whole(self) -> None:
        self.works()
        self.serves()
        self.says_what_adds_it()

    def works(self) -> None:
        """All that people do with pictures."""
        samples = [sys.executable, "-m", "mmsearch.cli.samples", "photos"]
        subprocess.run(samples, env=self.environment, cwd=self.folder, capture_output=True, check=True)
        indexed = self.run("index", "photos")
        assert "18 added" in indexed.stderr, indexed.stderr
        assert "using the embedded model: " in indexed.stderr
        assert "needs open_clip and torch, which are not installed" in indexed.stderr
        coffee = str(self.folder / "photos" / "coffee.png")
        assert Path(self.run("query", "a cup of coffee", "-k", "1", "--paths").stdout.strip()).name == "coffee.png"
        assert Path(self.run("query", coffee, "-k", "1", "--paths").stdout.strip()).suffix == ".png"
        assert len(json.loads(self.run("ask", coffee, "what is it?", "--json").stdout)["answers"]) == 3
        self.run("explain", coffee, "a cup of coffee", "-o", "heat.png")
        assert (self.folder / "heat.png").stat().st_size > 1000
        assert json.loads(self.run("tag", "--json").stdout)["tagged"] > 5
        assert self.run("caption", coffee).stdout.startswith(f"{coffee}\t")
        self.run("duplicates")
        for command in ("status", "models", "verify", "repair", "reindex"):
            self.run(command)
        self.run("index", "photos", "--captions")
        self.run("backup", "library.backup")
        self.run("export", "exported")
        assert "0 missing" in self.run("status").stdout

    def serves(self) -> None:
        """The server starts, searches and ends."""
        command = [sys.executable, "-m", "mmsearch.cli", "serve", "--port", "0"]
        with subprocess.Popen(
            command, env=self.environment, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout is not None
            address, _, token = server.stdout.readline().strip().partition("/?token=")
            assert token, server.communicate()
            request = urllib.request.Request(f"{address}/api/v1/search?q=a+cup+of+coffee&k=1")
            request.add_header("Authorization", f"Bearer {token}")
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert "coffee.png" in answer.read().decode()
            server.send_signal(signal.SIGTERM)
            assert server.wait(timeout=30) == 0, server.communicate()

    def says_what_adds_it(self) -> None:
        """What is left out names the command that adds it, before any work is done."""
        for arguments in (
            ("index", "photos", "--library", "other", "--model", "ViT-B-32"),
            ("reindex", "--model", "ViT-B-32"),
            ("train", "--captions", "none.tsv", "--images", "photos", "--out", "made"),
            ("train-reranker", "--captions", "none.tsv", "--images", "photos", "--out", "made"),
        ):
            said = self.run(*arguments, code=1).stderr.strip()
            assert " install " in said, said
            assert {"open-clip-torch", "torch", "torchvision"} <= set(said.rpartition(" install ")[2].split()), said
        assert "there is no model 'no-such'" in self.run("reindex", "--model", "no-such", code=1).stderr


def main() -> None:
    begun = time.monotonic()
    there = [name for name in HEAVY if importlib.util.find_spec(name) is not None]
    assert not there, f"this environment has {', '.join(there)}"
    assert metadata.version("faiss-cpu")
    with tempfile.TemporaryDirectory() as folder:
        Light(Path(folder)).whole()
    print(f"the light way works ({time.monotonic() - begun:.0f} s)")


if __name__ == "__main__":
    main()
