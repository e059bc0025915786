"""A library for the page to show: about three hundred photos of which few need to be encoded, one with a script in all
that is written about it, and servers of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import drawn_photos
from PIL import Image
from samples import SAMPLES, surroundings

from mmsearch.cli.serve import _listening, _options
from mmsearch.cli.web_server import server_of
from mmsearch.config import Settings
from mmsearch.encoders.protocol import Encoder
from mmsearch.library.opening import open_library

TOKEN = "a token that is long enough"
SCRIPT = "<img src=x onerror=alert(1)>"
DRAWN, COPIES = 24, 12  # so that half of the photos are more than the page asks for at once
COPY = "* copy *"  # the names of copies
PLACES = [(48.85, 2.35), (52.52, 13.4), (-33.87, 151.21), (35.68, 139.69)]
CAMERAS = ["Fujifilm X-T4", "Canon EOS 5D"]
NAMED = {
    "chelsea.png": "cat.png",
    "camera.png": "cameraman.png",
    "grass.png": "grass.png",
    "motorcycle_left.png": "motorcycle.png",
    "rocket.jpg": "rocket.jpg",
    "coffee.png": "coffee.png",
}
PHOTOS = DRAWN * COPIES + len(NAMED) + 1


def photos(folder: Path) -> None:
    """All of them, in ``folder``, which is made."""
    _draw(folder)
    named = folder / "named"
    named.mkdir()
    for source, name in NAMED.items():
        shutil.copy(SAMPLES / source, named / name)
    hostile = named / f"{SCRIPT}.png"
    drawn_photos.draw(hostile, 999)
    hostile.with_suffix(".txt").write_text(f"{SCRIPT} described", "utf-8")


def library(folder: Path, of: Path, encoder: Encoder) -> None:
    """A library of these photos, in ``folder``, which is made."""
    hostile = of / "named" / f"{SCRIPT}.png"
    with open_library(folder, encoder=encoder) as library:
        library.index(of, exclude=COPY)
        library.index(of, exclude=())  # of what is known by now nothing is encoded
        model = library.store.model()
        assert model is not None
        with library.lock(), library.store.writing() as writer:
            item = library.store.vector_of(str(hostile), model)
            assert item is not None
            writer.put_caption(item, "r", f"{SCRIPT} captioned", 0.9)
            writer.put_tags("words", {item: {f"{SCRIPT} tagged": 0.9, "drawing": 0.8}})
        library.tag_photos(hostile, add=f"{SCRIPT} of a person")


def _draw(photos: Path) -> None:
    """``DRAWN`` pictures of as many months, each ``COPIES`` times."""
    for number in range(DRAWN):
        year, month = 2022 + number // 12, number % 12 + 1
        folder = photos / str(year)
        folder.mkdir(parents=True, exist_ok=True)
        first = folder / f"{number:02d}.jpg"
        drawn_photos.draw(first, number)
        _write_exif(first, f"{year}:{month:02d}:15 12:00:00", CAMERAS[number % 2], PLACES[number % 4])
        for copy in range(1, COPIES):
            shutil.copy(first, folder / f"{number:02d} copy {copy:02d}.jpg")


def _write_exif(file: Path, taken: str, camera: str, place: tuple[float, float]) -> None:
    with Image.open(file) as picture:
        exif = picture.getexif()
        exif[271], exif[272] = camera.split(" ", 1)[0], camera
        exif.get_ifd(0x8769)[36867] = taken
        gps = exif.get_ifd(0x8825)
        for at, (value, signs) in enumerate(zip(place, ("NS", "EW"), strict=True)):
            gps[2 * at + 1], gps[2 * at + 2] = signs[value < 0], (abs(value), 0.0, 0.0)
        picture.resize((120, 96 if camera < "D" else 80)).save(file, exif=exif, quality=90)


@contextmanager
def served(folder: Path, cache: Path, encoder: Encoder, read_only: bool = False) -> Iterator[str]:
    """The address that opens the page of a library: of the server that ``mmsearch serve`` is, in a thread."""
    settings = Settings(library=folder, cache=cache, device="cpu")
    with (
        open_library(folder, settings=settings, encoder=encoder) as opened,
        _listening("127.0.0.1", 0) as listening,
    ):
        server = server_of(opened, _options("127.0.0.1", TOKEN, (), read_only, None))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/?token={TOKEN}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def served_by_a_process(library: Path, home: Path, *options: str, **environment: str) -> Iterator[str]:
    """The same of ``mmsearch serve``, as it prints it."""
    arguments = [sys.executable, "-m", "mmsearch.cli", "serve", "--library", str(library), "--port", "0", *options]
    given = {"MMSEARCH_TOKEN": TOKEN, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2"), **environment}
    log = (home / "serve.log").open("wb")
    server = subprocess.Popen(
        arguments, env=surroundings(home, given), cwd=home, stdout=subprocess.PIPE, stderr=log, text=True
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        assert address, (home / "serve.log").read_text("utf-8")
        yield address
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
        log.close()
        server.stdout and server.stdout.close()
