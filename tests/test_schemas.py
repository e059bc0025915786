"""What results look like as JSON: keys that programs rely on."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmsearch import schemas
from mmsearch.cluster.moving import MoveReport
from mmsearch.cluster.reconciling import Reconciled
from mmsearch.cluster.verification import Difference, Verified
from mmsearch.encoders.catalogue import ModelInfo
from mmsearch.errors import LibraryBusyError, ModelMismatchError
from mmsearch.ingest.enrich.tags import TagReport
from mmsearch.library.repair import Repaired
from mmsearch.library.status import Status
from mmsearch.manage.duplicates import Group
from mmsearch.manage.export import ExportReport
from mmsearch.manage.import_vectors import ImportReport
from mmsearch.manage.move_aside import Moved
from mmsearch.manage.web_dataset import WebDatasetReport
from mmsearch.rerank.captions import Caption
from mmsearch.rerank.heat import WordHeat
from mmsearch.rerank.inspect import Explanation
from mmsearch.rerank.reranker import Answer
from mmsearch.store.types import Damage, KeptModel, Losses, StoredModel, Summary, TagChange
from mmsearch.types import (
    Annotations,
    Damaged,
    Exif,
    Film,
    Hit,
    IndexReport,
    Moment,
    Note,
    Photo,
    Progress,
    SearchResult,
    Skipped,
)

PHOTO = Photo("/a.jpg", 300, 200, "jpeg", 7000, 0)
TAKEN = datetime(2019, 7, 14, 18, 3, 22)
FULL = Photo(
    "/a.jpg", 300, 200, "jpeg", 7000, 0, Exif(TAKEN, "FUJIFILM X100V", "23mm", 48.85, 2.35, 400, 2.8, 0.004, 23.0),
    "a dog", "said", "TAXI", ("dog", "sky"), Annotations("Łódź", ("Ann", "Bob"), 4, "Red"),
)  # fmt: skip
SKIPPED = Skipped("/broken.png", "it is damaged")
CUT = Damaged("/cut.jpg", "3 % of the picture is missing")
DAMAGE = Damage("index", 2, "rows of the index differ", "it is built again", True, tuple("abcdefg"))
SUMMARY = Summary({"jpeg": 2}, {2019: 2}, 1, {"FUJIFILM X100V": 1}, 9000, 12.5, 1, 0, 0, 0, 1, 0, {"damaged": 1})
STATUS = Status(
    "/library", 2, 2, 0, 1, 0, "embedded", 256, "abc", "float32", 2, "exact", 1.0, 7, 90000, None, ("/photos",),
    {"/photos": ("trips",)}, (SKIPPED,), (CUT,), SUMMARY,
)  # fmt: skip
HEAT = np.array([[0.0, 0.25], [0.123456, 1.0]], np.float32)
JSON_HEAT = [[0.0, 0.25], [0.1235, 1.0]]


def test_films_and_documents_have_moments_and_pages() -> None:
    film = Photo("/a.mp4", 640, 360, "mp4", 7000, 0, film=Film(90_500, 29.97, "h264", True))
    found = schemas.hit(Hit(1, 0.5, film, moments=(Moment(3, 0.5, 83_000, 90_500, 84_000, "said"), Moment(0, 0.4))))
    assert {name: found[name] for name in ("length", "fps", "codec", "audio", "moments")} == {
        "length": 90.5,
        "fps": 29.97,
        "codec": "h264",
        "audio": True,
        "moments": [
            {"part": 3, "start": 83.0, "end": 90.5, "at": 84.0, "score": 0.5, "text": "said"},
            {"part": 0, "page": 1, "score": 0.4},
        ],
    }


def test_a_hit() -> None:
    always = {
        "rank": 1,
        "path": "/a.jpg",
        "score": 0.5,
        "width": 300,
        "height": 200,
        "format": "jpeg",
        "bytes": 7000,
        "date": PHOTO.date.isoformat(timespec="seconds"),
        "taken_at": None,
        "camera": None,
        "lens": None,
        "latitude": None,
        "longitude": None,
        "caption": None,
    }
    assert schemas.hit(Hit(1, 0.5, PHOTO)) == always
    hit = Hit(1, 0.5, FULL, 0.3, "yes", 0.9, 0.25, ("name: a",), ("/b.jpg",))
    assert schemas.hit(hit) == {
        **always,
        "first_stage": 0.3,
        "answer": "yes",
        "answer_confidence": 0.9,
        "relevance": 0.25,
        "reasons": ["name: a"],
        "similar": ["/b.jpg"],
        "date": "2019-07-14T18:03:22",
        "taken_at": "2019-07-14T18:03:22",
        "camera": "FUJIFILM X100V",
        "lens": "23mm",
        "latitude": 48.85,
        "longitude": 2.35,
        "caption": "a dog",
        "description": "said",
        "text": "TAXI",
        "tags": ["dog", "sky"],
        "city": "Łódź",
        "people": ["Ann", "Bob"],
        "rating": 4,
        "label": "Red",
        "iso": 400,
        "aperture": 2.8,
        "exposure": 0.004,
        "focal": 23.0,
    }
    assert list(schemas.hit(hit))[:3] == ["rank", "path", "score"]  # a person who reads a line finds them first


def test_a_page_of_hits() -> None:
    one = Hit(11, 0.5, PHOTO)
    note = Note("nothing was reranked", "no-region-tokens")
    assert schemas.search_result(SearchResult((one,), (note,), 11, 7)) == {
        "hits": [schemas.hit(one)],
        "notes": [{"code": "no-region-tokens", "message": "nothing was reranked", "fields": {}}],
        "next_offset": 11,
        "generation": 7,
    }
    empty: dict[str, Any] = {"hits": [], "notes": [], "next_offset": None, "generation": None}
    assert schemas.search_result(SearchResult()) == empty


def test_an_error() -> None:
    assert schemas.error(ModelMismatchError("a", "b")) == {
        "code": "model-mismatch",
        "message": "this library was made with the model 'b', not 'a': vectors of two models cannot be compared",
        "fields": {"got": "a", "wanted": "b"},
    }
    assert schemas.error(LibraryBusyError("another one writes")) == {
        "code": "library-busy",
        "message": "another one writes",
        "fields": {},
    }


def test_an_index_report() -> None:
    report = IndexReport(
        added=2,
        skipped=(SKIPPED,),
        damaged=(CUT,),
        passed_over={".mp4": 3},
        encoded=2,
        seconds=0.5,
        model="embedded",
        notes=("one",),
        shares={"read": 0.4},
    )
    assert schemas.index_report(report) == {
        "added": 2,
        "updated": 0,
        "moved": 0,
        "restored": 0,
        "unchanged": 0,
        "removed": 0,
        "excluded": 0,
        "skipped": [{"path": "/broken.png", "reason": "it is damaged"}],
        "damaged": [{"path": "/cut.jpg", "what": "3 % of the picture is missing"}],
        "passed_over": {".mp4": 3},
        "encoded": 2,
        "regions": 0,
        "captions": 0,
        "facts": 0,
        "sidecars": 0,
        "texts": 0,
        "with_text": 0,
        "seconds": 0.5,
        "model": "embedded",
        "notes": ["one"],
        "shares": {"read": 0.4},
        "photos_per_second": 4.0,
        "limit": "read",
    }
    assert schemas.index_report(IndexReport())["photos_per_second"] is None
    enriched = schemas.index_report(IndexReport(enriched={"captions": 3, "colours": 2}))
    assert (enriched["captions"], enriched["colours"], enriched["regions"]) == (3, 2, 0)


def test_a_status() -> None:
    assert schemas.status(STATUS) == {
        "photos": 2,
        "regions": 2,
        "captions": 0,
        "failed": 1,
        "missing": 0,
        "model": "embedded",
        "dim": 256,
        "fingerprint": "abc",
        "precision": "float32",
        "index": 2,
        "index_kind": "exact",
        "recall": 1.0,
        "generation": 7,
        "bytes": 90000,
        "library": "/library",
        "blobs": None,
        "roots": ["/photos"],
        "exclude": {"/photos": ["trips"]},
        "failures": [{"path": "/broken.png", "reason": "it is damaged"}],
        "damaged": [{"path": "/cut.jpg", "what": "3 % of the picture is missing"}],
        "formats": {"jpeg": 2},
        "years": {"2019": 2},
        "dated": 1,
        "cameras": {"FUJIFILM X100V": 1},
        "photo_bytes": 9000,
        "megapixels": 12.5,
        "located": 1,
        "described": 0,
        "texts": 0,
        "tagged": 1,
        "copies": 0,
        "films": 0,
        "hours": 0.0,
        "sounds": 0,
        "sound_hours": 0.0,
        "moments": 0,
        "documents": 0,
        "pages": 0,
        "reasons": {"damaged": 1},
        "engines": [],
    }


DAMAGED = {
    "kind": "index",
    "count": 2,
    "what": "rows of the index differ",
    "remedy": "it is built again",
    "repairable": True,
    "examples": ["a", "b", "c", "d", "e"],
}
NOTE = Note("rows", "rows-compared")
MODEL = StoredModel(1, "embedded", "abc", 256)
OTHERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "caption": (
        schemas.caption("a.jpg", [Caption("a dog", 0.5), Caption("a cat", 0.25)]),
        {
            "photo": "a.jpg",
            "caption": "a dog",
            "confidence": 0.5,
            "alternatives": [{"caption": "a cat", "confidence": 0.25}],
        },
    ),
    "answers": (
        schemas.answers("a.jpg", "a dog?", [Answer("yes", 0.75)]),
        {"photo": "a.jpg", "question": "a dog?", "answers": [{"answer": "yes", "confidence": 0.75}]},
    ),
    "explanation": (
        schemas.explanation(Explanation("a.jpg", "dog", 1.5, (WordHeat("dog", HEAT),), HEAT, "match")),
        {
            "photo": "a.jpg",
            "text": "dog",
            "score": 1.5,
            "by": "match",
            "side": 2,
            "words": [{"word": "dog", "heat": JSON_HEAT}],
            "overall": JSON_HEAT,
        },
    ),
    "progress": (
        schemas.progress(Progress(1, 2, "/a.jpg", "regions")),
        {"step": "regions", "done": 1, "total": 2, "path": "/a.jpg"},
    ),
    "tag report": (
        schemas.tag_report(TagReport(2, {"dog": 1}, 0.5)),
        {"tagged": 2, "tags": {"dog": 1}, "seconds": 0.5},
    ),
    "tags": (schemas.tags({"dog": 1}), {"tags": {"dog": 1}}),
    "cleared": (schemas.tags_cleared(3), {"cleared": 3}),
    "removed": (
        schemas.removed(3, Losses(3, 2, 1, 2)),
        {"removed": 3, "texts": 2, "captions": 1, "tagged": 2},
    ),
    "tags_changed": (
        schemas.tags_changed(TagChange(3, 2, 4, 1)),
        {"photos": 3, "changed": 2, "added": 4, "removed": 1},
    ),
    "export": (
        schemas.export_report("out", ExportReport(3, 2, False)),
        {"folder": "out", "files": 3, "vectors": 2, "parquet": False},
    ),
    "web data set": (
        schemas.web_dataset_report("out", WebDatasetReport(3, 2, 1, (SKIPPED,))),
        {
            "folder": "out",
            "samples": 3,
            "captioned": 2,
            "shards": 1,
            "skipped": [{"path": "/broken.png", "reason": "it is damaged"}],
        },
    ),
    "import": (
        schemas.import_report(ImportReport(3, 2, (SKIPPED,), "embedded", 0.5)),
        {
            "added": 3,
            "known": 2,
            "skipped": [{"path": "/broken.png", "reason": "it is damaged"}],
            "model": "embedded",
            "seconds": 0.5,
        },
    ),
    "backup": (schemas.backup("a.zip", 7), {"file": "a.zip", "bytes": 7}),
    "restored": (schemas.restored("/library", 7, Path("/old")), {"library": "/library", "photos": 7, "kept": "/old"}),
    "moved house": (
        schemas.moved_house(
            MoveReport(
                "/own",
                "postgresql://db/photos",
                9,
                4,
                2,
                ("searches.json",),
                Verified("queries", 200, (Difference("/a.jpg is a hit of the copy alone", "a dog"),)),
                (NOTE,),
            )
        ),
        {
            "source": "/own",
            "target": "postgresql://db/photos",
            "rows": 9,
            "copied": 4,
            "photos": 2,
            "files": ["searches.json"],
            "compared_by": "queries",
            "compared": 200,
            "differences": [{"what": "/a.jpg is a hit of the copy alone", "query": "a dog"}],
            "notes": [{"code": "rows-compared", "message": "rows", "fields": {}}],
        },
    ),
    "reconciled": (
        schemas.reconciled(Reconciled("embedded", "abc", "pgvector hnsw", 9, 8, 2, 1, 0)),
        {
            "ok": True,
            "model": "embedded",
            "fingerprint": "abc",
            "engine": "pgvector hnsw",
            "wanted": 9,
            "held": 8,
            "missing": 2,
            "foreign": 1,
            "left": 0,
            "reason": None,
        },
    ),
    "duplicates": (
        schemas.duplicates(Group(PHOTO, (FULL,), ("near",))),
        {"level": "near", "keep": "/a.jpg", "others": ["/a.jpg"], "levels": ["near"], "bytes": 7000},
    ),
    "moves": (
        schemas.moves([Moved("/a", "/b/a"), SKIPPED], moved=True),
        {
            "moved": True,
            "moves": [{"from": "/a", "to": "/b/a"}, {"from": "/broken.png", "reason": "it is damaged"}],
        },
    ),
    "verified": (schemas.verified(7, [DAMAGE]), {"ok": False, "photos": 7, "damages": [DAMAGED]}),
    "all is well": (schemas.verified(7, []), {"ok": True, "photos": 7, "damages": []}),
    "repaired": (schemas.repaired(Repaired((DAMAGE,), ())), {"ok": True, "mended": [DAMAGED], "left": []}),
    "model": (
        schemas.model(ModelInfo("embedded", 256, 224, 7, "embedded", "abc", "int8", "English"), in_use=True),
        {
            "name": "embedded",
            "dim": 256,
            "image_size": 224,
            "bytes": 7,
            "where": "embedded",
            "fingerprint": "abc",
            "precision": "int8",
            "languages": "English",
            "in_use": True,
        },
    ),
    "kept model": (
        schemas.kept_model(KeptModel(MODEL, True, 7, 1), "int8"),
        {
            "model": "embedded",
            "fingerprint": "abc",
            "dim": 256,
            "precision": "int8",
            "active": True,
            "vectors": 7,
            "lacking": 1,
        },
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_results(name: str) -> None:
    found, wanted = OTHERS[name]
    assert found == wanted
    assert json.loads(json.dumps(found)) == wanted


def test_training_runs(tmp_path: Path) -> None:
    from mmsearch.evaluation.metrics import Gain
    from mmsearch.training.contrastive.companions import Companions
    from mmsearch.training.contrastive.trainer import Outcome
    from mmsearch.training.reranker.trainer import RerankOutcome

    figures = {"text_to_image": {"R@1": 28.1}}
    assert schemas.trained(Outcome(tmp_path, 2, 3, 40, None, figures, 30, 150, 1, 0.5)) == {
        "folder": str(tmp_path),
        "epoch": 2,
        "epochs_run": 3,
        "steps": 40,
        "before": None,
        "after": figures,
        "photos": 30,
        "captions": 150,
        "skipped": 1,
        "loss": 0.5,
        "gain": None,
        "companions": None,
    }
    gain: dict[str, dict[str, Gain]] = {"text_to_image": {"R@1": {"points": 1.2, "interval": [-0.3, 2.7]}}}
    beside = Companions("moved", 30, 200, "kept", reranker=True, lost=False)
    found = schemas.trained(Outcome(tmp_path, 2, 3, 40, figures, figures, 30, 150, 1, 0.5, gain, beside))
    assert found["gain"] == gain
    assert found["companions"] == {
        "relevance": "moved",
        "dev_photos": 30,
        "needed": 200,
        "regions": "kept",
        "reranker": True,
        "lost": False,
        "reason": "",
    }
    outcome = RerankOutcome(tmp_path, 20, 40, {"R@1": 33.0}, 0.5)
    assert schemas.reranker_trained(outcome, {"R@1": 33.0}) == {
        "folder": str(tmp_path),
        "step": 20,
        "steps": 40,
        "dev": {"R@1": 33.0},
    }
