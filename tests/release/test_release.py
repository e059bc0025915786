"""What is released: the same bytes twice, versions that agree, and licences of all that comes along."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent.parent
MOST = 500_000  # bytes that are built of a file
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"release_{name}", ROOT / "release" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_citation_says_what_the_package_says() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert cited["cff-version"] == "1.2.0"
    assert (cited["title"], cited["abstract"]) == (PROJECT["name"], PROJECT["description"])
    assert (str(cited["version"]), cited["license"]) == (PROJECT["version"], PROJECT["license"])
    assert cited["authors"] == PROJECT["authors"] == [{"name": "mmsearch developers"}]


def test_no_address_is_made_up() -> None:
    """There is no public one yet: a release adds [project.urls] when there is."""
    assert "urls" not in PROJECT
    for name in ("CITATION.cff", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md"):
        assert not re.search(r"https?://|@", (ROOT / name).read_text("utf-8")), name


@pytest.mark.parametrize("file", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda file: file.name)
def test_workflows_run_what_is_there(file: Path) -> None:
    said = yaml.safe_load(file.read_text("utf-8"))
    steps = [step for job in said["jobs"].values() for step in job["steps"]]
    assert said["permissions"] == {"contents": "read"}
    runs = " ".join(step.get("run", "") for step in steps)
    folders = ["release", "tests", r"\.ci", *(["requirements"] if (ROOT / "requirements").exists() else [])]
    for path in re.findall(rf"(?:{'|'.join(folders)})/[\w./]*\w", runs):
        assert (ROOT / path).exists(), path
    assert all("uses" in step or "run" in step for step in steps)


def test_every_python_that_is_named_is_tested() -> None:
    light = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text("utf-8"))["jobs"]["light"]["strategy"][
        "matrix"
    ]
    named = [one.rpartition(" ")[2] for one in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", one)]
    assert light["python"] == [*named, "3.14"]  # which is promised when it was seen to work
    assert light["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]


def test_hooks_are_those_of_make_lint() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0]["hooks"]
    assert [(one["id"], one["entry"].split()[0]) for one in hooks] == [
        ("ruff-format", ".venv/bin/ruff"),
        ("ruff-check", ".venv/bin/ruff"),
        ("mypy", ".venv/bin/mypy"),
    ]


def test_changelog_is_versioned() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert [re.match(r"\[\d+\.\d+\.\d+\]( - \d{4}-\d\d-\d\d)?$", one) is not None for one in headings[1:]] == [True] * (
        len(headings) - 1
    )


def test_a_tag_must_agree_with_all_that_says_a_version(tmp_path: Path) -> None:
    check = script("check")
    for name in (*check.VERSIONS, "CHANGELOG.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    version = PROJECT["version"]
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## [Unreleased]\n\n## [{version}] - 2026-12-01\n\n- All.\n")
    assert check.problems(f"v{version}", tmp_path) == []
    said = check.problems("v9.9.9", tmp_path)
    assert [one.split(" ")[0] for one in said] == [*check.VERSIONS, "CHANGELOG.md"]
    (tmp_path / "CHANGELOG.md").write_text(f"## [Unreleased]\n\n- New.\n\n## [{version}]\n\n- All.\n")
    assert len(check.problems(version, tmp_path)) == 2


def test_notices_name_every_package_and_its_licence() -> None:
    notices = script("notices")
    packages = {one.metadata["Name"].lower(): one for one in notices.needed_by("mmsearch")}
    assert {"numpy", "pillow", "sqlalchemy", "onnxruntime", "rich"} <= set(packages)
    assert "pytest" not in packages
    assert notices.licence(packages["numpy"]) != "not said"
    text = "".join(notices.notices())
    assert [name for name in packages if f"\n{name} " not in text.lower()] == []
    assert "Permission is hereby granted" in text


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git tracks here, in a repository of its own with one commit; of weights the beginning, quickly packed."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    folder = tmp_path_factory.mktemp("checkout")
    wanted = ("mmsearch/", "indexes/", "cli/", "man/", "release/", "requirements/")
    names = [name for name in tracked.stdout.decode().split("\0") if name.startswith(wanted) or "/" not in name]
    for name in filter(None, names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
        if (folder / name).stat().st_size > MOST:
            os.truncate(folder / name, MOST)
    own = ["-c", "user.name=a", "-c", "user.email=a@localhost"]
    for command in (["init", "-q"], ["add", "-A"], [*own, "commit", "-qm", "all"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


@pytest.mark.slow
def test_two_builds_are_equal(checkout: Path, tmp_path: Path) -> None:
    build = script("build")
    first = build.build(tmp_path / "first", checkout)
    for file in checkout.rglob("*.py"):  # as a later clone has them
        os.utime(file, (1_900_000_000, 1_900_000_000))
    mask = os.umask(0o077)
    try:
        second = build.build(tmp_path / "second", checkout)
    finally:
        os.umask(mask)
    version = PROJECT["version"]
    assert list(first) == [f"mmsearch-{version}-py3-none-any.whl", f"mmsearch-{version}.tar.gz"]
    assert first == second
    with zipfile.ZipFile(tmp_path / "first" / f"mmsearch-{version}-py3-none-any.whl") as wheel:
        names = wheel.namelist()
        readme = next(wheel.read(name) for name in names if name.endswith("METADATA")).decode()
    assert "mmsearch/encoders/weights/embedded/text.onnx" in names
    assert {f"mmsearch-{version}.dist-info/licenses/{name}" for name in ("LICENSE", "NOTICE")} <= set(names)
    assert "non-commercial research" in readme  # where people install it, they read under which terms the weights are
    with tarfile.open(tmp_path / "first" / f"mmsearch-{version}.tar.gz") as source:
        assert {(one.uid, one.uname, one.mtime) for one in source} == {(0, "", build.epoch(checkout))}
