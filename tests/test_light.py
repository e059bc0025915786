"""The light way: without torch and its like, and with the packages that its list names."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from light_run import HEAVY, Light
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name as canonical

from mmsearch.encoders import packages

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
DISTRIBUTIONS = {"open_clip": "open-clip-torch"}  # module -> what it is installed by, where that has another name
LEFT_OUT = {canonical(DISTRIBUTIONS.get(name, name)) for name in HEAVY} | {canonical("faiss-gpu")}


def listed(name: str) -> list[Requirement]:
    lines = (ROOT / "requirements" / name).read_text("utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@pytest.fixture
def light(tmp_path: Path) -> Light:
    return Light(tmp_path)


@pytest.mark.slow
def test_all_but_models_training_and_gpus_works(light: Light, tag_cache: Path) -> None:
    """In one process, which the guard is in, and a server; in processes ``make light-test`` goes the same way."""
    cache = shutil.copytree(tag_cache, light.folder / "cache")
    here = [sys.executable, str(Path(__file__).with_name("light_here.py")), str(light.folder), str(cache)]
    done = subprocess.run(here, env=light.environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("system", [("linux", "x86_64"), ("darwin", "arm64"), ("win32", "AMD64")])
def test_the_list_names_one_version_of_each_package_that_is_needed(python: str, system: tuple[str, str]) -> None:
    """For each Python and system: what pyproject.toml asks for and the server's extra, without the heavy ones."""
    here = {
        "python_version": python, "python_full_version": f"{python}.0", "sys_platform": system[0],
        "platform_machine": system[1], "extra": "",
    }  # fmt: skip
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = [Requirement(line) for line in (*project["dependencies"], *project["optional-dependencies"]["web"])]
    needed = {canonical(one.name): one for one in asked if one.marker is None or one.marker.evaluate(here)}
    named = [one for one in listed("light.txt") if one.marker is None or one.marker.evaluate(here)]
    versions = {canonical(one.name): str(one.specifier).removeprefix("==") for one in named}
    assert len(versions) == len(named)
    wanted = set(needed) - LEFT_OUT | {canonical("faiss-cpu")}
    assert wanted - set(versions) == set()
    assert LEFT_OUT & set(versions) == set()
    assert [name for name in wanted & set(needed) if not needed[name].specifier.contains(versions[name])] == []


def test_the_overrides_leave_out_the_heavy_packages() -> None:
    without = {canonical(one.name) for one in listed("light-overrides.txt") if one.marker is not None}
    assert without == LEFT_OUT
    assert packages.HEAVY == HEAVY


def test_the_light_package_asks_for_the_same_without_the_heavy_ones() -> None:
    full = (ROOT / "pyproject.toml").read_text("utf-8")
    script = "import light_backend, sys; sys.stdout.write(light_backend._lightened(sys.stdin.read()))"
    made = subprocess.run(  # setuptools wants a process in which no other distutils was imported
        [sys.executable, "-c", script],
        cwd=ROOT / "requirements", input=full, stdout=subprocess.PIPE, check=True, text=True,
    )  # fmt: skip
    before, after = tomllib.loads(full), tomllib.loads(made.stdout)
    asked, asks = before["project"].pop("dependencies"), after["project"].pop("dependencies")
    assert after == before
    kept = [line for line in asked if canonical(Requirement(line).name) not in LEFT_OUT | {canonical("faiss-cpu")}]
    assert sorted(asks) == sorted([*kept, "faiss-cpu>=1.12"])
