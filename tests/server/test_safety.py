"""The attack list, on the application: who may ask, by which name, from where, for what, and how much of it."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from served import API, BASE, TOKEN, Asker, id_of

from mmsearch.library.library import Library
from mmsearch.server import ServerOptions
from mmsearch.server.security import Bucket


def addresses(client: TestClient) -> list[tuple[str, str]]:
    """Every method and address that the server has, the page's too."""
    schema = client.get(f"{API}/openapi.json").json()
    found = [(method.upper(), path) for path, item in schema["paths"].items() for method in item]
    filled = [(method, path.replace("{photo_id}", "1").replace("{name}", "x")) for method, path in found]
    return [*filled, ("GET", "/"), ("GET", "/static/index.html"), ("GET", f"{API}/openapi.json"), ("GET", "/nothing")]


def test_nothing_is_answered_without_the_token(asker: Asker) -> None:
    client, stranger = asker(), asker(token="")
    every = addresses(client)
    assert len(every) > 20
    for wrong in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Cookie": "mmsearch_7878=x"},
    ):
        for method, path in every:
            answer = stranger.request(method, path, headers=wrong)
            assert (answer.status_code, answer.json()["code"]) == (401, "no-token"), (method, path)
            assert answer.headers["www-authenticate"] == "Bearer"


def test_the_page_gets_a_cookie_for_the_token(asker: Asker) -> None:
    browser = asker(token="")
    assert browser.get("/", params={"token": "wrong"}).status_code == 401
    entrance = browser.get("/", params={"token": TOKEN, "q": "a dog"})
    assert (entrance.status_code, entrance.headers["location"]) == (303, "/?q=a+dog")
    cookie = entrance.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert TOKEN not in cookie  # it is sent to every server of this machine
    assert browser.get(f"{API}/status").status_code == 200
    assert browser.get(f"{API}/status", params={"token": TOKEN}).status_code == 200
    assert asker(token="").get(f"{API}/status", params={"token": TOKEN}).status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "192.168.1.5:7878", "127.0.0.1:x", "", "[::1", "127.0.0.1@evil"]
)
def test_other_names_of_the_server_are_refused(client: TestClient, host: str) -> None:
    """Another site can have its own name resolve to this machine (DNS rebinding)."""
    for path in ("/", f"/?token={TOKEN}", f"{API}/search", "/static/index.html"):
        answer = client.get(path, headers={"Host": host})
        assert (answer.status_code, answer.json()["code"]) == (403, "wrong-host")


@pytest.mark.parametrize(
    "host", ["127.0.0.1:7878", "localhost", "LOCALHOST:80", "[::1]:7878", "localhost.:1", "localhost:99999"]
)
def test_names_of_this_machine(client: TestClient, host: str) -> None:
    assert client.get(f"{API}/status", headers={"Host": host}).status_code == 200


def test_names_beyond_this_machine() -> None:
    open_to_all = ServerOptions(hosts=frozenset({"photos.example"}), any_address=True)
    named = [open_to_all.allows(host) for host in ("photos.example", "192.168.1.5:80", "[fe80::1]:80", "evil.example")]
    assert named == [True, True, True, False]


WRITES = [
    ("POST", "/search", {"q": ""}),
    ("POST", "/searches", {"name": "x", "query": ""}),
    ("POST", "/index", {}),
    ("POST", "/index/stop", {}),
    ("POST", "/export", {"ids": [1]}),
    ("DELETE", "/searches/x", None),
    ("POST", "/tags", {"ids": [99], "add": ["x"]}),
]


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_no_other_site_writes(asker: Asker, method: str, path: str, body: object) -> None:
    browser = asker(token="")
    browser.get("/", params={"token": TOKEN})
    sites = [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:8000"},
        {"Origin": BASE, "Sec-Fetch-Site": "cross-site"},
        {"Origin": BASE, "Sec-Fetch-Site": "same-site"},
        {},
    ]
    for site in sites:
        answer = browser.request(method, API + path, json=body, headers=site)
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign-origin"), site
    own = browser.request(method, API + path, json=body, headers={"Origin": BASE, "Sec-Fetch-Site": "same-origin"})
    assert own.status_code not in (401, 403)
    with_token = asker().request(method, API + path, json=body, headers={"Origin": "https://evil.example"})
    assert with_token.status_code == 403


def test_no_other_site_reads(asker: Asker) -> None:
    browser = asker(token="")
    browser.get("/", params={"token": TOKEN})
    for site in ("cross-site", "same-site"):
        for path in ("/", f"{API}/search", f"{API}/photos/1/thumb"):
            assert browser.get(path, headers={"Sec-Fetch-Site": site}).json()["code"] == "foreign-origin"
    assert browser.options(f"{API}/search", headers={"Origin": "https://evil.example"}).status_code == 403
    assert "access-control-allow-origin" not in browser.get(f"{API}/search").headers


def test_every_answer_says_what_a_browser_may_do_with_it(asker: Asker) -> None:
    for answer in (
        asker().get(f"{API}/search"),
        asker().get(f"{API}/photos/1/thumb"),
        asker().get("/nothing"),
        asker().get(f"{API}/search", params={"k": 0}),
        asker(token="").get("/"),
    ):
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; ")
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert len(answer.headers["x-request-id"]) == 32


def test_request_ids(client: TestClient) -> None:
    assert client.get(f"{API}/search", headers={"X-Request-Id": "own-1"}).headers["x-request-id"] == "own-1"
    for odd in ("a b", "x" * 65, "<script>", ""):
        assert len(client.get(f"{API}/search", headers={"X-Request-Id": odd}).headers["x-request-id"]) == 32


TRAVERSALS = [
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/etc/passwd",
    "/etc/passwd",
    "....//x",
    "a%00b",
]


@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_path_leads_out(client: TestClient, path: str) -> None:
    for before in ("/static/", f"{API}/photos/", f"{API}/photos/1/", f"{API}/searches/", "/"):
        answer = client.get(before + path)
        assert answer.status_code in (404, 405, 422), before
        assert b"root:" not in answer.content
    assert client.delete(f"{API}/searches/{path}").status_code in (404, 405)
    assert client.get(f"{API}/photos/1/thumb", params={"size": path}).status_code == 422
    assert client.get(f"{API}/search", params={"cursor": path}).status_code in (400, 410)
    assert client.post(f"{API}/index", json={"paths": [path.removeprefix("/")]}).json()["code"] == "bad-path"


def test_numbers_that_are_none(client: TestClient) -> None:
    for number in ("0", "-1", "1.5", "1e3", "9" * 30, "٣", "1;DROP TABLE photos", "NaN"):
        assert client.get(f"{API}/photos/{number}").status_code in (404, 422)
    for number in ("-1", "1001", "x", "NaN"):
        assert client.get(f"{API}/search", params={"k": number}).status_code == 422
    assert client.get(f"{API}/search", params={"min_relevance": "nan"}).status_code == 422


def chunks(size: int, sent: list[int]) -> Iterator[bytes]:
    for _ in range(size // 2**20):
        sent[0] += 2**20
        yield bytes(2**20)


def test_a_picture_without_end_is_refused_while_it_is_read(asker: Asker) -> None:
    client = asker(upload_bytes=2 * 2**20)
    told = client.post(f"{API}/search/image", content=b"x", headers={"Content-Length": str(2**30)})
    assert told.status_code in (413, 422)
    sent = [0]
    answer = client.post(f"{API}/search/image", content=chunks(4 * 2**20, sent))
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
    answer = client.post(f"{API}/search", content=b'{"q": "' + bytes(2**21) + b'"}')
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")


def bomb(side: int) -> bytes:
    """A PNG of a few kilobytes that says that it is this large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "content", [bomb(50_000), b"no picture", b"<svg onload=alert(1)>", b"\xff\xd8\xff", b"GIF89a" + bytes(50)]
)
def test_what_is_no_picture_is_said(client: TestClient, content: bytes) -> None:
    answer = client.post(f"{API}/search/image", content=content)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad-image")


def test_nothing_is_sent(client: TestClient) -> None:
    for given in ({"content": b""}, {"data": {"a": "b"}, "files": {"file": ("x.png", b"")}}):
        answer = client.post(f"{API}/search/image", **given)
        assert (answer.status_code, answer.json()["code"]) == (422, "no-picture")
    answer = client.post(f"{API}/search/image", files=[("f", io.BytesIO(b"1")), ("f", io.BytesIO(b"2"))])
    assert answer.status_code == 400


def test_a_server_that_only_reads_writes_nothing(asker: Asker, shelf: Library, tmp_path: Path) -> None:
    client = asker(read_only=True)
    before = {file: file.stat().st_mtime_ns for file in shelf.folder.rglob("*.json")}
    folder = {"ids": [id_of(shelf, "cat.png")], "kind": "folder", "folder": str(tmp_path / "x")}
    for method, path, body in [*WRITES[1:4], *WRITES[5:], ("POST", "/export", folder)]:
        answer = client.request(method, API + path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "read-only"), path
    assert client.post(f"{API}/search", json={"q": "a cat"}).status_code == 200
    assert client.get(f"{API}/status").json()["read_only"] is True
    assert {file: file.stat().st_mtime_ns for file in shelf.folder.rglob("*.json")} == before
    assert not (tmp_path / "x").exists()


def test_from_another_machine_no_folder_is_named(asker: Asker, shelf: Library, tmp_path: Path) -> None:
    client = asker(local=False)
    folder = {"ids": [id_of(shelf, "cat.png")], "kind": "folder", "folder": str(tmp_path / "x")}
    assert client.post(f"{API}/export", json=folder).json()["code"] == "not-local"
    assert client.post(f"{API}/index", json={"paths": [str(tmp_path)]}).json()["code"] == "not-local"
    assert "export-folder" not in client.get(f"{API}/status").json()["features"]


def test_too_many_requests_are_told_to_wait(asker: Asker) -> None:
    client = asker(requests_per_second=0.1, burst=3)
    answers = [client.get("/nothing") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 429]
    assert answers[-1].json()["code"] == "too-many-requests"
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_a_bucket_fills_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("mmsearch.server.security.time.monotonic", lambda: now[0])
    bucket = Bucket(rate=2.0, burst=1)
    assert [bucket.take(), bucket.take()] == [0.0, 0.5]
    now[0] += 0.5
    assert bucket.take() == 0.0


def test_a_fault_of_the_server_tells_nothing_of_itself(asker: Asker, caplog: pytest.LogCaptureFixture) -> None:
    client = asker()
    del client.app.state.context.lists  # type: ignore[attr-defined]
    answer = client.get(f"{API}/search")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal-error")
    assert "lists" not in answer.text
    assert answer.json()["fields"] == {"request": answer.headers["x-request-id"]}
    assert "AttributeError" in caplog.text


def test_the_log_has_no_queries(asker: Asker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "mmsearch.server")
    asker().get(f"{API}/search", params={"q": "secret dog"})
    assert f"GET {API}/search 200" in caplog.text
    assert "secret" not in caplog.text


def test_a_person_without_the_token_reads_what_to_do(asker: Asker) -> None:
    answer = asker(token="").get("/", headers={"Accept": "text/html,*/*"})
    assert (answer.status_code, answer.headers["content-type"]) == (401, "text/plain; charset=utf-8")
    assert answer.text.startswith("mmsearch: open the address that `mmsearch serve` printed")


def test_wrong_methods_are_problems_too(client: TestClient) -> None:
    answer = client.put(f"{API}/search")
    assert (answer.status_code, answer.json()["code"]) == (405, "method-not-allowed")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "GET" in answer.headers["allow"]
