"""Builds the sdist and the wheel so that everyone gets the same bytes: python release/build.py [--twice] FOLDER

Only files that git tracks are built from, in a folder of their own.  Times in both are those of the last commit (or
SOURCE_DATE_EPOCH).  With --twice it is done again in another folder, and fails where a byte differs.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
BACKEND = """import os, sys
import setuptools
from setuptools import build_meta

os.umask(0o022)  # files that are made on the way keep their mode in the wheel
folder = sys.argv[1]  # setuptools changes sys.argv
sys.argv = ["setup.py", "-q", "sdist", "--formats", "tar", "--dist-dir", folder]  # build.py packs it
setuptools.setup()
build_meta.build_wheel(folder)
"""


def epoch(root: Path = ROOT) -> int:
    """Seconds since 1970 of the last commit, or what SOURCE_DATE_EPOCH says."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    command = ["git", "log", "-1", "--format=%ct"]
    return int(subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout)


def build(target: Path, root: Path = ROOT) -> dict[str, str]:
    """Build both into ``target``; the SHA-256 of each file, by its name."""
    moment = epoch(root)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "source", Path(folder) / "made"
        made.mkdir()
        _copy_tracked(root, source)
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(moment), "PYTHONHASHSEED": "0"}
        command = [sys.executable, "-c", BACKEND, str(made)]
        done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"the build failed:\n{done.stdout}{done.stderr}")
        for file in sorted(made.iterdir()):
            if file.name.endswith(".tar"):
                _same_tar(file, target / f"{file.name}.gz", moment)
            else:
                shutil.copyfile(file, target / file.name)
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(target.iterdir())}


def _copy_tracked(root: Path, target: Path) -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True).stdout
    for name in tracked.decode().split("\0"):
        if name and (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, target / name)
            (target / name).chmod(0o755 if os.access(root / name, os.X_OK) else 0o644)  # whatever the umask is


def _same_tar(made: Path, target: Path, moment: int) -> None:
    """The archive packed, in order and without who made it when: setuptools keeps times and owners of files."""
    with (
        tarfile.open(made) as archive,
        target.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=moment) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as again,
    ):
        for member in sorted(archive.getmembers(), key=lambda one: one.name):
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime, member.pax_headers = moment, {}
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            again.addfile(member, archive.extractfile(member) if member.isreg() else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--twice", action="store_true", help="build again, and fail where a byte differs")
    parser.add_argument("folder", type=Path, help="a new or empty folder")
    given = parser.parse_args()
    if given.folder.exists() and any(given.folder.iterdir()):
        sys.exit(f"{given.folder} is not empty")
    first = build(given.folder)
    if given.twice:
        with tempfile.TemporaryDirectory() as folder:
            second = build(Path(folder) / "again")
        if first != second:
            sys.exit(f"two builds differ: {first} and {second}")
    for name, digest in first.items():
        print(f"{digest}  {name}")


if __name__ == "__main__":
    main()
