"""Packages that are not installed here, and the command that adds them to this very environment.

An extra by its name, as in ``pip install 'mmsearch[web]'``, would bring torch into an environment that does without it,
and faiss-gpu into the folder of faiss-cpu.  So the packages themselves are named.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

FAISS = ("faiss-cpu", "faiss-gpu")  # they own the same folder: one of them is enough, and two are wrong
_NEED_MODELS = ("models", "train")  # pieces that need the packages of open_clip models
_MODULES = {"PIL": "pillow", "open_clip": "open-clip-torch", "skimage": "scikit-image", "yaml": "pyyaml"}


@cache
def installed(package: str) -> str | None:
    """The version of a package that is installed; None where it is not."""
    from importlib import metadata  # 15 ms, and only what is amiss asks

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def missing(extra: str) -> list[str]:
    """The packages that something of mmsearch needs and that are not installed, sorted.

    ``extra`` is one of pyproject.toml, or "models": what open_clip models and GPUs need.
    """
    return [name for name in _pieces(extra) if not _there(name)]


def extras() -> list[str]:
    """The extras of mmsearch that people install, sorted."""
    from importlib import metadata

    return sorted(name for name in metadata.metadata("mmsearch").get_all("Provides-Extra") or () if name != "dev")


def adding(extra: str) -> str:
    """The command that adds what something of mmsearch lacks here, or all that it needs where nothing is known to."""
    return install_command(missing(extra) or _pieces(extra))


def install_command(packages: list[str]) -> str:
    """What adds packages to the environment that this program runs in, by the tool that made it."""
    import importlib.util
    import shlex

    names, prefix = " ".join(packages), Path(sys.prefix)
    if (prefix / "pipx_metadata.json").is_file():
        return f"pipx inject {shlex.quote(prefix.name)} {names}"
    if importlib.util.find_spec("pip") is None:
        return f"uv pip install --python {shlex.quote(sys.prefix)} {names}"
    active = sys.prefix == sys.base_prefix or _activated()
    return f"{'pip' if active else f'{shlex.quote(sys.executable)} -m pip'} install {names}"


def of_module(module: str) -> str | None:
    """What to say where a module cannot be imported that mmsearch asks for; None for any other module.

    Of faiss too where its package says that it is installed: removing one of ``FAISS`` takes the files of both.
    """
    top = module.partition(".")[0]
    if top == "faiss":
        there = [name for name in FAISS if installed(name) is not None]
        if not there:
            return f"the package faiss is not installed: {install_command(['faiss-cpu'])}"
        command = install_command(["--force-reinstall", "--no-deps", there[0]])
        return f"the files of {there[0]} are gone, as they are when another faiss was removed: {command}"
    name = _package(top)
    known = name in _wanted("") or any(name in _wanted(extra) for extra in extras())
    return f"the package {name} is not installed: {install_command([name])}" if known else None


def _activated() -> bool:
    """Whether ``pip`` in this shell is that of this environment."""
    import shutil

    found = shutil.which("pip")
    return found is not None and Path(found).parent == Path(sys.executable).parent


def _pieces(extra: str) -> list[str]:
    """The packages that something of mmsearch needs, sorted."""
    from mmsearch.encoders.packages import HEAVY

    models = {_package(name) for name in HEAVY} if extra in _NEED_MODELS else set()
    return sorted(models.union(() if extra == "models" else _wanted(extra)))


def _package(module: str) -> str:
    """What a module is installed by."""
    return _MODULES.get(module, module).replace("_", "-").lower()


def _there(package: str) -> bool:
    return any(installed(name) is not None for name in (FAISS if package in FAISS else (package,)))


@cache
def _wanted(extra: str) -> tuple[str, ...]:
    """The packages that mmsearch asks for on this machine: without an extra, or those that the extra adds."""
    from importlib import metadata

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found = []
    for line in metadata.requires("mmsearch") or ():
        one = Requirement(line)
        own = one.marker is None or one.marker.evaluate({"extra": ""})
        if own if not extra else not own and one.marker is not None and one.marker.evaluate({"extra": extra}):
            found.append(str(canonicalize_name(one.name)))
    return tuple(found)
