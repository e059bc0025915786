"""What the command line adds to the sentences of the library."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from mmsearch.cli import formatting
from mmsearch.cli.advice import ADVICE, remedy, typed, worded
from mmsearch.cli.app import _Lines
from mmsearch.errors import LibraryBusyError, ModelError, ModelMismatchError, NoModelError, PickledWeightsError
from mmsearch.search.reranking import left_out
from mmsearch.types import Note

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (NoModelError("it is empty"), "it is empty: index some pictures first, mmsearch index FOLDER"),
        (LibraryBusyError("another mmsearch is writing"), "another mmsearch is writing"),
        (ModelError("there is no model", code="unknown-model"), "there is no model; see `mmsearch models --all`"),
        (
            ModelError("there is no model 'x'; did you mean y?", code="unknown-model"),
            "there is no model 'x'; did you mean y? see `mmsearch models --all`",
        ),
        (
            ModelMismatchError("a", "b"),
            "this library was made with the model 'b', not 'a': vectors of two models cannot be compared. Leave out "
            "--model, use another --library, or encode the whole library anew: mmsearch index --model a",
        ),
        (
            PickledWeightsError("a", "b.bin"),
            "the weights of a are a pickle (b.bin), which can run any program when it is read: they were not opened. "
            "Choose a model with safetensors or ONNX, or convert it; if you trust who made it, set trust_pickle = true"
            ", or add --trust-pickle",
        ),
        (Note("/a is empty", "empty-folder", root="/a"), "/a is empty; to forget them: mmsearch remove /a"),
        ("over the limit of 2; raise max_megapixels", "over the limit of 2; raise it with --max-megapixels"),
        ("any {text}", "any {text}"),
    ],
)  # fmt: skip
def test_sentences(said: object, shown: str) -> None:
    assert worded(said) == shown


def test_every_piece_of_advice_belongs_to_something_that_the_library_says() -> None:
    files = [*(ROOT / "mmsearch").rglob("*.py"), *(ROOT / "indexes").rglob("*.py")]
    source = "".join(file.read_text("utf-8") for file in files)
    assert {code for code in ADVICE if f'"{code}"' not in source} == set()
    fields = {name for text in ADVICE.values() for name in re.findall(r"{(\w+)}", text)}
    assert fields == {"adding", "got", "kept", "name", "root"}  # the first is made of an extra


def test_remedies() -> None:
    assert remedy("lost", "the files are read again by the next index run", True) == (
        "the files are read again by the next mmsearch index"
    )
    assert remedy("database", "put a backup in its place", False).endswith(": mmsearch restore FILE --force")
    assert remedy("database", "its indexes are made anew", True) == "its indexes are made anew"
    assert typed("nothing to type") == "nothing to type"


def test_notes_and_errors_get_advice_wherever_they_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    note = Note("nothing was reranked: no region tokens are stored", "no-region-tokens")
    formatting.say(note)
    record = logging.LogRecord("mmsearch", logging.WARNING, "", 1, "%s", (note,), None)
    _Lines().emit(record)
    assert capsys.readouterr().err.splitlines() == [f"{note}; add them with: mmsearch index"] * 2


def test_a_note_about_an_error_gets_the_advice_of_the_error() -> None:
    note = left_out(ModelError("m has no reranker; train one for it", code="no-reranker"))
    assert (note.code, note.fields["error"]) == ("not-reranked", "no-reranker")
    assert worded(note) == (
        "the best pictures were not looked at again: m has no reranker; train one for it with `mmsearch train-reranker`"
    )
    other = left_out(ModelError("match.onnx cannot be loaded"))
    assert worded(other) == "the best pictures were not looked at again: match.onnx cannot be loaded"
