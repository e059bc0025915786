"""What keeps the code easy to enter: short files, few parameters, few rooms.  Exceptions have their reasons here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("mmsearch", "indexes", "cli", "docs", "benchmarks")

LINES = 450  # of a file
PARAMETERS = 8  # of a function, without ``self``; commands have one an option
# Packages in ``mmsearch/``: 14, and ``integrations``, because other programs change and the rest need not follow, and
# ``cluster``, whose modules other machines import.
ROOMS = 16

LONGER: dict[str, str] = {}  # file -> why it is longer
MORE = {  # function -> why it takes more
    "mmsearch/library/library.py:index": "each says by its name what people may ask for",
    "mmsearch/library/library.py:search": "each says by its name what people may ask for",
}


def _sources() -> list[Path]:
    return [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]


def _name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def _functions(file: Path) -> Iterator[tuple[str, int]]:
    """Each function and how many parameters it has."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names = [one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            yield node.name, len([name for name in names if name not in ("self", "cls")])


def test_files_are_short() -> None:
    long = {_name(file) for file in _sources() if len(file.read_text("utf-8").splitlines()) > LINES}
    assert long == set(LONGER)


def test_functions_have_few_parameters() -> None:
    many = {
        f"{_name(file)}:{name}"
        for file in _sources()
        if file.relative_to(ROOT).parts[0] != "cli"
        for name, count in _functions(file)
        if count > PARAMETERS
    }
    assert many == set(MORE)


def test_no_function_switches_its_process() -> None:
    """What changes how a part works is handed to that part: two libraries in one process may differ."""
    assert not [
        f"{_name(file)}:{node.lineno}"
        for file in _sources()
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Global)
    ]


def test_the_package_has_few_rooms_and_little_outside_of_them() -> None:
    outside = {file.name for file in (ROOT / "mmsearch").glob("*.py")}
    assert outside == {"__init__.py", "config.py", "errors.py", "schemas.py", "types.py"}
    rooms = {init.parent.name for init in (ROOT / "mmsearch").glob("*/__init__.py")}
    assert len(rooms) <= ROOMS, rooms
