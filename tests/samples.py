"""Where the tests' photos come from, a copy of the embedded model, and what commands are run by and in."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import skimage

from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import FILES

SAMPLES = Path(skimage.__file__).parent / "data"  # photos that come with scikit-image
CLI = Callable[..., "subprocess.CompletedProcess[str]"]


def five_photos(folder: Path) -> Path:
    """Five photos in two folders, in ``folder``, which is made."""
    (folder / "trips").mkdir(parents=True)
    for name, place in {
        "chelsea.png": "cat.png",  # says that it is of 2009
        "camera.png": "cameraman.png",
        "grass.png": "grass.png",
        "motorcycle_left.png": "trips/motorcycle.png",
        "rocket.jpg": "trips/rocket.jpg",
    }.items():
        shutil.copy(SAMPLES / name, folder / place)
    return folder


def surroundings(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command whose home is in ``folder``."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    ours = ("MMSEARCH_", "XDG_", "HF_", "ORT_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    own = {"HOME": str(home), "USERPROFILE": str(home), "MMSEARCH_OFFLINE": "1"}
    return {**kept, **own, **{name: str(value) for name, value in environment.items()}}


@contextmanager
def interruptible() -> Iterator[None]:
    """A program that is started within takes Ctrl-C, also where this process was told to ignore it (``nohup … &``).

    A signal that is ignored stays so in a new program, one that has a handler gets the default one (POSIX, exec).
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def model_without_regions(folder: Path) -> Path:
    """A copy of the embedded model that gives no region tokens, as the first version's."""
    folder.mkdir(parents=True)
    for name in (*FILES, "recipe.json", "background.npy"):
        shutil.copy(EMBEDDED / name, folder)
    facts = json.loads((folder / "model.json").read_text("utf-8"))
    facts.pop("regions", None)
    (folder / "model.json").write_text(json.dumps(facts), "utf-8")
    return folder
