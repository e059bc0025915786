"""Files in an object store and on a web server: listed, looked at and opened, also where something goes wrong."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import object_server
import pytest
from object_server import Asked, Fault, ObjectServer, between

from mmsearch.errors import SourceError
from mmsearch.media import object_store
from mmsearch.media.filesystem import open_regular, opened_status, read_regular, status_of
from mmsearch.media.object_store import PART, WHOLE, Limits, listed, open_remote, status
from mmsearch.media.remote_path import file_name, is_remote, link, normal
from mmsearch.types import Found, Skipped

SHORT = Limits(connect=5, answer=1, retries=1, longest=0.05, together=5)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> ObjectServer:
    return object_server.use(monkeypatch)


@pytest.fixture
def bucket(server: ObjectServer) -> str:
    return server.bucket()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a web server that sends the files of ``tmp_path``, but no parts of them."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path)))
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    made.server_close()


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("S3://Photos/a/", "s3://Photos/a"),
        ("s3://photos", "s3://photos"),
        ("s3://photos/a b/ä#?%20.jpg", "s3://photos/a b/ä#?%20.jpg"),
        ("HTTPS://Example.org/A%20b.jpg?x=/1#top", "https://example.org/A%20b.jpg?x=/1"),
    ],
)
def test_an_address_is_written_in_one_way(given: str, wanted: str) -> None:
    assert (is_remote(given), normal(given), normal(wanted)) == (True, wanted, wanted)


@pytest.mark.parametrize("given", ["s3://", "gs:///a", "https://", "s3://b/a//c", "az://b/../c", "s3://b/a\0"])
def test_addresses_that_lead_nowhere(given: str) -> None:
    with pytest.raises(SourceError):
        normal(given)


def test_what_is_no_address() -> None:
    given = ("/a/b", "s3:/a", "file:///a", "ftp://a/b", "a dog", Path("s3://a/b"))
    assert [one for one in given if is_remote(one)] == []


def test_names_and_links_of_addresses() -> None:
    assert file_name("https://host/a/b%20c.jpg?d=e/f") == "b c.jpg"
    assert [file_name(one) for one in ("s3://b/d/e?f.jpg", "/d/e.jpg", "https://host/")] == ["e?f.jpg", "e.jpg", "host"]
    assert link("s3://b/a #?.jpg") == "s3://b/a%20%23%3F.jpg"
    assert (link("https://h/a%20b?c"), link("/a b")) == ("https://h/a%20b?c", "file:///a%20b")


ODD = ["a.jpg", "dir/b c.jpg", "dir/ä#?%20.jpg", "dir/x+y&z.jpg", "k[1]*^~.jpg"]


def test_keys_are_asked_for_as_they_are_listed(server: ObjectServer, bucket: str) -> None:
    for key in ODD:
        server.put(bucket, key, key.encode())
    found = [one for one in listed(f"s3://{bucket}") if isinstance(one, Found)]
    assert sorted(one.path for one in found) == sorted(f"s3://{bucket}/{key}" for key in ODD)
    for one in found:
        with open_regular(one.path) as opened:
            assert opened.read() == one.path.removeprefix(f"s3://{bucket}/").encode()
            assert opened_status(opened) == status_of(one.path) == (one.size, one.mtime_ns)


def test_a_listing_is_of_whole_names(server: ObjectServer, bucket: str) -> None:
    for number in range(12):
        server.put(bucket, f"many/{number}.jpg", b"1")
    server.put(bucket, "many.jpg", b"1")
    server.put(bucket, "many more/a.jpg", b"1")
    assert len(list(listed(f"s3://{bucket}/many"))) == 12
    assert list(listed(f"s3://{bucket}/man")) == []
    assert len(list(listed(f"s3://{bucket}"))) == 14
    assert [one.path for one in listed(f"s3://{bucket}/many.jpg")] == [f"s3://{bucket}/many.jpg"]


def test_a_name_that_cannot_be_asked_for_hides_its_folder_alone(server: ObjectServer, bucket: str) -> None:
    for key in ("a/b//c.jpg", "a/d/e.jpg", "a/f.jpg"):
        server.put(bucket, key, b"1")
    found = list(listed(f"s3://{bucket}/a"))
    wanted = {f"s3://{bucket}/a/{name}" for name in ("d/e.jpg", "f.jpg")}
    assert {one.path for one in found if isinstance(one, Found)} == wanted
    [odd] = [one for one in found if isinstance(one, Skipped)]
    assert odd.path == f"s3://{bucket}/a/b"
    assert odd.reason.startswith("it has a name that cannot be asked for: a/b//")


def test_what_is_not_there(server: ObjectServer, bucket: str) -> None:
    server.put(bucket, "a.jpg", b"1")
    with pytest.raises(FileNotFoundError, match="no such file"):
        open_remote(f"s3://{bucket}/b.jpg")
    with pytest.raises(OSError, match="no such bucket"):
        list(listed("s3://mmsearch-no-such-bucket"))
    with pytest.raises(OSError, match="no such bucket"):
        open_remote("s3://mmsearch-no-such-bucket/a.jpg")
    with pytest.raises(SourceError, match="no such file or folder"):
        object_store.check(f"s3://{bucket}/folder")
    object_store.check(f"s3://{server.bucket()}")  # an empty one is there


def test_a_large_file_is_read_in_parts_and_anywhere(server: ObjectServer, bucket: str) -> None:
    content = os.urandom(WHOLE + 2 * PART + 17)
    server.put(bucket, "film.mp4", content)
    with between(lambda _: None) as proxy:
        os.environ["AWS_ENDPOINT_URL"] = proxy.url
        with open_remote(f"s3://{bucket}/film.mp4") as opened:
            assert not isinstance(opened, io.BytesIO)
            opened.seek(PART - 5)
            assert opened.read(10) == content[PART - 5 : PART + 5]
            opened.seek(-7, os.SEEK_END)
            assert (opened.read(), opened.read()) == (content[-7:], b"")
            opened.seek(0)
            assert opened.read() == content
        ranges = [one.headers["range"] for one in proxy.asked if "range" in one.headers]
    assert ranges[:3] == [f"bytes=0-{PART - 1}", f"bytes={PART}-{2 * PART - 1}", f"bytes={6 * PART}-{6 * PART + 16}"]


def test_a_large_file_that_changes_while_it_is_read(server: ObjectServer, bucket: str) -> None:
    server.put(bucket, "film.mp4", bytes(WHOLE + PART))
    with open_remote(f"s3://{bucket}/film.mp4") as opened:
        assert opened.read(1) == b"\0"
        server.put(bucket, "film.mp4", b"1" * (WHOLE + PART))
        opened.seek(WHOLE)
        with pytest.raises(OSError, match="changed while it was read"):
            opened.read(1)


def _faulty(monkeypatch: pytest.MonkeyPatch, fault: Callable[[Asked], Fault | None], ask: Callable[[], object]) -> str:
    """The reason why it fails."""
    with between(fault) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        with pytest.raises(OSError, match=r"\w") as caught:
            ask()
    assert caught.value.errno is not None
    return str(caught.value.strerror)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(503, "SlowDown"), "the store is too busy (503 SlowDown)"),
        (Fault(500, "InternalError"), "the store has a fault of its own (500 InternalError)"),
        (Fault(403, "AccessDenied"), "permission denied (403 AccessDenied)"),
        (Fault(403, "InvalidAccessKeyId"), "the store does not take these keys (403 InvalidAccessKeyId)"),
        (Fault(401, "Unauthorized"), "the store wants to know who asks (401 Unauthorized)"),
    ],
)
def test_what_a_store_refuses_is_said_in_words(
    fault: Fault, reason: str, server: ObjectServer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put(bucket, "a.jpg", b"12345")
    assert _faulty(monkeypatch, lambda _: fault, lambda: open_remote(f"s3://{bucket}/a.jpg", SHORT)) == reason
    assert _faulty(monkeypatch, lambda _: fault, lambda: list(listed(f"s3://{bucket}", SHORT))) == reason


def test_a_store_that_is_busy_for_a_while_is_asked_again(
    server: ObjectServer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put(bucket, "a.jpg", b"12345")
    answers = iter([Fault(503, "SlowDown"), Fault(500, "InternalError")])
    with between(lambda _: next(answers, None)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        with open_remote(f"s3://{bucket}/a.jpg") as opened:
            assert opened.read() == b"12345"
    assert len(proxy.asked) == 3


def test_a_store_that_does_not_answer(server: ObjectServer, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server.put(bucket, "a.jpg", b"12345")
    gate = threading.Event()
    try:
        said = _faulty(monkeypatch, lambda _: Fault(gate=gate), lambda: status(f"s3://{bucket}/a.jpg", SHORT))
    finally:
        gate.set()
    assert said == "the store did not answer in time"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(OSError, match="the store cannot be reached"):
        status(f"s3://{bucket}/a.jpg", SHORT)


def test_a_body_that_ends_early_is_asked_for_again_and_never_taken_for_the_file(
    server: ObjectServer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put(bucket, "a.jpg", b"1234567890")
    bodies = iter([Fault(cut=4)])
    with between(lambda _: next(bodies, None)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        assert read_regular(f"s3://{bucket}/a.jpg") == b"1234567890"
    said = _faulty(monkeypatch, lambda _: Fault(cut=0), lambda: open_remote(f"s3://{bucket}/a.jpg", SHORT))
    assert said == "the connection broke off in the middle"


def test_without_keys_nobody_waits_for_those_of_a_cloud(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(OSError, match=r"cannot be reached|no keys"):
        status(f"s3://{bucket}/a.jpg", SHORT)


def test_a_public_bucket_is_asked_without_a_name(
    server: ObjectServer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put(bucket, "a.jpg", b"12345")
    with between(lambda _: Fault(403, "AccessDenied")) as proxy:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
        with pytest.raises(PermissionError):
            status(f"s3://{bucket}/a.jpg", SHORT)
    assert ["authorization" in one.headers for one in proxy.asked] == [False]


def test_buckets_of_google(server: ObjectServer, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Google's XML interface answers as S3 does; its client percent-encodes all of a key."""
    server.put(bucket, "dir/a b.jpg", b"12345")
    with between(lambda _: None) as proxy:
        proxy.rewrite = lambda path: unquote(path).replace(" ", "%20")
        proxy.signed = True
        nobody = {"client_email": "", "private_key": "", "private_key_id": ""}
        key = {"gcs_base_url": proxy.url, "disable_oauth": True, **nobody}
        monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(key))
        [found] = listed(f"gs://{bucket}")
        assert (found.path, read_regular(found.path)) == (f"gs://{bucket}/dir/a b.jpg", b"12345")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no process is forked there")
def test_a_forked_process_is_told_to_start_anew(server: ObjectServer, bucket: str) -> None:
    """Where the parent has asked a store, a forked process would wait for ever."""
    server.put(bucket, "a.jpg", b"12345")
    code = (
        "import os, sys\n"
        "from mmsearch.media.object_store import status\n"
        "status(sys.argv[1])\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    try: status(sys.argv[1])\n"
        "    except OSError as error: os._exit(3 if 'forked' in str(error) else 4)\n"
        "    os._exit(5)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    command = [sys.executable, "-c", code, f"s3://{bucket}/a.jpg"]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout == "3\n"


def test_files_of_a_web_server(web: str, tmp_path: Path) -> None:
    for name in ("a.jpg", "b c%41.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    for asked, name in (("a.jpg", "a.jpg"), ("b%20c%2541.jpg?x=1", "b c%41.jpg"), ("a.jpg?", "a.jpg")):
        path = f"{web}/{asked}"
        assert read_regular(path) == name.encode()
        written = int((tmp_path / name).stat().st_mtime) * 10**9
        assert list(listed(path)) == [Found(path, len(name), written)]
    with pytest.raises(FileNotFoundError):
        read_regular(f"{web}/nothing.jpg")


def test_a_large_file_of_a_server_that_sends_no_parts(web: str, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(bytes(WHOLE + 1))
    with open_remote(f"{web}/film.mp4") as opened, pytest.raises(OSError, match="sends no parts"):
        opened.read(1)


def test_a_server_that_does_not_answer_head(server: ObjectServer, bucket: str) -> None:
    server.put(bucket, "a.jpg", b"12345")
    refused = lambda asked: Fault(403, "AccessDenied") if asked.method == "HEAD" else None  # noqa: E731
    with between(refused) as proxy:
        proxy.signed = True
        assert status(f"{proxy.url}/{bucket}/a.jpg").size == 5
        assert [one.method for one in proxy.asked] == ["HEAD", "GET"]
