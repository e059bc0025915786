"""Errors: their codes and fields, and that the library speaks of no command line."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from mmsearch import errors, types
from mmsearch.errors import ImageError, ModelMismatchError, QuerySyntaxError, SourceError

ROOT = Path(__file__).parent.parent

# A program may rely on these: none changes.
CODES = {
    "ArgumentError": "bad-argument",
    "ClusterError": "cluster-failed",
    "ConfigError": "bad-setting",
    "DimensionError": "wrong-dimension",
    "ImageError": "bad-image",
    "LibraryBusyError": "library-busy",
    "LibraryError": "bad-library",
    "MMSearchError": "error",
    "ModelError": "bad-model",
    "ModelMismatchError": "model-mismatch",
    "MapError": "cannot-map",
    "NewerLibraryError": "newer-library",
    "NoModelError": "library-empty",
    "PatternError": "bad-pattern",
    "PickledWeightsError": "pickled-weights",
    "QueryError": "bad-query",
    "QuerySyntaxError": "query-syntax",
    "SourceError": "bad-path",
    "TagError": "bad-tag",
    "TrainingError": "cannot-train",
    "TransferError": "cannot-transfer",
    "UnreachableError": "unreachable",
    "VocabularyError": "bad-vocabulary",
    "WatchError": "cannot-watch",
}


def test_codes_are_stable() -> None:
    classes = {name: value for name, value in vars(errors).items() if name.endswith("Error")}
    assert {name: value.code for name, value in classes.items()} == CODES


def test_fields_are_attributes_too() -> None:
    mismatch = ModelMismatchError("ViT-B-32", "embedded")
    assert mismatch.fields == {"got": "ViT-B-32", "wanted": "embedded"}
    assert (mismatch.got, mismatch.wanted, mismatch.code) == ("ViT-B-32", "embedded", "model-mismatch")
    image = ImageError("/a.jpg", "is damaged", retry=True)
    assert (str(image), image.fields) == (
        "/a.jpg: is damaged",
        {"path": "/a.jpg", "reason": "is damaged", "retry": True},
    )
    finer = SourceError("nothing is there", code="unknown-path", path="/a")
    assert (finer.code, finer.fields, SourceError.code) == ("unknown-path", {"path": "/a"}, "bad-path")
    assert QuerySyntaxError("what?", 3).column == 3


def test_a_note_is_a_text_with_a_code() -> None:
    note = types.Note("it is empty", "empty-folder", root="/photos")
    assert note == "it is empty"
    assert (note.code, note.fields) == ("empty-folder", {"root": "/photos"})


# What these write is read in a terminal, or they are programs of their own.
_OWN_COMMANDS = ("training/shipped/", "training/generation/", "training/contrastive/summary.py")
_COMMANDS = re.compile(
    r"(?<![\w-])--[a-z]{2}|mmsearch (index|query|caption|ask|explain|tag|duplicates|status|reindex|verify|repair|remove"
    r"|backup|restore|export|import|models|eval|train|watch)\b"
)


def _said(tree: ast.Module) -> set[str]:
    """All texts in a module but docstrings and the names in imports."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    }


def test_the_library_speaks_of_no_option_and_no_command() -> None:
    wrong = set()
    for folder in ("mmsearch", "indexes"):
        for file in (ROOT / folder).rglob("*.py"):
            name = file.relative_to(ROOT / folder).as_posix()
            if not name.startswith(_OWN_COMMANDS):
                said = _said(ast.parse(file.read_text("utf-8")))
                wrong |= {
                    f"{folder}/{name}: {text}"
                    for text in said
                    if _COMMANDS.search(text.replace("pip install --upgrade", ""))
                }
    assert wrong == set()
