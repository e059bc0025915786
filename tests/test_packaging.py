"""The package is complete, its parts import in one direction, and importing it is light."""

from __future__ import annotations

import ast
import functools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from samples import CLI

import mmsearch

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent

# A room imports only from those above it.  A package stands for all its modules.
ORDER = [
    "mmsearch.errors",
    "mmsearch.types",
    "mmsearch.media.remote_path",
    "mmsearch.media.object_store",  # what lies there is opened as files are
    "mmsearch.media.filesystem",  # the one way to open a file, settings and vocabularies too
    "mmsearch.config",
    "mmsearch.language",
    "mmsearch.media",
    "mmsearch.indexes",
    "mmsearch.query",
    "mmsearch.encoders",
    "mmsearch.store",
    "mmsearch.rerank",
    "mmsearch.search",
    "mmsearch.ingest",
    "mmsearch.manage",
    "mmsearch.integrations",  # what notebooks, tables and retrievers want of a library is a protocol in it
    "mmsearch.evaluation",
    "mmsearch.library",
    "mmsearch.watch",
    "mmsearch.cluster",  # what Ray imports on other machines, and what calls it
    "mmsearch.training",
    "mmsearch.training.common",
    "mmsearch.training.contrastive",
    "mmsearch.training.reranker",
    "mmsearch.training.shipped",
    "mmsearch.training.generation",
    "mmsearch.schemas",
    "mmsearch.server",
    "mmsearch",
    "mmsearch.cli",
]


@functools.cache
def _sources() -> dict[str, Path]:
    folders = {"mmsearch": ROOT / "mmsearch", "mmsearch.indexes": ROOT / "indexes", "mmsearch.cli": ROOT / "cli"}
    found = {}
    for package, folder in folders.items():
        for file in folder.rglob("*.py"):
            parts = file.relative_to(folder).with_suffix("").parts
            found[".".join([package, *(part for part in parts if part != "__init__")])] = file
    return found


def _place(module: str) -> int:
    """The line of ``ORDER`` that a module belongs to: the longest one that it starts with."""
    names = [name for name in ORDER if module == name or module.startswith(name + ".")]
    return ORDER.index(max(names, key=len))


@functools.cache
def _nodes(file: Path) -> list[ast.AST]:
    """All nodes of a file's syntax tree that import something or are constants."""
    kinds = (ast.Import, ast.ImportFrom, ast.Constant)
    return [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, kinds)]


def _imports(file: Path) -> set[str]:
    """All that a file imports, of this package or others, at whatever moment."""
    found = set()
    for node in _nodes(file):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _own_imports(file: Path) -> set[str]:
    modules = _sources()
    return {name for name in _imports(file) if name in modules and name != "mmsearch"}


def test_every_package_folder_is_listed() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    found = {
        ".".join([name, *init.parent.relative_to(ROOT / folder).parts])
        for name, folder in setuptools["package-dir"].items()
        for init in (ROOT / folder).rglob("__init__.py")
    }
    assert found == set(setuptools["packages"])


def test_rooms_import_only_from_those_above_them() -> None:
    wrong = {
        f"{module} imports {name}"
        for module, file in _sources().items()
        if module != "mmsearch"  # it hands out names of all the others, each when it is first used
        for name in _own_imports(file)
        if _place(name) > _place(module)
    }
    assert wrong == set()


ENGINES = ("sqlalchemy", "sqlite3", "alembic", "mmsearch.store.sqlite")  # behind the protocols of ``store/``
KNOWS_ONE = {  # module outside of ``store/`` -> why
    "mmsearch": "its ``restore`` puts back a file of SQLite",
    "mmsearch.training.shipped.word_rates": "words that FTS5 finds by each other have their rates together",
}
SQL = re.compile(r"\b(SELECT .+ FROM|INSERT (OR \w+ )?INTO|DELETE FROM|UPDATE \w+ SET|PRAGMA \w+)\b", re.DOTALL)


def test_only_the_store_knows_its_engine() -> None:
    """Everyone else types against ``store/protocol.py``; filters travel as conditions or ids, never as SQL."""
    wrong = set()
    for module, file in _sources().items():
        if not module.startswith("mmsearch.store"):
            known = {name for name in _imports(file) if name.startswith(ENGINES)}
            wrong |= {(module, name) for name in known} | {(module, text) for text in _texts(file) if SQL.search(text)}
    assert {one for one in wrong if one[0] not in KNOWS_ONE} == set()
    assert {module for module, _ in wrong} == set(KNOWS_ONE)


def _texts(file: Path) -> list[str]:
    """The strings of a file."""
    return [node.value for node in _nodes(file) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def test_import_order_knows_every_module() -> None:
    assert {name for name in _sources() if ORDER[_place(name)] == "mmsearch"} == {"mmsearch"}


def test_top_level_packages_are_never_imported_by_their_folder_names() -> None:
    for module, file in _sources().items():
        for node in _nodes(file):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in names} & {"cli", "indexes"}, module


def test_public_names() -> None:
    assert mmsearch.__all__ == sorted(mmsearch.__all__)
    assert [name for name in mmsearch.__all__ if not hasattr(mmsearch, name)] == []
    assert set(mmsearch.__all__) >= {"open_library", "Library", "Hit", "IndexReport", "MMSearchError", "Skipped"}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mmsearch.nothing


def test_names_come_from_where_type_checkers_find_them() -> None:
    tree = ast.parse((ROOT / "mmsearch" / "__init__.py").read_text("utf-8"))
    imports = [node for branch in tree.body if isinstance(branch, ast.If) for node in branch.body]
    typed = {node.module: [one.name for one in node.names] for node in imports if isinstance(node, ast.ImportFrom)}
    assert typed == mmsearch._HOMES
    assert sorted([*mmsearch._HOME_OF, "__version__"]) == mmsearch.__all__


def test_all_that_a_query_is_made_of_is_public() -> None:
    from dataclasses import is_dataclass

    from mmsearch.query import model

    parts = {name for name, value in vars(model).items() if is_dataclass(value)}
    assert len(parts) == 27
    assert parts | {"QueryError", "QuerySyntaxError", "parse", "parse_conditions", "written"} <= set(mmsearch.__all__)


def _loaded(code: str) -> set[str]:
    """The heavy packages that a fresh Python has loaded after some code."""
    heavy = ("torch", "open_clip", "faiss", "onnxruntime", "sqlalchemy", "transformers", "alembic", "PIL", "numpy")
    report = f"import sys; print([name for name in {heavy} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True)
    return set(ast.literal_eval(out.stdout.strip().splitlines()[-1]))


def test_importing_the_package_is_light() -> None:
    assert _loaded("import mmsearch") == set()


def test_help_is_light() -> None:
    assert _loaded("import mmsearch.cli.app as a\ntry: a.app(['--help'])\nexcept SystemExit: pass") == set()


# What a query in words does without.  Each takes time to import, and a query is to answer at once.
NOT_FOR_A_QUERY = {
    "alembic", "defusedxml", "filelock", "ftfy", "onnx", "open_clip", "opentelemetry", "prometheus_client", "regex",
    "rich", "timm", "torch", "transformers",
    "mmsearch.ingest", "mmsearch.integrations", "mmsearch.language.vocabulary", "mmsearch.manage",
    "mmsearch.rerank.inspect", "mmsearch.search.imagination", "mmsearch.search.sketches",
    "mmsearch.library.imagining",
    "mmsearch.store.protocol", "mmsearch.store.writing", "urllib.request",
}  # fmt: skip


def test_a_query_imports_nothing_that_it_does_not_need(mmsearch: CLI, photos: Path, tmp_path: Path) -> None:
    mmsearch("index", photos, "--library", tmp_path / "library")
    code = (
        "import sys\n"
        f"sys.argv = ['mmsearch', 'query', '--json', '--library', {str(tmp_path / 'library')!r}, 'a cat']\n"
        "from mmsearch.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(list(sys.modules))\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    *hits, modules = out.stdout.splitlines()
    assert [json.loads(line)["first_stage"] is not None for line in hits] == [True] * 5  # all were looked at again
    loaded = set(ast.literal_eval(modules))
    assert loaded & NOT_FOR_A_QUERY == set()
    assert loaded >= {"onnxruntime", "mmsearch.library", "mmsearch.rerank.reranker"}


def test_weights_keep_to_their_size() -> None:
    tracked = subprocess.run(["git", "ls-files", "-z", "mmsearch"], cwd=ROOT, capture_output=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name.decode() for name in tracked.stdout.split(b"\0") if b"/weights/" in name]
    assert sum(file.stat().st_size for file in files) <= 60 * 10**6
