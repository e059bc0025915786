"""What to type in a terminal, added to what the library says: it knows neither commands nor options."""

from __future__ import annotations

import re
from typing import Any

# Code of an error or a note -> what follows its sentence; names in braces are its fields.
ADVICE = {
    "bad-calibration": ": mmsearch calibrate --clear",
    "blobs-damaged": ": mmsearch repair --deep",
    "blobs-missing": ": mmsearch repair",
    "changed-files": "; to read it again: mmsearch index",
    "empty-folder": "; to forget them: mmsearch remove {root}",
    "file-exists": ", or replace it with --force",
    "folder-taken": "; choose another folder for --out",
    "foreign-database": "; choose another folder with --library",
    "gpu-memory": "; choose --device cpu",
    "incomplete-vectors": "; they get one, and it is searched with, by: mmsearch reindex --model {name}",
    "library-empty": ": index some pictures first, mmsearch index FOLDER",
    "library-in-use": " with --library, or replace it with --force (it is kept beside, as {kept})",
    "library-not-made": "; choose another one with --library",
    "library-not-openable": ", or choose another one with --library",
    "library-not-writable": ", or choose another folder with --library",
    "map-older": ": mmsearch map",
    "model-changed": " with: mmsearch index --model {name}",
    "model-is-known": ": leave out --model",
    "model-mismatch": ". Leave out --model, use another --library, or encode the whole library anew: mmsearch index "
    "--model {got}",
    "no-backup": "; wanted is a file that `mmsearch backup` wrote",
    "no-backup-file": ": pg_dump copies its database",
    "no-engine": ": mmsearch verify",
    "no-cuda": "; choose --device cpu (or auto)",
    "no-decoder-process": "; without such processes: mmsearch index --no-isolate",
    "no-int8": "; leave out --precision int8, or say --precision float32",
    "no-map": "; make one: mmsearch map",
    "no-model": ", --model NAME",
    "no-packages": ": {adding}",
    "no-region-tokens": "; add them with: mmsearch index",
    "no-reranker": " with `mmsearch train-reranker`",
    "no-run": "; start one without --resume",
    "no-vectors": "; make some: mmsearch reindex --model {name}",
    "no-watchfiles": ", or look at the folders every minute: mmsearch watch --poll 60",
    "not-switched": "; run the same command again when they are, or forget them with: mmsearch remove PATH",
    "nothing-to-draw-over": "; --json gives the numbers",
    "nothing-to-index": ": name one, mmsearch index FOLDER",
    "nothing-relevant": "; --min-relevance 0 shows the nearest ones",
    "nothing-to-watch": ": name one, mmsearch watch FOLDER",
    "passed-over": ": see docs/formats.md",
    "pickled-weights": ", or add --trust-pickle",
    "relevance-unknown": "; leave out --min-relevance",
    "run-exists": "; go on with it: --resume, or choose another folder",
    "too-few-captions": " (--captions FILE)",
    "unfit-rows": ": mmsearch verify, mmsearch repair",
    "unknown-model": "; see `mmsearch models --all`",
    "unknown-path": "; index it first: mmsearch index PATH",
}
# Kind of a damage -> what follows its remedy.
REMEDIES = {
    "database": ": mmsearch restore FILE --force",
    "wrong caption": ": mmsearch index --captions",
    "wrong tag": ": mmsearch tag",
}
_EXTRA = re.compile(r"pip install 'mmsearch\[(\w+)\]'")
_PHRASES = {
    "raise max_megapixels": "raise it with --max-megapixels",  # reasons are kept in the library, without a code
    "the next index run": "the next mmsearch index",
}


def worded(said: object) -> str:
    """A sentence of the library, with what to type where that is known: an error, a ``Note``, or any text.

    Of a note about an ``error`` (its code) that is what helps against the error, if nothing is known for the note.
    """
    code: str = getattr(said, "code", "")
    fields: dict[str, Any] = getattr(said, "fields", {})
    text = typed(str(said))
    advice = ADVICE.get(code) or ADVICE.get(fields.get("error", ""), "")
    if "{adding}" in advice:
        from mmsearch.cli.installing import adding

        fields = {**fields, "adding": adding(fields["extra"])}
    advice = advice.format_map(fields)
    return text + (advice.removeprefix(";") if text.endswith("?") else advice)


def typed(text: str) -> str:
    """A text of the library, with options and commands in place of the settings, runs and extras that it names."""
    for phrase, command in _PHRASES.items():
        text = text.replace(phrase, command)
    if "mmsearch[" in text:
        from mmsearch.cli.installing import adding

        text = _EXTRA.sub(lambda found: adding(found[1]), text)
    return text


def remedy(kind: str, text: str, mendable: bool) -> str:
    """What can be done about a damage of this kind, with what to type where ``repair`` is not all of it."""
    return typed(text) + ("" if kind == "database" and mendable else REMEDIES.get(kind, ""))
