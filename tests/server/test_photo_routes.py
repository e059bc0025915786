"""One photo over HTTP: what is known of it, its thumbnail and its file; several as a zip or in a folder."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import anyio
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from served import API, Asker, id_of
from starlette.requests import ClientDisconnect
from starlette.types import Message

from mmsearch.library.library import Library
from mmsearch.server import files


def test_a_photo_by_its_id(client: TestClient, shelf: Library) -> None:
    number = id_of(shelf, "cat.png")
    photo = shelf.photo(number)
    assert photo is not None
    told = client.get(f"{API}/photos/{number}").json()
    assert {**photo.to_dict(), "id": number, "version": told["version"], "present": True} == told


@pytest.mark.parametrize("path", ["photos/99", "photos/99/thumb", "photos/99/file", "photos/99/caption"])
def test_an_unknown_id_is_said(client: TestClient, path: str) -> None:
    answer = client.get(f"{API}/{path}")
    assert (answer.status_code, answer.json()["code"], answer.json()["fields"]) == (404, "unknown-photo", {"id": 99})


def test_thumbnails_are_small_upright_and_kept(client: TestClient, shelf: Library) -> None:
    number = id_of(shelf, "cat.png")
    answer = client.get(f"{API}/photos/{number}/thumb", params={"size": 160})
    picture = Image.open(io.BytesIO(answer.content))
    assert (picture.format, picture.size) == ("WEBP", (160, 106))
    assert answer.headers["cache-control"] == "private, max-age=60"
    version = client.get(f"{API}/photos/{number}").json()["version"]
    forever = client.get(f"{API}/photos/{number}/thumb", params={"size": 160, "v": version})
    assert forever.headers["cache-control"] == "private, max-age=31536000, immutable"
    again = client.get(f"{API}/photos/{number}/thumb?size=160", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(f"{API}/photos/{number}/thumb?size=161").status_code == 422


def test_a_file_is_what_it_is(client: TestClient, shelf: Library, shown: Path) -> None:
    content = (shown / "cat.png").read_bytes()
    address = f"{API}/photos/{id_of(shelf, 'cat.png')}/file"
    whole = client.get(address)
    assert (whole.content, whole.headers["content-type"]) == (content, "image/png")
    assert whole.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert whole.headers["content-disposition"].startswith('inline; filename="cat.png"')
    assert client.get(address, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304


@pytest.mark.parametrize(
    ("wanted", "status", "part"),
    [
        ("bytes=0-3", 206, slice(0, 4)),
        ("bytes=10-", 206, slice(10, None)),
        ("bytes=-5", 206, slice(-5, None)),
        ("bytes=5-999999999", 206, slice(5, None)),
        ("bytes=0-1,4-5", 200, slice(None)),
        ("bytes=4-2", 200, slice(None)),
        ("lines=1-2", 200, slice(None)),
    ],
)
def test_parts_of_a_file(
    client: TestClient, shelf: Library, shown: Path, wanted: str, status: int, part: slice
) -> None:
    content = (shown / "cat.png").read_bytes()
    answer = client.get(f"{API}/photos/{id_of(shelf, 'cat.png')}/file", headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (status, content[part])
    if status == 206:
        start, stop, _ = part.indices(len(content))
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(content)}"


def test_a_part_that_is_not_there(client: TestClient, shelf: Library) -> None:
    answer = client.get(f"{API}/photos/{id_of(shelf, 'cat.png')}/file", headers={"Range": "bytes=999999999-"})
    assert (answer.status_code, answer.json()["code"]) == (416, "no-such-part")
    assert answer.headers["content-range"] == f"bytes */{answer.json()['fields']['size']}"


def test_a_part_of_a_file_that_has_changed_is_all_of_it(client: TestClient, shelf: Library, shown: Path) -> None:
    headers = {"Range": "bytes=0-3", "If-Range": '"another"'}
    answer = client.get(f"{API}/photos/{id_of(shelf, 'cat.png')}/file", headers=headers)
    assert (answer.status_code, answer.content) == (200, (shown / "cat.png").read_bytes())


def test_a_file_that_is_gone_is_said(asker: Asker, indexed: Library, photos: Path) -> None:
    client, number = asker(indexed), id_of(indexed, "cat.png")
    (photos / "cat.png").unlink()
    assert client.get(f"{API}/photos/{number}").json()["present"] is False
    answer = client.get(f"{API}/photos/{number}/file")
    assert (answer.status_code, answer.json()["code"]) == (404, "file-gone")
    answer = client.get(f"{API}/photos/{number}/thumb", params={"v": "1"})  # drawn from region tokens
    assert (answer.status_code, answer.headers["X-Rough"]) == (200, "1")
    assert answer.headers["Cache-Control"] == "private, max-age=60"
    assert Image.open(io.BytesIO(answer.content)).size == (256, 170)


def test_a_zip_has_the_files_each_under_its_own_name(asker: Asker, indexed: Library, photos: Path) -> None:
    shutil.copy(photos / "grass.png", photos / "trips" / "cat.png")
    indexed.index()
    client, ids = asker(indexed), [photo.id for photo in indexed]
    (photos / "trips" / "rocket.jpg").unlink()
    answer = client.post(f"{API}/export", json={"ids": ids + ids, "kind": "zip"})
    assert answer.headers["content-disposition"] == 'attachment; filename="photos.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        inside = {name: archive.read(name) for name in archive.namelist()}
    assert inside.pop("left out.txt") == f"{photos / 'trips' / 'rocket.jpg'}: the file is gone\n".encode()
    assert set(inside) == {"cat.png", "cat (2).png", "cameraman.png", "grass.png", "motorcycle.png"}
    assert {inside["cat.png"], inside["cat (2).png"]} == {
        (photos / "cat.png").read_bytes(),
        (photos / "grass.png").read_bytes(),
    }


def test_a_folder_gets_copies_and_nothing_is_replaced(client: TestClient, shelf: Library, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "chosen"
    folder.mkdir(parents=True)
    (folder / "cat.png").write_bytes(b"mine")
    ids = [id_of(shelf, "cat.png"), id_of(shelf, "grass.png")]
    told = client.post(f"{API}/export", json={"ids": ids, "kind": "folder", "folder": str(folder)}).json()
    assert told == {"folder": str(folder), "copied": 2, "skipped": []}
    assert (folder / "cat.png").read_bytes() == b"mine"
    originals = [Path(photo.path).read_bytes() for photo in map(shelf.photo, ids) if photo]
    assert [(folder / name).read_bytes() for name in ("cat (2).png", "grass.png")] == originals


@pytest.mark.parametrize("folder", ["chosen", "../x", "/tmp/../etc", "", None, "/a\0b"])
def test_a_folder_is_named_by_its_whole_path(client: TestClient, shelf: Library, folder: str | None) -> None:
    given = {"ids": [id_of(shelf, "cat.png")], "kind": "folder", "folder": folder}
    answer = client.post(f"{API}/export", json=given)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-path")


def test_nothing_is_copied_into_the_library(client: TestClient, shelf: Library) -> None:
    given = {"ids": [id_of(shelf, "cat.png")], "kind": "folder", "folder": str(shelf.folder / "index")}
    assert client.post(f"{API}/export", json=given).json()["code"] == "bad-path"


def test_what_is_exported_has_limits(asker: Asker, shelf: Library) -> None:
    client = asker(export_bytes=1000)
    assert client.post(f"{API}/export", json={"ids": list(range(1, 10_002))}).status_code == 422
    many = client.post(f"{API}/export", json={"ids": list(range(1, 10_001))})
    assert (many.status_code, many.json()["code"], len(many.json()["fields"]["ids"])) == (404, "unknown-photo", 100)
    large = client.post(f"{API}/export", json={"ids": [id_of(shelf, "cat.png")]})
    assert (large.status_code, large.json()["code"]) == (413, "too-large")


def test_saved_searches_are_kept_beside_the_library(asker: Asker, indexed: Library) -> None:
    client = asker(indexed)
    for name, query in (("a/b", "q=dog"), ("cats", "q=cat"), ("cats", "q=cat&sort=newest"), ("<b>", "q=%22")):
        assert client.post(f"{API}/searches", json={"name": name, "query": query}).status_code == 204
    saved = [{"name": "a/b", "query": "q=dog"}, {"name": "cats", "query": "q=cat&sort=newest"}]
    saved.append({"name": "<b>", "query": "q=%22"})
    assert asker(indexed).get(f"{API}/searches").json() == {"searches": saved}
    assert client.delete(f"{API}/searches/a%2Fb").status_code == 204
    assert client.delete(f"{API}/searches/a%2Fb").json()["code"] == "unknown-search"
    assert client.get(f"{API}/searches").json() == {"searches": saved[1:]}
    for name in (" ", ".", ".."):  # clients resolve dots in addresses, so these could never be deleted
        assert client.post(f"{API}/searches", json={"name": name, "query": ""}).status_code == 422
    (indexed.folder / "searches.json").write_text("{", "utf-8")
    assert client.get(f"{API}/searches").json()["code"] == "searches-unreadable"
    assert client.post(f"{API}/searches", json={"name": "x", "query": ""}).json()["code"] == "searches-unreadable"
    assert (indexed.folder / "searches.json").read_text("utf-8") == "{"


def test_duplicates_are_grouped(asker: Asker, indexed: Library, photos: Path) -> None:
    client = asker(indexed)
    assert client.get(f"{API}/duplicates").json() == {"groups": [], "more": False}
    shutil.copy(photos / "cat.png", photos / "trips" / "copy.png")
    indexed.index()
    (group,) = client.get(f"{API}/duplicates", params={"level": "exact"}).json()["groups"]
    assert {Path(photo["path"]).name for photo in group["photos"]} == {"cat.png", "copy.png"}
    assert (group["level"], group["keep"]) == ("exact", group["photos"][0]["id"])
    assert group["bytes"] == (photos / "cat.png").stat().st_size


def test_scripts_in_names_stay_text(asker: Asker, library: Library, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    name = '"><img src=x onerror=alert(1)>\r\n;.jpg'
    exif = Image.Exif()
    exif[270] = "a dog <script>alert(2)</script>!"
    Image.new("RGB", (40, 30), "red").save(folder / name, exif=exif)
    library.index(folder)
    client = asker(library)
    answer = client.get(f"{API}/search")
    assert answer.headers["content-type"] == "application/json"
    (hit,) = answer.json()["hits"]
    assert (Path(hit["path"]).name, hit["description"]) == (name, "a dog <script>alert(2)</script>!")
    shown = client.get(f"{API}/photos/{hit['id']}/file")
    disposition = shown.headers["content-disposition"]
    assert disposition.startswith('inline; filename="_><img src=x onerror=alert(1)>__;.jpg"; filename*=')
    assert "\r" not in disposition
    archive = client.post(f"{API}/export", json={"ids": [hit["id"]]}).content
    assert zipfile.ZipFile(io.BytesIO(archive)).namelist() == ['"><img src=x onerror=alert(1)>__;.jpg']
    assert json.loads(answer.text)


def test_a_file_is_closed_although_whoever_asked_has_gone_away(shelf: Library) -> None:
    answer = files.response(next(iter(shelf)), {})
    assert isinstance(answer, files.OpenFileResponse)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        raise OSError

    with pytest.raises(ClientDisconnect):
        anyio.run(answer, {"type": "http", "asgi": {"spec_version": "2.4"}}, receive, send)
    assert answer.file.closed
