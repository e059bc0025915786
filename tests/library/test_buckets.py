"""Pictures in an object store and behind addresses, indexed and searched as those in folders are."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import films
import object_server
import pyarrow
import pytest
from fastapi.testclient import TestClient
from object_server import Asked, Fault, ObjectServer, between
from postgres_server import forget, url_of
from pyarrow import parquet
from samples import CLI, SAMPLES
from served import API, BASE, TOKEN

from mmsearch.config import Settings
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import MMSearchError, QueryError, SourceError
from mmsearch.ingest.read import IN_MEMORY
from mmsearch.ingest.url_list import addresses_of
from mmsearch.library.library import Library
from mmsearch.library.opening import open_library
from mmsearch.media.object_store import PART
from mmsearch.types import Skipped

FIVE = ["cameraman.png", "cat.png", "grass.png", "trips/motorcycle.png", "trips/rocket.jpg"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> ObjectServer:
    return object_server.use(monkeypatch)


@pytest.fixture
def root(server: ObjectServer, photos: Path) -> str:
    """A prefix of a bucket with the five photos below it, and a file that is none beside it."""
    bucket = server.bucket()
    for name in FIVE:
        server.put(bucket, f"own/{name}", (photos / name).read_bytes())
    server.put(bucket, "other.jpg", b"no picture")
    return f"s3://{bucket}/own"


def bucket_of(root: str) -> str:
    return root.split("/")[2]


@pytest.fixture(params=["folder", "postgres"])
def anywhere(
    request: pytest.FixtureRequest, settings: Settings, encoder: OnnxEncoder, tmp_path: Path
) -> Iterator[Library]:
    """A library of either kind."""
    place = settings.library if request.param == "folder" else url_of(tmp_path)
    with open_library(place, settings=settings, encoder=encoder) as opened:
        yield opened
    if request.param == "postgres":
        forget(tmp_path)


def counts(library: Library, *paths: str, **options: object) -> dict[str, int]:
    """What a run did, without the zeros."""
    report = library.index(paths, **options)  # type: ignore[arg-type]
    found = {name: getattr(report, name) for name in ("added", "updated", "moved", "restored", "unchanged", "removed")}
    found |= {"excluded": report.excluded, "skipped": len(report.skipped), "encoded": report.encoded}
    return {name: count for name, count in found.items() if count}


def test_a_bucket_is_a_folder(anywhere: Library, server: ObjectServer, root: str, photos: Path) -> None:
    library, bucket = anywhere, bucket_of(root)
    for name in (".hidden/a.jpg", "@eaDir/a.jpg", ".b.jpg", "notes.txt"):
        server.put(bucket, f"own/{name}", b"1")
    assert counts(library, f"{root}/") == {"added": 5, "encoded": 5}
    assert [photo.path for photo in sorted(library, key=lambda one: one.path)] == [f"{root}/{n}" for n in FIVE]
    assert library.status().roots == (root,)
    assert counts(library) == {"unchanged": 5}

    server.put(bucket, "own/cat.png", (photos / "grass.png").read_bytes())  # changed, to a content that is known
    server.put(bucket, "own/new.png", (SAMPLES / "coins.png").read_bytes())
    server.delete(bucket, "own/cameraman.png")
    assert counts(library) == {"added": 1, "updated": 1, "unchanged": 3, "removed": 1, "encoded": 1}
    server.put(bucket, "own/cameraman.png", (photos / "cameraman.png").read_bytes())
    assert counts(library, root, exclude="trips/") == {"restored": 1, "unchanged": 3, "removed": 2, "excluded": 2}
    assert counts(library, root, exclude=f"{root}/*.png") == {"removed": 4, "excluded": 4, "restored": 2}
    assert counts(library, root, exclude=()) == {"restored": 4, "unchanged": 2}

    assert [hit.path for hit in library.search("a rocket", k=1)] == [f"{root}/trips/rocket.jpg"]
    trips = {f"{root}/{name}" for name in FIVE[3:]}
    assert {hit.path for hit in library.search("width:>1", within=f"{root}/trips/")} == trips
    assert {hit.path for hit in library.search(f"in:{root}/trips")} == trips
    assert {hit.path for hit in library.search("album:trips")} == trips
    near = library.search(f"{root}/cat.png")  # its picture was fetched; it itself is no hit
    assert near[0].path == f"{root}/grass.png"
    assert f"{root}/grass.png" in library
    with pytest.raises(QueryError, match="no such file or folder, and no picture is known there"):
        library.search("a cat", within=f"{root}/nothing")
    assert not [damage for damage in library.verify() if damage.kind != "words"]
    assert library.remove(f"{root}/trips") == 2
    assert library.remove(root) == 4
    assert library.status().roots == ()


def test_a_prefix_is_indexed_once_whatever_way_it_is_written(library: Library, root: str) -> None:
    assert counts(library, root) == {"added": 5, "encoded": 5}
    assert counts(library, f"S3{root[2:]}//") == {"unchanged": 5}
    assert counts(library, f"{root}/cat.png") == {"unchanged": 1}
    assert counts(library, f"s3://{bucket_of(root)}") == {"unchanged": 5, "skipped": 1}


def test_a_store_that_is_away_changes_nothing(
    library: Library, server: ObjectServer, root: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.index(root)
    for wrong in ("s3://mmsearch-no-such-bucket", f"{root}/nothing"):
        with pytest.raises(SourceError, match="no such"):
            library.index(wrong)
    refused = Fault(403, "AccessDenied")
    with between(lambda _: refused) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        with pytest.raises(SourceError, match="permission denied"):
            library.index(root)
        report = library.index()
        assert report.removed == 0
        assert [str(note) for note in report.notes] == [
            f"{root} cannot be listed now (permission denied (403 AccessDenied)): "
            "nothing was changed for the 5 pictures below it"
        ]
        assert library.index([photos / "trips"]).added == 2  # another root goes on
    server.delete_all(bucket_of(root))
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    report = library.index()
    assert (report.removed, report.unchanged) == (0, 2)
    assert [getattr(note, "code", None) for note in report.notes] == ["empty-folder"]


def test_a_listing_that_breaks_off_loses_nothing(
    library: Library, server: ObjectServer, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store shows two names a page, and fails at the second page."""
    library.index(root)

    def second_page(asked: Asked) -> Fault | None:
        return Fault(403, "AccessDenied") if "continuation-token" in asked.path else None

    server.put(bucket_of(root), "own/a new one.png", (SAMPLES / "coins.png").read_bytes())
    with between(second_page) as proxy:
        proxy.rewrite = lambda path: f"{path}&max-keys=2" if "list-type=2" in path else path
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        report = library.index()
        assert (report.removed, report.skipped) == (0, ())
        assert "nothing was changed for the 5 pictures below it" in str(report.notes[0])
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    assert counts(library) == {"added": 1, "encoded": 1, "unchanged": 5}


def test_files_that_a_busy_store_does_not_give_are_read_by_the_next_run(
    anywhere: Library, server: ObjectServer, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_cats(asked: Asked) -> Fault | None:
        return Fault(403, "AccessDenied") if asked.path.endswith("cat.png") else None

    with between(of_cats) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        report = anywhere.index(root)
    assert (report.added, report.skipped) == (4, (Skipped(f"{root}/cat.png", "permission denied (403 AccessDenied)"),))
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    assert counts(anywhere) == {"added": 1, "unchanged": 4, "encoded": 1}


def test_requests_that_fail_once_are_made_again(
    library: Library, server: ObjectServer, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is refused, then cut off in the middle, then given."""
    seen: dict[str, int] = {}

    def at_first(asked: Asked) -> Fault | None:
        if asked.method != "GET" or "list-type" in asked.path:
            return None
        seen[asked.path] = seen.get(asked.path, 0) + 1
        return {1: Fault(503, "SlowDown"), 2: Fault(cut=5000)}.get(seen[asked.path])

    with between(at_first) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        assert counts(library, root) == {"added": 5, "encoded": 5}
    assert set(seen.values()) == {3}


def test_films_and_documents_of_a_bucket(library: Library, server: ObjectServer, root: str, tmp_path: Path) -> None:
    from PIL import Image

    bucket = bucket_of(root)
    server.put(bucket, "own/film.mp4", films.film([films.Shot(one, 1.0) for one in films.photos()[:2]]))
    pages = [Image.open(SAMPLES / name).convert("RGB") for name in ("chelsea.png", "rocket.jpg")]
    pages[0].save(tmp_path / "pages.pdf", save_all=True, append_images=pages[1:])
    server.put(bucket, "own/pages.pdf", (tmp_path / "pages.pdf").read_bytes())
    report = library.index(root)
    assert (report.added, report.moments >= 2, report.pages, report.skipped) == (7, True, 2, ())
    film = next(one for one in library if one.path.endswith("film.mp4"))
    assert film.film is not None
    assert library.thumbnail(film, 160).content[:4] == b"RIFF"


@pytest.mark.slow
def test_of_a_large_film_the_decoder_fetches_what_it_needs(
    library: Library, server: ObjectServer, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is fetched once in parts, for its hash; the process that decodes it opens it by its address."""
    content = films.film([films.Shot(one, 1.0) for one in films.photos()[:2]])
    room = IN_MEMORY + 1
    server.put(bucket_of(root), "films/a.mp4", content + room.to_bytes(4, "big") + b"free" + bytes(room - 8))
    with between(lambda _: None) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        report = library.index(f"s3://{bucket_of(root)}/films")
        ranges = [one.headers["range"] for one in proxy.asked if "range" in one.headers]
    assert (report.added, report.moments >= 2, report.skipped) == (1, True, ())
    parts = -(-(len(content) + room) // PART)
    assert ranges[:parts] == sorted(ranges[:parts], key=lambda one: int(one[6:].partition("-")[0]))
    assert set(ranges[parts:]) == {f"bytes=0-{PART - 1}"}  # all else is an empty box


def table(folder: Path, urls: list[str], kind: str) -> Path:
    """A list of addresses as people have them."""
    file = folder / f"list.{kind}"
    if kind == "parquet":
        columns = {"number": list(range(len(urls))), "url": urls, "caption": ["a text"] * len(urls)}
        parquet.write_table(pyarrow.table(columns), file)
    elif kind == "csv":
        lines = [f'{number},"{url}",a text' for number, url in enumerate(urls)]
        file.write_text("\n".join(["number,URL,caption", *lines]), "utf-8")
    else:
        file.write_text("\ufeff# mine\n\n" + "\r\n".join(urls), "utf-8")
    return file


@pytest.mark.parametrize("kind", ["parquet", "csv", "txt"])
def test_lists_of_addresses(kind: str, tmp_path: Path) -> None:
    urls = ["s3://b/a,b.jpg", "https://example.org/ä.jpg?x=1"]
    assert addresses_of(table(tmp_path, urls, kind)) == urls
    assert addresses_of(urls) == urls


def test_the_only_column_of_texts_is_that_of_addresses(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"n": [1, 2], "where": ["s3://b/a.jpg", None]}), tmp_path / "a.parquet")
    assert addresses_of(tmp_path / "a.parquet") == ["s3://b/a.jpg"]
    (tmp_path / "a.csv").write_text("s3://b/a.jpg\ns3://b/c.jpg\n")
    assert addresses_of(tmp_path / "a.csv") == ["s3://b/a.jpg", "s3://b/c.jpg"]


@pytest.mark.parametrize(
    ("name", "content", "wanted"),
    [
        ("a.csv", b"name,place\na,s3://b/a.jpg", "has no column 'url'; its columns are: name, place"),
        ("a.txt", b"a dog\na cat\n", "names no address"),
        ("a.txt", b"\xff\xfe\xfd", "is no list of addresses"),
        ("a.parquet", b"PAR1 and nothing else", "is no Parquet that can be read"),
        ("nothing.txt", None, "cannot be read"),
    ],
)
def test_what_is_no_list_of_addresses(name: str, content: bytes | None, wanted: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=wanted):
        addresses_of(tmp_path / name)


def test_addresses_of_a_list_are_added_and_never_missed(
    anywhere: Library, server: ObjectServer, root: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, bucket = anywhere, bucket_of(root)
    urls = [f"{root}/{name}" for name in FIVE[:3]] + [f"{root}/gone.jpg", "no address", f"{root}/cat.png"]
    file = table(tmp_path, urls, "parquet")
    report = library.index(urls=file)
    assert (report.added, report.encoded, report.removed) == (3, 3, 0)
    assert [(one.path, one.reason) for one in report.skipped] == [
        ("no address", "it is no address: s3://, gs://, az://, http:// or https://"),
        (f"{root}/gone.jpg", "no such file"),
    ]
    assert library.status().roots == ()
    assert not [damage for damage in library.verify() if damage.kind != "words"]

    with between(lambda _: None) as proxy:  # known ones are asked for their size and time alone
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        assert counts(library, urls=file) == {"unchanged": 3, "skipped": 2}
        assert sorted((one.method, one.path.rpartition("/")[2]) for one in proxy.asked) == [
            ("GET", "gone.jpg"), ("HEAD", "cameraman.png"), ("HEAD", "cat.png"), ("HEAD", "grass.png"),
        ]  # fmt: skip
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    server.put(bucket, "own/cat.png", (SAMPLES / "coins.png").read_bytes())
    server.put(bucket, "own/gone.jpg", (SAMPLES / "rocket.jpg").read_bytes())
    server.delete(bucket, "own/grass.png")
    report = library.index(urls=urls[1:4])  # without the first: it stays
    assert (report.updated, report.added, report.removed) == (1, 1, 0)
    assert report.skipped == (Skipped(f"{root}/grass.png", "no such file"),)
    assert len(list(library)) == 4
    assert counts(library, str(photos), urls=urls[:1]) == {"added": 5, "unchanged": 1, "encoded": 2}


@pytest.mark.slow
def test_another_model_takes_over_from_addresses_too(
    library: Library, root: str, region_encoder: OnnxEncoder, settings: Settings
) -> None:
    pytest.importorskip("torch", reason="the light way has none")
    library.index(urls=[f"{root}/{name}" for name in FIVE])
    library.close()
    with open_library(settings.library, settings=settings, encoder=region_encoder) as other:
        report = other.index(model=region_encoder.card.name)
        assert (report.encoded, report.model) == (5, region_encoder.card.name)
        assert other.status().model == region_encoder.card.name


@pytest.mark.slow
def test_commands_and_addresses(mmsearch: CLI, server: ObjectServer, root: str, photos: Path, tmp_path: Path) -> None:
    known = {**server.environment(), "MMSEARCH_LIBRARY": str(tmp_path / "library")}
    (tmp_path / "list.txt").write_text(f"{root}/cat.png\n")
    assert mmsearch("index", "--urls", tmp_path / "list.txt", **known).stderr.endswith("\n")
    mmsearch("index", root, **known)
    # of files of the same second the shorter name is kept
    server.put(bucket_of(root), "own/grass-twin.png", (photos / "grass.png").read_bytes())
    mmsearch("index", **known)
    done = mmsearch("query", "grass", "-k", "1", "--copy-to", tmp_path / "out", "--html", tmp_path / "x.html", **known)
    assert f"{root}/" in done.stdout.replace("\n", "")
    [copied] = (tmp_path / "out").iterdir()
    assert copied.read_bytes() == (photos / "grass.png").read_bytes()
    again = mmsearch("query", "grass", "-k", "1", "--copy-to", tmp_path / "out", **known)
    assert "1 were there already" in again.stderr
    assert f'href="{root}/' in (tmp_path / "x.html").read_text("utf-8")
    moving = mmsearch("duplicates", "--move-to", tmp_path / "moved", "--yes", check=1, **known)
    assert "grass-twin.png: it is no file of this machine, and only such are moved" in moving.stderr.replace("\n", "")
    for command in (["watch", root], ["watch"]):
        said = mmsearch(*command, check=1, **known).stderr
        assert "cannot be watched: an object store says nothing of changes" in said
    assert mmsearch("caption", f"{root}/grass.png", **known).stdout.startswith(f"{root}/grass.png\t")
    assert mmsearch("index", "s3://mmsearch-no-such-bucket", check=1, **known).stderr == (
        "mmsearch: s3://mmsearch-no-such-bucket: there is no such bucket (404 NoSuchBucket)\n"
    )
    forgotten = mmsearch("remove", f"{root}/cat.png", **known).stderr
    assert f"{root} is still known: its next `mmsearch index` finds them again" in forgotten
    mmsearch("export", tmp_path / "exported", **known)
    other = {**known, "MMSEARCH_LIBRARY": str(tmp_path / "other")}
    assert mmsearch("import", tmp_path / "exported", **other).stderr.startswith("5 added")
    hits = [json.loads(line) for line in mmsearch("query", "--json", "type:png", **other).stdout.splitlines()]
    assert sorted(hit["path"] for hit in hits) == sorted(
        f"{root}/{name}" for name in ("cameraman.png", "grass.png", "grass-twin.png", "trips/motorcycle.png")
    )


def test_photos_of_a_bucket_in_the_server(library: Library, server: ObjectServer, root: str, photos: Path) -> None:
    from mmsearch.server import ServerOptions, app

    library.index(root)
    cat = next(photo for photo in library if photo.path.endswith("cat.png"))
    with TestClient(app(library, ServerOptions(token=TOKEN)), base_url=BASE) as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        content = (photos / "cat.png").read_bytes()
        whole = client.get(f"{API}/photos/{cat.id}/file")
        assert (whole.status_code, whole.content, whole.headers["content-type"]) == (200, content, "image/png")
        part = client.get(f"{API}/photos/{cat.id}/file", headers={"Range": "bytes=5-9"})
        assert (part.status_code, part.content) == (206, content[5:10])
        assert client.get(f"{API}/photos/{cat.id}/thumb?size=160").status_code == 200
        server.delete(bucket_of(root), "own/cat.png")
        assert client.get(f"{API}/photos/{cat.id}/file").status_code == 404
        assert client.get(f"{API}/photos/{cat.id}/thumb?size=160").status_code == 200  # it was kept


def test_without_the_package_one_sentence_says_what_to_install(
    library: Library, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    asks: tuple[Callable[[], object], ...] = (
        lambda: library.index(root),
        lambda: library.index(urls=[f"{root}/cat.png"]),
    )
    for ask in asks:
        with pytest.raises(MMSearchError, match=r"need obstore; run: pip install 'mmsearch\[objects\]'") as caught:
            ask()
        assert caught.value.code == "needs-objects"
