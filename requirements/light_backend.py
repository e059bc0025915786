"""setuptools' build backend, which builds the light package too: ``pip install --config-settings light=true .``

The light package asks for no torch and its like (``light-overrides.txt`` names them), and is the same in all else.
pipx takes no package whose requirements are not installed, so they have to be left out where it is built.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (  # noqa: F401 - hooks that stay as they are
    build_editable,
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
)

HERE = Path(__file__).parent
PARTS = ("mmsearch", "indexes", "cli", "man", "LICENSE", "NOTICE", "README.md")  # of the checkout
Given = Mapping[str, Any] | None


def build_wheel(wheel_directory: str, config_settings: Given = None, metadata_directory: str | None = None) -> str:
    with _project(config_settings) as rest:
        return str(build_meta.build_wheel(os.path.abspath(wheel_directory), rest, metadata_directory))


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: Given = None) -> str:
    with _project(config_settings) as rest:
        return str(build_meta.prepare_metadata_for_build_wheel(os.path.abspath(metadata_directory), rest))


@contextmanager
def _project(given: Given) -> Iterator[dict[str, Any] | None]:
    """The working folder is the project to build: this one, or a copy of it that asks for less."""
    rest = {**(given or {})}
    if str(rest.pop("light", "false")).lower() not in ("true", "1", "yes"):
        yield rest or None
        return
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        for name in PARTS:
            source, target = HERE.parent / name, Path(folder) / name
            shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)
        text = (HERE.parent / "pyproject.toml").read_text("utf-8")
        Path(folder, "pyproject.toml").write_text(_lightened(text), "utf-8")
        os.chdir(folder)
        try:
            yield rest or None
        finally:
            os.chdir(before)


def _lightened(pyproject: str) -> str:
    """The project's file with the dependencies of the light package."""
    begin = pyproject.index("\ndependencies = [\n")
    end = pyproject.index("\n]\n", begin)
    lines = pyproject[begin:end].splitlines()
    for line in (HERE / "light-overrides.txt").read_text("utf-8").splitlines():
        wanted, _, marker = line.partition(" ; ")
        if not line or line.startswith("#"):
            continue
        name = re.escape(re.split("[<>=]", wanted)[0])
        lines = [each for each in lines if not re.match(rf'\s*"{name}[<>=;"]', each)]
        if not marker:
            lines.append(f'    "{wanted}",')
    return pyproject[:begin] + "\n".join(lines) + pyproject[end:]
