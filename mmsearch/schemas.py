"""How results, reports, models and errors look as JSON: the one place that the command line, a server and agents use.

Those of hits and pages are their own ``to_dict``. Each function takes a value of the library and returns a new dict of
what ``json.dumps`` takes.  Keys are a promise: none is renamed or taken away, new ones may come. Bytes of a path that
are no UTF-8 are lone surrogates, as ``os.fsdecode`` makes them. The figures of ``evaluation.evaluate`` are such dicts
already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from mmsearch.cluster.moving import MoveReport
    from mmsearch.cluster.reconciling import Reconciled
    from mmsearch.encoders.catalogue import ModelInfo
    from mmsearch.errors import MMSearchError
    from mmsearch.ingest.enrich.tags import TagReport
    from mmsearch.library.calibrating import CalibrationReport
    from mmsearch.library.checkup import Finding
    from mmsearch.library.repair import Repaired
    from mmsearch.library.status import Status
    from mmsearch.manage.duplicates import Group
    from mmsearch.manage.export import ExportReport
    from mmsearch.manage.import_vectors import ImportReport
    from mmsearch.manage.map.make import MapReport
    from mmsearch.manage.move_aside import Moved
    from mmsearch.manage.web_dataset import WebDatasetReport
    from mmsearch.rerank.captions import Caption
    from mmsearch.rerank.heat import Heat
    from mmsearch.rerank.inspect import Explanation
    from mmsearch.rerank.reranker import Answer
    from mmsearch.rerank.timeline import Timeline
    from mmsearch.store.breaker import EngineState
    from mmsearch.store.types import Damage, KeptModel, Losses, TagChange
    from mmsearch.training.contrastive.trainer import Outcome
    from mmsearch.training.reranker.trainer import RerankOutcome
    from mmsearch.types import Damaged, Hit, IndexReport, Note, Progress, SearchResult, Skipped

Json = dict[str, Any]

EXAMPLES = 5  # paths that are named of each damage


# Results of a search


def hit(hit: Hit) -> Json:
    """A hit; what is known of some hits only, such as answers to questions, has its keys where it is known."""
    return hit.to_dict()


def search_result(result: SearchResult) -> Json:
    """A page of hits, what to say of the search, where the next page begins, and the state of the library.

    See ``SearchResult``: where the next page begins is None where there is none.
    """
    return result.to_dict()


# One photo


def caption(photo: str, captions: Sequence[Caption]) -> Json:
    """What a photo shows; ``captions`` has the best one first and is not empty."""
    best, *others = captions
    return {
        "photo": photo,
        "caption": best.text,
        "confidence": best.confidence,
        "alternatives": [{"caption": other.text, "confidence": other.confidence} for other in others],
    }


def answers(photo: str, question: str, found: Iterable[Answer]) -> Json:
    """What a photo answers to a question, the likeliest first."""
    said = [{"answer": answer.text, "confidence": answer.confidence} for answer in found]
    return {"photo": photo, "question": question, "answers": said}


def explanation(explanation: Explanation) -> Json:
    """Where a text is found in a photo: ``side`` x ``side`` values in [0, 1] for each word, rows from the top."""
    return {
        "photo": explanation.photo,
        "text": explanation.text,
        "score": explanation.score,
        "by": explanation.by,
        "side": len(explanation.overall),
        "words": [{"word": word.word, "heat": _rows(word.heat)} for word in explanation.words],
        "overall": _rows(explanation.overall),
    }


def timeline(found: Timeline) -> Json:
    """How well a text fits each part of a film or a document, in their order; ``score`` is a cosine similarity."""
    best = found.best.to_dict()
    return {"photo": found.path, "text": found.text, "best": best, "parts": [part.to_dict() for part in found.parts]}


def _rows(heat: Heat) -> list[list[float]]:
    return [[round(float(value), 4) for value in row] for row in heat]


# Runs


def skipped(items: Iterable[Skipped]) -> list[Json]:
    """Files that could not be read, and why."""
    return [{"path": item.path, "reason": item.reason} for item in items]


def damaged(items: Iterable[Damaged]) -> list[Json]:
    """Pictures that were read as far as they go, and what could not be read."""
    return [{"path": item.path, "what": item.what} for item in items]


def progress(progress: Progress) -> Json:
    """How far a run is."""
    return {"step": progress.step, "done": progress.done, "total": progress.total, "path": progress.path}


def index_report(report: IndexReport) -> Json:
    """What an ``index`` run did."""
    return {
        "added": report.added,
        "updated": report.updated,
        "moved": report.moved,
        "restored": report.restored,
        "unchanged": report.unchanged,
        "removed": report.removed,
        "excluded": report.excluded,
        "skipped": skipped(report.skipped),
        "damaged": damaged(report.damaged),
        "passed_over": dict(report.passed_over),
        "encoded": report.encoded,
        **{name: count for name in ("moments", "pages", "folded") if (count := getattr(report, name))},
        "regions": report.regions,
        "captions": report.captions,
        "facts": report.facts,
        "sidecars": report.sidecars,
        "texts": report.texts,
        "with_text": report.with_text,
        "seconds": report.seconds,
        "model": report.model,
        "notes": list(report.notes),
        "shares": dict(report.shares),
        "photos_per_second": None if report.pace is None else round(report.pace, 2),
        "limit": report.limit,
        **report.enriched,  # those that have no line above
    }


def tag_report(report: TagReport) -> Json:
    """What a ``tag`` run did."""
    return {"tagged": report.tagged, "tags": dict(report.tags), "seconds": report.seconds}


def calibration_report(report: CalibrationReport) -> Json:
    """What fitting a relevance to a library gave."""
    return {
        "photos": report.photos,
        "texts": report.texts,
        "before": dict(report.before),
        "after": dict(report.after),
        "changed": report.changed,
    }


def calibration_cleared(there: bool) -> Json:
    """Whether a library had a relevance of its own, which it has no more."""
    return {"cleared": there}


def tags(counts: dict[str, int]) -> Json:
    """Tags, and how many files have each."""
    return {"tags": dict(counts)}


def tags_cleared(pictures: int) -> Json:
    """Of how many pictures the tags were forgotten."""
    return {"cleared": pictures}


def tags_changed(change: TagChange) -> Json:
    """Of how many files tags of people changed, and how many tags were given and taken."""
    return asdict(change)


def removed(files: int, lost: Losses) -> Json:
    """How many files were forgotten; of how many pictures what was read and said, of how many files own tags went."""
    return {"removed": files, "texts": lost.texts, "captions": lost.captions, "tagged": lost.tagged}


def export_report(folder: str, report: ExportReport) -> Json:
    """What an export wrote."""
    return {"folder": folder, "files": report.files, "vectors": report.vectors, "parquet": report.parquet}


def web_dataset_report(folder: str, report: WebDatasetReport) -> Json:
    """What an export as WebDataset shards wrote."""
    counted = {"samples": report.samples, "captioned": report.captioned, "shards": report.shards}
    return {"folder": folder, **counted, "skipped": skipped(report.skipped)}


def import_report(report: ImportReport) -> Json:
    """What an import did."""
    return {
        "added": report.added,
        "known": report.known,
        "skipped": skipped(report.skipped),
        "model": report.model,
        "seconds": report.seconds,
    }


def backup(file: str, size: int) -> Json:
    """A backup that was written, and its bytes."""
    return {"file": file, "bytes": size}


def restored(library: str, photos: int, kept: Path | None) -> Json:
    """A backup that was put in the place of a library; what was there before is ``kept``."""
    return {"library": library, "photos": photos, "kept": None if kept is None else str(kept)}


def moved_house(report: MoveReport) -> Json:
    """A library that was copied into another one, and what comparing the two gave."""
    seen = report.verified
    return {
        "source": report.source,
        "target": report.target,
        "rows": report.rows,
        "copied": report.copied,
        "photos": report.photos,
        "files": list(report.files),
        "compared_by": seen.way,
        "compared": seen.compared,
        "differences": [asdict(one) for one in seen.differences],
        "notes": [note(one) for one in report.notes],
    }


def reconciled(line: Reconciled) -> Json:
    """The vectors of one model, in the store and in the engine that searches them."""
    return {"ok": line.ok, **asdict(line)}


def map_report(report: MapReport, file: str | None) -> dict[str, Any]:
    """What a map run did, and the file that it wrote, if any."""
    return {
        "photos": report.photos,
        "clusters": [{"number": one.number, "name": one.name, "size": one.size} for one in report.clusters],
        "laid_out": report.laid_out,
        "placed": report.placed,
        "kept": report.kept,
        "gone": report.gone,
        "method": report.method,
        "named_by": report.named_by,
        "generation": report.generation,
        "seconds": report.seconds,
        "file": file,
    }


def duplicates(group: Group) -> Json:
    """Files that show the same picture."""
    return {
        "level": group.level,
        "keep": group.keep.path,
        "others": [photo.path for photo in group.others],
        "levels": list(group.levels),
        "bytes": group.bytes,
    }


def moves(moves: Iterable[Moved | Skipped], moved: bool) -> Json:
    """What became of the other files of a group, beside ``duplicates``; not ``moved`` where it was only planned."""
    from mmsearch.types import Skipped  # brings in NumPy, which no help text needs

    return {
        "moved": moved,
        "moves": [
            {"from": one.path, "reason": one.reason} if isinstance(one, Skipped) else _move(one) for one in moves
        ],
    }


def _move(one: Moved) -> Json:
    shown: Json = {"from": one.source, "to": one.target}
    return shown | ({"with": [_move(other) for other in one.companions]} if one.companions else {})


def trained(outcome: Outcome) -> Json:
    """What a training run of an encoder gave; figures are None without dev photos."""
    return {**asdict(outcome), "folder": str(outcome.folder)}


def reranker_trained(outcome: RerankOutcome, figures: Json) -> Json:
    """What a training run of a reranker gave, with its figures on dev photos."""
    return {"folder": str(outcome.folder), "step": outcome.step, "steps": outcome.steps, "dev": figures}


# Libraries and models


def status(status: Status) -> Json:
    """What a library holds."""
    summary = status.summary
    return {
        "photos": status.photos,
        "regions": status.regions,
        "captions": status.captions,
        "failed": status.failed,
        "missing": status.missing,
        "model": status.model,
        "dim": status.dim,
        "fingerprint": status.fingerprint,
        "precision": status.precision,
        "index": status.index,
        "index_kind": status.index_kind,
        "recall": status.recall,
        "generation": status.generation,
        "bytes": status.bytes,
        "library": status.library,
        "blobs": status.blobs,
        "roots": list(status.roots),
        "exclude": {root: list(globs) for root, globs in status.exclude.items()},
        "failures": skipped(status.failures),
        "damaged": damaged(status.damaged),
        "formats": dict(summary.formats),
        "years": {str(year): number for year, number in summary.years.items()},
        "dated": summary.dated,
        "cameras": dict(summary.cameras),
        "photo_bytes": summary.bytes,
        "megapixels": summary.megapixels,
        "located": summary.located,
        "described": summary.described,
        "texts": summary.texts,
        "tagged": summary.tagged,
        "copies": summary.copies,
        "films": summary.films,
        "hours": round(summary.hours, 3),
        "sounds": summary.sounds,
        "sound_hours": round(summary.sound_hours, 3),
        "moments": summary.moments,
        "documents": summary.documents,
        "pages": summary.pages,
        "reasons": dict(summary.reasons),
        "engines": [engine(one) for one in status.engines],
    }


def engine(state: EngineState) -> Json:
    """A server that a library asks, as this process found it; ``reachable`` is null where it was not asked yet."""
    return {
        "part": state.part,
        "name": state.name,
        "reachable": state.reachable,
        "since": state.since.isoformat(timespec="seconds") if state.since else None,
        "error": state.error,
        "open": state.open,
    }


def damages(found: Iterable[Damage]) -> list[Json]:
    """What is not in order in a library."""
    return [
        {
            "kind": one.kind,
            "count": one.count,
            "what": one.what,
            "remedy": one.remedy,
            "repairable": one.mendable,
            "examples": list(one.examples[:EXAMPLES]),
        }
        for one in found
    ]


def verified(photos: int, found: Sequence[Damage]) -> Json:
    """What a look at a library found."""
    return {"ok": not found, "photos": photos, "damages": damages(found)}


def repaired(done: Repaired) -> Json:
    """What a repair did, and what it could not do."""
    return {"ok": not done.left, "mended": damages(done.mended), "left": damages(done.left)}


def model(info: ModelInfo, in_use: bool) -> Json:
    """A model that can be asked for by name; ``in_use`` by the library."""
    return {
        "name": info.name,
        "dim": info.dim,
        "image_size": info.image_size,
        "bytes": info.bytes,
        "where": info.where,
        "fingerprint": info.fingerprint,
        "precision": info.precision,
        "languages": info.languages,
        "in_use": in_use,
    }


def kept_model(kept: KeptModel, precision: str | None) -> Json:
    """A model that a library has vectors of; None where nobody knows in which precision they were made."""
    return {
        "model": kept.model.name,
        "fingerprint": kept.model.fingerprint,
        "dim": kept.model.dim,
        "precision": precision,
        "active": kept.active,
        "vectors": kept.vectors,
        "lacking": kept.lacking,
    }


# What is said


def finding(one: Finding) -> Json:
    """Something that was looked at, and its ``state``: ok, advice or broken."""
    return asdict(one)


def note(note: Note) -> Json:
    """Something that a person should know."""
    return note.to_dict()


def error(error: MMSearchError) -> Json:
    """An error; programs tell them apart by the code, which never changes."""
    return {"code": error.code, "message": str(error), "fields": dict(error.fields)}
