"""Decoding in processes of its own: what goes wrong there costs one photo."""

from __future__ import annotations

import io
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import hostile
import numpy as np
import pytest
from PIL import Image
from samples import CLI

from mmsearch.config import Settings, load
from mmsearch.encoders.factory import EMBEDDED
from mmsearch.encoders.onnx.encoder import OnnxEncoder
from mmsearch.errors import ConfigError, ImageError, MMSearchError
from mmsearch.ingest.options import Options
from mmsearch.ingest.prefetch import read_ahead
from mmsearch.library.opening import open_library
from mmsearch.media.decode import decode
from mmsearch.media.discover import walk
from mmsearch.media.memory_budget import Budget
from mmsearch.media.worker_pool import Decode, Decoders
from mmsearch.store.open import MARK
from mmsearch.types import Found, Pixels, Preprocess, Regions, Vectors

SMALL = Preprocess(size=8)
FAULTY = "faulty_decoders:faulty"
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def photo(colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (60, 40), colour).save(buffer, "PNG")
    return buffer.getvalue()


def reason(decoder: Decode, name: str) -> str:
    with pytest.raises(ImageError) as caught:
        decoder(io.BytesIO(photo()), name, SMALL, 200.0)
    assert caught.value.path == name
    return caught.value.reason


@pytest.fixture(scope="module")
def faulty() -> Iterator[Decoders]:
    with Decoders(1, decoder=FAULTY) as decoders:
        yield decoders


def outcome(decoder: Decode, content: bytes, path: str) -> object:
    """What comes of it, so that it can be compared."""
    try:
        found = decoder(io.BytesIO(content), path, SMALL, 30.0)
    except ImageError as error:
        return error.path, error.reason, error.retry
    return found.pixels.tobytes(), found.width, found.height, found.format, found.exif, found.description


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_all_comes_out_as_without_processes() -> None:
    contents = hostile.contents()
    with Decoders(2) as decoders, ThreadPoolExecutor(4) as threads:
        apart = list(threads.map(lambda content: outcome(decoders.decode, content, "a.tga"), contents))
    assert apart == [outcome(decode, content, "a.tga") for content in contents]


def test_a_file_that_is_not_in_memory_is_opened_by_its_path(tmp_path: Path, faulty: Decoders) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(photo("blue"))
    with path.open("rb") as file:
        assert faulty.decode(file, str(path), SMALL).pixels[0, 0].tolist() == [0, 0, 255]
        path.unlink()
        with pytest.raises(ImageError) as caught:
            faulty.decode(file, str(path), SMALL)
    assert (caught.value.reason, caught.value.retry) == ("cannot be read: No such file or directory", True)


def test_a_hang_costs_one_photo() -> None:
    with Decoders(1, seconds=3, decoder=FAULTY) as decoders:
        assert reason(decoders.decode, "hang.png") == "decoding took longer than 3 s and was stopped"
        assert decoders.decode(io.BytesIO(photo()), "x.png", SMALL).width == 60


@posix
def test_a_crash_costs_one_photo(faulty: Decoders) -> None:
    for _ in range(2):
        assert reason(faulty.decode, "crash.png") == f"the decoder crashed (signal {signal.SIGSEGV.value})"
        assert faulty.decode(io.BytesIO(photo()), "x.png", SMALL).width == 60


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold to the limit")
def test_too_much_memory_costs_one_photo() -> None:
    with Decoders(1, memory=2**30, decoder=FAULTY) as decoders:
        for name in ("eat.png", "choke.png"):
            with pytest.raises(ImageError) as caught:
                decoders.decode(io.BytesIO(photo()), name, SMALL)
            assert (caught.value.reason, caught.value.retry) == ("not enough memory to decode it", False)
        assert decoders.decode(io.BytesIO(photo()), "x.png", SMALL).width == 60


@pytest.mark.parametrize(("name", "code"), [("leave.png", 3), ("bug.png", 1)])
def test_a_process_that_ends_costs_one_photo(name: str, code: int, faulty: Decoders) -> None:
    assert reason(faulty.decode, name) == f"the decoder crashed (exit code {code})"
    assert faulty.decode(io.BytesIO(photo()), "x.png", SMALL).width == 60


def test_what_a_decoder_prints_is_not_seen(faulty: Decoders, capfd: pytest.CaptureFixture[str]) -> None:
    assert faulty.decode(io.BytesIO(photo()), "noise.png", SMALL).width == 60
    assert capfd.readouterr() == ("", "")


def test_the_processes_are_light(faulty: Decoders) -> None:
    assert reason(faulty.decode, "heavy.png") == ""


def test_room_for_pixels_is_taken_from_one_budget() -> None:
    class Watched(Budget):
        amounts: list[float] = []  # noqa: RUF012

        @contextmanager
        def share(self, amount: float) -> Iterator[None]:
            with super().share(amount):
                self.amounts.append(self.taken)
                yield

    budget = Watched(1e6)
    with Decoders(1, in_flight=budget) as decoders:
        decoders.decode(io.BytesIO(photo()), "x.png", SMALL)
    assert (budget.amounts, budget.taken) == ([2400.0], 0)


def test_a_process_that_cannot_be_started_ends_the_run(capfd: pytest.CaptureFixture[str]) -> None:
    with (
        Decoders(1, decoder="no_such_module:decode") as decoders,
        pytest.raises(MMSearchError, match=r"a process to decode pictures cannot be started"),
    ):
        decoders.decode(io.BytesIO(photo()), "x.png", SMALL)
    assert "No module named 'no_such_module'" in capfd.readouterr().err


@posix
def test_no_process_is_left() -> None:
    with Decoders(1, decoder=FAULTY) as decoders:
        pid = int(reason(decoders.decode, "pid.png"))
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(MMSearchError, match="closed"):
        decoders.decode(io.BytesIO(photo()), "x.png", SMALL)


@posix
def test_photos_around_a_crash_are_read(tmp_path: Path) -> None:
    names = [f"{kind}-{number}.png" for number in range(5) for kind in ("crash", "good", "leave")]
    for name in names:
        (tmp_path / name).write_bytes(photo() + name.encode())
    files = [item for item in walk(str(tmp_path)) if isinstance(item, Found)]
    with Decoders(2, decoder=FAULTY) as decoders:
        read = list(read_ahead(files, set(), SMALL, Options(decoders=3), decoders.decode))
    assert [Path(item.file.path).name for item in read] == sorted(names)
    assert {Path(item.file.path).name for item in read if item.picture} == {f"good-{n}.png" for n in range(5)}
    assert all(item.failure and not item.retry for item in read if not item.picture)


def test_the_setting_has_three_values(tmp_path: Path) -> None:
    assert load(tmp_path / "none.toml", {"MMSEARCH_ISOLATE": "always"}).isolate == "always"
    with pytest.raises(ConfigError, match="isolate must be auto, always or never, not 'true'"):
        load(tmp_path / "none.toml", {"MMSEARCH_ISOLATE": "true"})


class Failing(OnnxEncoder):
    """Fails in the middle of a run."""

    broken = True

    def encode_pictures(self, pixels: Pixels) -> tuple[Vectors, Regions | None]:
        if self.broken:
            raise RuntimeError("died")
        return super().encode_pictures(pixels)


def test_the_run_after_one_that_died_is_isolated(
    settings: Settings, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    failing = Failing(EMBEDDED)
    mark = settings.library / MARK
    with open_library(settings.library, settings=settings, encoder=failing) as own:
        with pytest.raises(RuntimeError, match="died"):
            own.index(photos)
        assert not mark.exists()  # an error is no crash
        mark.touch()  # as a program leaves it that is killed
        failing.broken = False
        caplog.set_level("INFO", "mmsearch")
        assert own.index(photos).encoded == 5
        assert not mark.exists()
    assert "the last run broke off: pictures are decoded in processes of their own this time" in caplog.messages


def vectors(library: Path) -> dict[bytes, Vectors]:
    """By path."""
    query = (
        "SELECT photos.path, embeddings.vector FROM photos "
        "JOIN items USING (content_id) JOIN embeddings ON item_id = items.id WHERE photos.state = 'ok'"
    )
    database = sqlite3.connect(library / "library.sqlite")
    try:
        return {bytes(path): np.frombuffer(vector, "<f2") for path, vector in database.execute(query)}
    finally:
        database.close()


def test_an_isolated_run_of_the_command_gives_the_same_vectors(tmp_path: Path, mmsearch: CLI) -> None:
    corpus = hostile.make(tmp_path / "corpus")
    folders = [str(corpus.folder / name) for name in ("cut", "exif", "frames", "modes", "names", "tiffs")]
    said = {}
    for name in ("together", "apart"):
        library = tmp_path / name
        library.mkdir()
        if name == "apart":
            (library / MARK).touch()  # as a run leaves it that died
        command = ["index", "--model", "embedded", "--library", library, *folders, "--json"]
        done = mmsearch(*command, MMSEARCH_BATCH="1")  # so that each picture is encoded once for both
        said[name] = done.stderr
    assert said == {
        "together": "using the embedded model\n",
        "apart": "using the embedded model\n"
        "the last run broke off: pictures are decoded in processes of their own this time\n",
    }
    together, apart = vectors(tmp_path / "together"), vectors(tmp_path / "apart")
    assert len(together) > 80
    assert together.keys() == apart.keys()
    for path, vector in together.items():
        np.testing.assert_allclose(apart[path].astype(np.float32), vector.astype(np.float32), atol=2e-3)


@pytest.mark.parametrize(
    ("option", "mark", "isolated"),
    [("--isolate", False, True), ("--no-isolate", True, False), (None, False, False), (None, True, True)],
)
def test_an_option_says_whether_there_are_processes(
    option: str | None, mark: bool, isolated: bool, tmp_path: Path, photos: Path, mmsearch: CLI
) -> None:
    witness = tmp_path / "witness"
    witness.mkdir()
    (witness / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if any('mmsearch.media.worker_pool' in argument for argument in sys.orig_argv):\n"
        "    open(os.path.join(os.path.dirname(__file__), 'started'), 'w').close()\n"
    )
    library = tmp_path / "library"
    library.mkdir()
    if mark:
        (library / MARK).touch()
    command = ["index", "--model", "embedded", "--library", library, photos, "--json"]
    done = mmsearch(*command, *([option] if option else []), PYTHONPATH=str(witness))
    assert len(vectors(library)) == 5
    assert (witness / "started").exists() == isolated
    assert ("the last run broke off" in done.stderr) == (mark and isolated)
    assert not (library / MARK).exists()
