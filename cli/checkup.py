"""What ``mmsearch doctor`` looks at, and the advice for what it finds."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mmsearch.cli import formatting, installing
from mmsearch.cli.advice import worded
from mmsearch.cli.options import opened
from mmsearch.config import is_address
from mmsearch.errors import MMSearchError
from mmsearch.library.checkup import Finding
from mmsearch.library.library_file import located

if TYPE_CHECKING:
    from mmsearch.config import Settings
    from mmsearch.library.library import Library

SLOW_DECODING, SLOW_ENCODING = 2.0, 5.0  # pictures a second; two busy cores of 2023 do ten times as many
PACKAGES = ("numpy", "pillow", "onnxruntime", "faiss-cpu", "faiss-gpu", "sqlalchemy", "torch", "open-clip-torch")


class Checkup:
    """What was found, in the order in which it is told."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def good(self, name: str, said: str, **values: Any) -> None:
        self._add("ok", name, said, "", values)

    def advise(self, name: str, said: str, advice: str, **values: Any) -> None:
        self._add("advice", name, said, advice, values)

    def broken(self, name: str, said: str, advice: str = "") -> None:
        self._add("broken", name, said, advice, {})

    def _add(
        self, state: Literal["ok", "advice", "broken"], name: str, said: str, advice: str, values: dict[str, Any]
    ) -> None:
        self.findings.append(Finding(name, said, state, advice, values))


def looked(library: str | None, settings: Settings, with_speed: bool) -> list[Finding]:
    """What there is to say of this machine and a library, as a person names it."""
    place, settings = located(library, settings)
    found = Checkup()
    _versions(found)
    _faiss(found)
    _gpu(found, settings)
    _hub(found)
    _extras(found)
    if is_address(place):
        _on_server(found, place, library)
    else:
        _in_folder(found, Path(place), library)
    if with_speed:
        _speed(found, settings)
    return found.findings


def _versions(found: Checkup) -> None:
    from mmsearch import __version__

    own = f"mmsearch {__version__}, Python {platform.python_version()}, {platform.platform(terse=True)}"
    found.good("versions", f"{own}, {os.cpu_count()} cores", version=__version__, python=platform.python_version())
    there = {name: version for name in PACKAGES if (version := installing.installed(name)) is not None}
    found.good("packages", ", ".join(f"{name} {version}" for name, version in there.items()), **there)


def _faiss(found: Checkup) -> None:
    from mmsearch.library.checkup import search_problem

    there = [name for name in installing.FAISS if installing.installed(name) is not None]
    problem = search_problem()
    own = there[0] if there else "faiss-cpu"
    anew = installing.install_command(["--force-reinstall", "--no-deps", own])
    if problem is not None:
        found.broken("search", f"FAISS does not work: {problem}", f"to put it back: {anew}")
    elif len(there) > 1:
        removed = installing.install_command(["-y", *there]).replace(" install ", " uninstall ")
        found.advise(
            "search",
            "faiss-cpu and faiss-gpu are both installed, and own the same folder: removing one breaks the other",
            f"keep one: {removed}, then {installing.install_command([own])}",
        )
    else:
        found.good("search", f"{own} finds the nearest vectors")


def _gpu(found: Checkup, settings: Settings) -> None:
    from mmsearch.encoders.device import choose_device, driver_devices

    cards = driver_devices()
    if not cards:
        found.good("GPU", "none that CUDA could use: all runs on the CPU")
        return
    try:
        choose_device("cuda")
    except MMSearchError as error:
        found.advise("GPU", f"{formatting.plural(cards, 'card')}, not used: {error}", _adding("models"))
        return
    found.good("GPU", f"{formatting.plural(cards, 'card')}, device {settings.device}")


def _hub(found: Checkup) -> None:
    from mmsearch.encoders.hub import access

    if (variable := access.forbidden()) is not None:
        found.good("hub", f"not asked: {variable} forbids it; the embedded model needs none")
        return
    status = access.ask()
    if status == 200:
        found.good("hub", f"{access.endpoint()} answers: open_clip models can be downloaded")
    else:
        why = "does not answer" if status is None else f"answers with HTTP {status}"
        found.good("hub", f"{access.endpoint()} {why}: the embedded model needs none")


def _extras(found: Checkup) -> None:
    names = ["models", *_extras_here()]
    there = [name for name in names if not installing.missing(name)]
    if there:
        found.good("extras", f"installed: {', '.join(there)}", installed=there)
    for name in names:
        if name not in there:
            what = "open_clip models and GPUs" if name == "models" else name
            found.good("extras", f"{what} not installed; to add it: {installing.adding(name)}", lacks=name)


def _extras_here() -> list[str]:
    try:
        return installing.extras()
    except metadata.PackageNotFoundError:  # a checkout that is on the path and not installed
        return []


def _adding(extra: str) -> str:
    return f"to add what it needs: {installing.adding(extra)}" if installing.missing(extra) else ""


def _in_folder(found: Checkup, folder: Path, library: str | None) -> None:
    from mmsearch.library.checkup import unwritable
    from mmsearch.store.open import has_store

    shown = formatting.shown(str(folder), relative=False)
    if (why := unwritable(folder)) is not None:
        found.broken("library", f"{shown} cannot be written: {why}", "choose another folder with --library")
    if not has_store(folder):
        found.advise("library", f"there is none in {shown} yet", "to make it: mmsearch index FOLDER")
        return
    _opened(found, library, shown)


def _on_server(found: Checkup, address: str, library: str | None) -> None:
    from mmsearch.store.open import server_state

    try:
        server = server_state(address)
    except MMSearchError as error:
        found.broken("server", worded(error))
        return
    vectors = f"pgvector {server.vectors}" if server.vectors else "no pgvector"
    said = f"{server.place} answers: PostgreSQL {server.version}, {vectors}"
    found.good("server", said, version=server.version, pgvector=server.vectors)
    if server.unwritable is not None:
        what = "written" if server.made else "made"
        found.broken("server", f"the library cannot be {what}: {server.unwritable}", "see docs/scale.md")
    if server.made:
        _opened(found, library, server.place)
    else:
        found.advise("library", f"there is none in {server.place} yet", "to make it: mmsearch index FOLDER")


def _opened(found: Checkup, library: str | None, shown: str) -> None:
    """How the library is, which is there; ``shown`` is where."""
    from mmsearch.cli.welcome import nothing_yet

    try:
        with opened(library) as own:
            if (said := nothing_yet(own)) is not None:
                found.advise("library", shown, said)
            else:
                photos = formatting.plural(own.store.counts().photos, "photo")
                found.good("library", f"{shown}: {photos}")
            _health(found, own)
            if own.store.blobs_at is not None:
                found.good("blobs", f"region tokens are at {own.store.blobs_at}, which answers")
    except MMSearchError as error:
        found.broken("library", worded(error))


def _health(found: Checkup, library: Library) -> None:
    damages = library.verify()
    for one in damages:
        found.broken("health", f"{one.count:,} {one.what}", "to mend it: mmsearch repair")
    if not damages:
        found.good("health", "database and index are in order; mmsearch verify --deep looks at every file")


def _speed(found: Checkup, settings: Settings) -> None:
    from mmsearch.encoders import factory
    from mmsearch.library.checkup import speed

    try:
        measured = speed(factory.embedded())
    except MMSearchError as error:
        found.broken("speed", worded(error), f"install mmsearch anew; Python is {sys.executable}")
        return
    cores = settings.decoders or os.cpu_count() or 1
    said = (
        f"{measured.decoded:.0f} pictures/s of 12 megapixels decoded by a thread, "
        f"{measured.encoded:.0f} pictures/s encoded by the embedded model"
    )
    if measured.decoded < SLOW_DECODING or measured.encoded < SLOW_ENCODING:
        found.advise(
            "speed",
            said,
            f"that is slow for {cores} cores: is the machine busy with something else?",
            **asdict(measured),
        )
    else:
        found.good("speed", said, **asdict(measured))
