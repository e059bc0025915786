"""What Python users stumble over: wrong arguments, a closed library, one that is not there, what is logged."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mmsearch
from mmsearch.config import Settings
from mmsearch.errors import ArgumentError, LibraryError, MMSearchError, NoModelError
from mmsearch.library.checked import RULES
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.library.results import Items
from mmsearch.store.open import MARK
from mmsearch.types import Progress

# Parameters that other tables and rooms check: these name them, too.
ELSEWHERE = {
    "query", "where", "like", "unlike", "k", "offset", "vocabulary", "stored", "encoder", "self",
    "caption", "dataset", "image",
}  # fmt: skip

OPEN: Any = open_library  # types are wrong on purpose
MM: Any = mmsearch
WRONG: dict[str, tuple[Callable[[Any, Any], object], str]] = {
    "index": (lambda lib, _: lib.index(5), "paths must be a path .str or Path. or a list of paths, not 5"),
    "index a list": (lambda lib, _: lib.index(["a", None]), r"paths\[1\] must be a path"),
    "index bytes": (lambda lib, _: lib.index(b"photos"), "paths must be .* not b'photos'"),
    "exclude": (lambda lib, _: lib.index(exclude=5), "exclude must be a glob"),
    "max_megapixels": (lambda lib, _: lib.index(max_megapixels="a"), "max_megapixels must be a number above 0, not"),
    "negative": (lambda lib, _: lib.index(max_megapixels=-1), "max_megapixels must be a number above 0, not -1"),
    "model": (lambda lib, _: lib.index(model=5), "model must be a text"),
    "progress": (lambda lib, _: lib.index(progress=5), "progress must be a function that takes a Progress, not 5"),
    "captions": (lambda lib, _: lib.index(captions="yes"), "captions must be True or False, not 'yes'"),
    "within": (lambda lib, _: lib.search("a", within=5), "within must be a path"),
    "within a list": (lambda lib, _: lib.search("a", within=[None]), r"within\[0\] must be a path"),
    "where": (lambda lib, _: lib.search("a", where=5), "where must be a text, such as"),
    "where texts": (lambda lib, _: lib.search("a", where=["date:2024"]), r"where must be a text, .* not \["),
    "rerank": (lambda lib, _: lib.search("a", rerank="x"), "rerank must be True or False"),
    "diverse": (lambda lib, _: lib.search("a", diverse="x"), "diverse must be True or False"),
    "imagine": (lambda lib, _: lib.search("a", imagine="x"), "imagine must be True or False"),
    "count": (lambda lib, _: lib.imagine("a", 0), "count must be a whole number from 1 to 64, not 0"),
    "regions": (lambda lib, _: lib.imagine("a", regions=-1), "regions must be a whole number from 0 to 48, not -1"),
    "nothing to imagine": (lambda lib, _: lib.imagine(" "), "there are no words to imagine"),
    "relevance": (lambda lib, _: lib.search("a", min_relevance="0.5"), "min_relevance must be a number from 0 to 1"),
    "like": (lambda lib, _: lib.search("a", like=5), "like must be a path, a picture"),
    "like a list": (lambda lib, _: lib.search("a", like=[None]), r"like\[0\] must be a path, a picture"),
    "like nothing": (lambda lib, _: lib.search("a", like=""), "like: the path of a picture is empty"),
    "k": (lambda lib, _: lib.search("a", "3"), "k must be a whole number, not '3'"),
    "offset": (lambda lib, _: lib.search("a", offset="3"), "the offset must be a whole number"),
    "remove": (lambda lib, _: lib.remove(None), "paths must be a path .* not None"),
    "losses": (lambda lib, _: lib.losses(5), "paths must be a path"),
    "get": (lambda lib, _: lib.get(5), "path must be a path"),
    "photo": (lambda lib, _: lib.photo("a"), "id must be a whole number: the id of a photo, not 'a'"),
    "thumbnail": (lambda lib, _: lib.thumbnail(5), "photo must be a Photo, not 5"),
    "side": (lambda lib, p: lib.thumbnail(lib.get(p.parent / "trips/rocket.jpg"), 5), "side must be 160, 320, 640 or"),
    "most": (lambda lib, _: lib.facets(most=0), "most must be a whole number from 1 to 10000, not 0"),
    "facets": (lambda lib, _: lib.facets(5), "query must be words"),
    "caption": (lambda lib, _: lib.caption(5), "path must be a path"),
    "alternatives": (lambda lib, p: lib.caption(p, "2"), "alternatives must be a whole number from 0"),
    "ask": (lambda lib, p: lib.ask(p, 5), "question must be a text"),
    "explain": (lambda lib, p: lib.explain(p, 5), "text must be a text"),
    "by": (lambda lib, p: lib.explain(p, "a", by="x"), "by must be 'match' or 'attention', not 'x'"),
    "vocabulary": (lambda lib, _: lib.tag(vocabulary=5), "vocabulary must be a path"),
    "threshold": (lambda lib, _: lib.tag(threshold="x"), "threshold must be a number, at most 1, not 'x'"),
    "high threshold": (lambda lib, _: lib.tag(threshold=5), "threshold must be a number, at most 1, not 5"),
    "tags": (lambda lib, _: lib.tags(5), "within must be a path"),
    "photos": (lambda lib, _: lib.tag_photos(0.5, add="a"), "photos must be a photo, a hit, the id of a photo"),
    "photos in a list": (lambda lib, _: lib.tag_photos([None], add="a"), r"photos\[0\] must be a photo"),
    "add": (lambda lib, p: lib.tag_photos(p, add=5), "add must be a tag .str. or a list of tags, not 5"),
    "tag nothing": (lambda lib, p: lib.tag_photos(p), "add must be at least one tag, or remove, not nothing"),
    "take what is given": (lambda lib, p: lib.tag_photos(p, add="a", remove="A"), "remove must be another tag"),
    "no tag": (lambda lib, p: lib.tag_photos(p, add="a,b"), "'a,b' is no tag: it has a comma"),
    "no such photo": (lambda lib, _: lib.tag_photos([99, 100], add="a"), "no photo has the id 99 .*, nor 1 others"),
    "level": (lambda lib, _: lib.duplicates("x"), "level must be 'exact', 'near' or 'burst', not 'x'"),
    "groups": (lambda lib, _: lib.set_aside(5, "aside"), "groups must be a list of the groups"),
    "activate": (lambda lib, _: lib.activate(5), "name must be a text"),
    "backup": (lambda lib, _: lib.backup(5), "file must be a path"),
    "export": (lambda lib, _: lib.export(5), "folder must be a path"),
    "import": (lambda lib, _: lib.import_from(5), "folder must be a path"),
    "open": (lambda lib, _: OPEN(5), "folder must be a path"),
    "open a model": (lambda lib, _: OPEN(lib.folder, model=5), "model must be a text"),
    "settings": (lambda lib, _: OPEN(lib.folder, settings={}), "settings must be a mmsearch.Settings"),
    "parse": (lambda lib, _: MM.parse(5), "words must be a text or a list of texts, not 5"),
    "parse a list": (lambda lib, _: MM.parse(["a", 5]), r"words\[1\] must be a text or a list of texts, not 5"),
    "conditions": (lambda lib, _: MM.parse_conditions(5), "text must be a text .str., not 5"),
    "restore": (lambda lib, _: MM.restore(5, lib.folder), "file must be a path"),
}  # fmt: skip


def test_wrong_arguments_are_errors_of_ours_that_name_them(library: Library, photos: Path) -> None:
    library.index(photos / "trips")
    for call, says in WRONG.values():
        with pytest.raises(MMSearchError, match=says):
            call(library, photos / "cat.png")
    with pytest.raises(ArgumentError) as caught:
        library.index(5)  # type: ignore[arg-type]
    assert caught.value.fields == {"argument": "paths", "got": "5", "wanted": RULES["paths"].wanted}
    assert library.index(path for path in [photos / "trips"]).unchanged == 2  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected keyword argument 'path'"):  # of Python itself, as ever
        library.index(path="a")  # type: ignore[call-arg]


def test_every_parameter_that_people_see_is_checked() -> None:
    methods: list[Any] = [method for name, method in inspect.getmembers(Library, inspect.isfunction) if name[0] != "_"]
    seen = {
        name
        for method in [*methods, open_library, Items.to_webdataset]
        for name in inspect.signature(method).parameters
    }
    assert seen - RULES.keys() <= ELSEWHERE
    assert RULES.keys() <= seen


def test_one_photo_and_all_photos(library: Library, photos: Path) -> None:
    assert (library.get(photos / "cat.png"), list(library), "x" in library) == (None, [], False)
    library.index(photos)
    cat = library.get(photos / "cat.png")
    assert cat is not None
    assert (cat.path, cat.width, cat.format) == (str(photos / "cat.png"), 451, "png")
    assert [cat] == [hit.photo for hit in library.search("a cat", within=cat.path)]
    assert (library.photo(cat.id), library.photo(cat.id + 1000), library.photo(2**70)) == (cat, None, None)
    (photos / "copy.png").write_bytes((photos / "cat.png").read_bytes())
    library.index()
    copy = library.get(photos / "copy.png")
    assert copy is not None
    assert copy.path == str(photos / "copy.png")
    assert {photo.path for photo in library} == {str(path) for path in photos.rglob("*.*")}
    assert photos / "copy.png" in library
    assert str(photos / "no.png") not in library
    assert 5 not in library
    assert library.get(photos) is None  # a folder
    (photos / "cat.png").unlink()
    library.index()
    assert (library.get(photos / "cat.png"), library.photo(cat.id), library.photo(copy.id)) == (None, None, copy)
    assert len(list(library)) == 5


def test_hits_and_photos_are_what_json_takes(library: Library, photos: Path) -> None:
    library.index(photos)
    result = library.search("a man with a camera", k=2)
    said = json.loads(json.dumps(result.to_dict()))
    assert [hit["path"] for hit in said["hits"]] == [hit.path for hit in result]
    assert said["hits"][0] == json.loads(json.dumps(result[0].to_dict()))
    assert said["generation"] == result.generation
    photo = result[0].photo.to_dict()
    assert photo.items() <= result[0].to_dict().items()
    assert list(photo)[:4] == ["path", "width", "height", "format"]


def test_conditions_alone_give_no_score(library: Library, photos: Path) -> None:
    library.index(photos)
    hits = library.search("type:png", k=2)
    assert [(hit.score, hit.relevance) for hit in hits] == [(None, None)] * 2
    assert json.loads(json.dumps(hits[0].to_dict()))["score"] is None
    assert all(isinstance(hit.score, float) for hit in library.search("a cat type:png"))


def test_a_library_that_is_not_there_is_not_made_without_leave(settings: Settings, photos: Path) -> None:
    with pytest.raises(NoModelError, match=r"there is no library in .* yet"):
        open_library(settings.library, settings=settings, create=False)
    assert not settings.library.exists()
    open_library(settings.library, settings=settings).close()
    open_library(settings.library, settings=settings, create=False).close()


def test_a_closed_library_says_so(library: Library, photos: Path) -> None:
    library.index(photos)
    library.search("a cat")
    library.close()
    library.close()  # once more does nothing
    calls: list[Callable[[], object]] = [
        lambda: library.search("a cat"),
        library.status,
        library.index,
        lambda: library.get(photos / "cat.png"),
        lambda: list(library),
        lambda: library.photo(1),
        library.facets,
        lambda: library.remove(photos),
        lambda: library.tags(),
        library.kept_models,
        library.verify,
    ]
    for call in calls:
        with pytest.raises(LibraryError, match=r"the library .* is closed; open it again") as caught:
            call()
        assert caught.value.code == "library-closed"


def test_alembic_and_faiss_say_nothing_at_info(
    tmp_path: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        open_library(tmp_path / "quiet", settings=settings).close()
    assert [record for record in caplog.records if record.name.startswith(("alembic", "faiss"))] == []
    assert logging.getLogger("alembic").level == logging.NOTSET  # as it was


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_callback_that_raises_is_no_crash(library: Library, photos: Path, error: type[BaseException]) -> None:
    def fail(step: Progress) -> None:
        raise error

    with pytest.raises(error):
        library.index(photos, progress=fail)
    assert not (library.folder / MARK).exists()


def test_pictures_that_are_left_out_are_not_told_as_gone(library: Library, photos: Path) -> None:
    from mmsearch.cli.formatting import report_lines

    library.index(photos)
    (photos / "grass.png").unlink()
    report = library.index(photos, exclude="cat*")
    assert (report.removed, report.excluded) == (2, 1)
    assert next(report_lines(report)).startswith("3 unchanged, 1 gone, 1 excluded in")
    assert library.index(photos, exclude=()).restored == 1
