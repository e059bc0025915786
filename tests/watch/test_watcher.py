"""A library follows its folders: real files, real events, one step of ``watch`` at a time."""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from samples import SAMPLES

from mmsearch.errors import LibraryError, ModelError, SourceError, WatchError
from mmsearch.library.library import Library
from mmsearch.media.filesystem import on_network
from mmsearch.types import IndexReport
from mmsearch.watch.events import Sight
from mmsearch.watch.watcher import Away, Back, Event, Failed, Pace, Ran, Watching, watch

PACE = Pace(quiet=1.0, busy=0.2, retry=0.2, gentle=0)
POLLING = replace(PACE, poll=0.2)
Events = Generator[Event, None, None]


def step(events: Events) -> Event:
    """What is said next.  A minute without a word is a failure, not a hang."""
    said: queue.SimpleQueue[Event] = queue.SimpleQueue()
    threading.Thread(target=lambda: said.put(next(events)), daemon=True).start()
    return said.get(timeout=60)


def counts(event: Event) -> dict[str, int]:
    """What a run did, without zeros."""
    assert isinstance(event, Ran), event
    names = ("added", "updated", "moved", "restored", "unchanged", "removed", "encoded", "sidecars")
    return {name: getattr(event.report, name) for name in names if getattr(event.report, name)}


@pytest.fixture(params=["events", "polling"])
def pace(request: pytest.FixtureRequest) -> Pace:
    """Both ways to notice a change."""
    return PACE if request.param == "events" else POLLING


@pytest.fixture
def watched(library: Library, photos: Path, pace: Pace) -> Iterator[Events]:
    """Five photos, watched; the first run is done."""
    with closing(watch(library, [photos], pace=pace)) as events:
        assert counts(step(events)) == {"added": 5, "encoded": 5}
        assert step(events) == Watching((str(photos),))
        yield events


def test_a_new_file_and_a_deleted_one(watched: Events, photos: Path, library: Library) -> None:
    shutil.copy(SAMPLES / "coffee.png", photos / "coffee.png")
    assert counts(step(watched)) == {"added": 1, "unchanged": 5, "encoded": 1}
    (photos / "coffee.png").unlink()
    assert counts(step(watched)) == {"unchanged": 5, "removed": 1}
    assert library.status().photos == 5


def test_a_burst_is_one_run(watched: Events, photos: Path) -> None:
    content = (SAMPLES / "rocket.jpg").read_bytes()
    for number in range(60):
        (photos / f"{number}.jpg").write_bytes(content + bytes(number + 1))
    assert counts(step(watched)) == {"added": 60, "unchanged": 5, "encoded": 60}


def test_a_file_is_read_when_it_is_whole(watched: Events, photos: Path) -> None:
    content = (SAMPLES / "coffee.png").read_bytes()
    with (photos / "coffee.png").open("wb", buffering=0) as file:
        for start in range(0, len(content), len(content) // 8):
            file.write(content[start : start + len(content) // 8])
            time.sleep(0.1)
    ran = step(watched)
    assert counts(ran) == {"added": 1, "unchanged": 5, "encoded": 1}
    assert isinstance(ran, Ran)
    assert ran.report.skipped == ()


def test_a_renamed_folder_keeps_its_vectors(watched: Events, photos: Path) -> None:
    (photos / "trips").rename(photos / "travels 2024.05")
    assert counts(step(watched)) == {"moved": 2, "unchanged": 3}
    shutil.copy(SAMPLES / "coffee.png", photos / "travels 2024.05")
    assert counts(step(watched)) == {"added": 1, "unchanged": 5, "encoded": 1}


def test_a_folder_that_moves_out_is_noticed(watched: Events, photos: Path, tmp_path: Path) -> None:
    (photos / "trips").rename(tmp_path / "elsewhere")
    assert counts(step(watched)) == {"unchanged": 3, "removed": 2}


def test_a_folder_moves_between_roots(library: Library, photos: Path, tmp_path: Path, pace: Pace) -> None:
    (tmp_path / "other").mkdir()
    with closing(watch(library, [photos, tmp_path / "other"], pace=pace)) as events:
        assert counts(step(events)) == {"added": 5, "encoded": 5}
        step(events)
        (photos / "trips").rename(tmp_path / "other" / "trips")
        assert counts(step(events)).get("moved") == 2


def test_sidecars_are_read(watched: Events, photos: Path) -> None:
    (photos / "cat.txt").write_text("Tabby on the sofa")
    assert counts(step(watched)) == {"unchanged": 5, "sidecars": 1}


def test_files_that_are_no_pictures_start_no_run(watched: Events, photos: Path, library: Library) -> None:
    (photos / ".hidden").mkdir()
    for name in ("cat.png~", ".cat.png.swp", "4913", ".hidden/cat.png", "notes.md", "#cat.png#"):
        (photos / name).write_bytes(b"draft")
    (photos / "4913").unlink()
    (photos / "cat.png~").rename(photos / "cat.bak")
    time.sleep(3)
    shutil.copy(SAMPLES / "coffee.png", photos)
    assert counts(step(watched)) == {"added": 1, "unchanged": 5, "encoded": 1}


def test_a_library_among_its_photos_is_left_alone(library: Library, tmp_path: Path, photos: Path, pace: Pace) -> None:
    with closing(watch(library, [tmp_path], pace=pace)) as events:
        assert counts(step(events))["added"] == 5
        step(events)
        (library.folder / "cat.png").write_bytes(b"no picture")
        (library.folder / "cat.json").write_text("{}")
        time.sleep(3)
        (photos / "cat.txt").write_text("Tabby")
        assert counts(step(events)).get("sidecars") == 1


def test_a_folder_that_goes_away_is_waited_for(watched: Events, photos: Path, library: Library) -> None:
    photos.rename(photos.with_name("unplugged"))
    assert step(watched) == Away(str(photos))
    assert (library.status().photos, library.status().missing) == (5, 0)
    photos.with_name("unplugged").rename(photos)
    assert step(watched) == Back(str(photos))
    assert counts(step(watched)) == {"unchanged": 5}
    shutil.copy(SAMPLES / "coffee.png", photos)
    assert counts(step(watched)) == {"added": 1, "unchanged": 5, "encoded": 1}


def test_a_known_folder_may_be_away_at_the_start(library: Library, photos: Path, pace: Pace) -> None:
    library.index(photos)
    photos.rename(photos.with_name("unplugged"))
    with closing(watch(library, pace=pace)) as events:
        assert [step(events), step(events)] == [Away(str(photos)), Watching((str(photos),))]
        photos.with_name("unplugged").rename(photos)
        assert step(events) == Back(str(photos))
        assert counts(step(events)) == {"unchanged": 5}


def test_a_single_file_is_watched(library: Library, photos: Path, pace: Pace) -> None:
    file = photos / "cat.png"
    with closing(watch(library, [file], pace=pace)) as events:
        assert counts(step(events)) == {"added": 1, "encoded": 1}
        step(events)
        shutil.copy(SAMPLES / "coffee.png", photos / "coffee.png")  # of which nobody spoke
        time.sleep(1)
        shutil.copy(SAMPLES / "coffee.png", photos / ".draft")
        (photos / ".draft").rename(file)  # as editors save
        assert counts(step(events)) == {"updated": 1, "encoded": 1}


def test_what_is_left_out_starts_no_run(library: Library, photos: Path, pace: Pace) -> None:
    with closing(watch(library, [photos], exclude=["trips"], pace=pace)) as events:
        assert counts(step(events)) == {"added": 3, "encoded": 3}
        step(events)
        shutil.copy(SAMPLES / "coffee.png", photos / "trips")
        time.sleep(3)
        shutil.copy(SAMPLES / "coffee.png", photos)
        assert counts(step(events)) == {"added": 1, "unchanged": 3, "encoded": 1}


def test_what_is_left_out_is_remembered(library: Library, photos: Path, pace: Pace) -> None:
    library.index(photos, exclude="trips")
    with closing(watch(library, pace=pace)) as events:
        assert counts(step(events)) == {"unchanged": 3}
        step(events)
        shutil.copy(SAMPLES / "coffee.png", photos / "trips")
        time.sleep(3)
        shutil.copy(SAMPLES / "coffee.png", photos)
        assert counts(step(events)) == {"added": 1, "unchanged": 3, "encoded": 1}


def test_a_busy_library_is_waited_for(library: Library, photos: Path) -> None:
    with closing(watch(library, [photos], pace=PACE)) as events:
        with library.lock():
            first, second = step(events), step(events)
        assert isinstance(first, Failed)
        assert isinstance(second, Failed)
        assert (first.tries, first.seconds, second.tries, second.seconds) == (1, 0.2, 2, 0.4)
        while isinstance(event := step(events), Failed):
            pass
        assert counts(event) == {"added": 5, "encoded": 5}


def test_an_error_in_a_run_is_said_and_tried_again(library: Library, photos: Path) -> None:
    failures: list[Exception] = []

    def index(roots: object) -> IndexReport:
        if failures:
            raise failures.pop()
        return library.index([photos])

    with closing(watch(library, [photos], index=index, pace=PACE)) as events:
        step(events), step(events)
        full, gone = OSError(28, "No space left on device"), ModelError("the model is gone")
        failures += [gone, full]
        shutil.copy(SAMPLES / "coffee.png", photos)
        assert [step(events), step(events)] == [Failed(full, 0.2, 1), Failed(gone, 0.4, 2)]
        assert counts(step(events)) == {"added": 1, "unchanged": 5, "encoded": 1}
        failures.append(full)
        (photos / "coffee.png").unlink()
        assert step(events) == Failed(full, 0.2, 1)  # after a success, waits are short again


def test_only_what_may_go_away_is_tried_again_at_the_start(library: Library, photos: Path) -> None:
    failures: list[Exception] = [ModelError("there is no such model"), LibraryError("the disk is full")]

    def index(roots: object) -> IndexReport:
        raise failures.pop()

    with closing(watch(library, [photos], index=index, pace=PACE)) as events:
        assert isinstance(step(events), Failed)
        with pytest.raises(ModelError, match="no such model"):
            next(events)


def test_wrong_paths_are_refused_at_once(library: Library, photos: Path) -> None:
    with pytest.raises(SourceError, match="knows no folder yet"):
        next(watch(library))
    with pytest.raises(SourceError, match="no such file or folder"):
        next(watch(library, [photos / "nowhere"]))
    with pytest.raises(SourceError, match="the path is empty"):
        next(watch(library, [""]))


def test_without_watchfiles_polling_is_left(library: Library, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)  # as if it were not installed
    with pytest.raises(WatchError, match=r"pip install 'mmsearch\[watch\]'"):
        next(watch(library, [photos]))
    with closing(watch(library, [photos], pace=POLLING)) as events:
        assert counts(step(events)) == {"added": 5, "encoded": 5}


def test_a_failing_file_and_a_note_are_told_once(library: Library, photos: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"no picture")
    with closing(watch(library, [photos], pace=PACE)) as events:
        first = step(events)
        step(events)
        (photos / "cat.png").touch()
        second = step(events)
    assert isinstance(first, Ran)
    assert isinstance(second, Ran)
    assert [item.path for item in first.fresh.skipped] == [str(photos / "bad.jpg")]
    assert second.report.skipped == first.report.skipped
    assert (second.fresh.skipped, second.news) == ((), False)


LIMITED = """
import sys
from contextlib import closing
from pathlib import Path
from mmsearch.config import Settings
from mmsearch.encoders import factory
from mmsearch.library.opening import open_library
from mmsearch.watch.watcher import Pace, Polled, Ran, watch
photos, folder = map(Path, sys.argv[1:])
pace = Pace(quiet=0.5, gentle=0, looks=0.2)
with open_library(folder, settings=Settings(library=folder, cache=folder), encoder=factory.embedded()) as library:
    with closing(watch(library, [photos], pace=pace)) as events:
        for event in events:
            if isinstance(event, Polled):
                print("polled:", event.why)
            elif isinstance(event, Ran):
                print("added", event.report.added)
                if event.report.added == 1:
                    break
                if not (photos / "new").exists():
                    (photos / "new" / "deep").mkdir(parents=True)
                elif event.report.added == 0:
                    (photos / "new" / "deep" / "cat.png").write_bytes((photos / "cat.png").read_bytes() + b" ")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a limit of Linux")
@pytest.mark.parametrize("most", [1, 3])
def test_too_many_folders_for_the_system_are_polled(most: int, photos: Path, tmp_path: Path) -> None:
    """Two folders, then four: one too many at the start, or later."""
    command = ["unshare", "-Ur", "sh", "-c", f'echo {most} > /proc/sys/user/max_inotify_watches && exec "$@"', "sh"]
    try:
        possible = subprocess.run([*command, "true"], capture_output=True).returncode == 0
    except OSError:
        possible = False
    if not possible:
        pytest.skip("no limit can be set here")
    arguments = [sys.executable, "-c", LIMITED, str(photos), str(tmp_path / "library")]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120)
    reason = "polled: the system watches no more folders; raise its limit with sysctl fs.inotify.max_user_watches"
    lines = done.stdout.splitlines()
    assert (lines.count(reason), lines[-1], done.returncode) == (1, "added 1", 0), (done.stdout, done.stderr)
    assert lines.index(reason) == (0 if most == 1 else 1)


def test_network_drives_are_known(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"a / ext4 rw 0 0\nb {tmp_path}/my\\040share cifs rw 0 0\nc {tmp_path}/my\\040share/disk xfs 0 0\n"
    )
    places = ["", "my share", "my share/photos", "my share/disk/photos", "my shared"]
    assert [on_network(tmp_path / place, mounts) for place in places] == [False, True, True, False, False]
    assert not on_network(tmp_path, tmp_path / "nowhere")


def test_what_matters(photos: Path) -> None:
    added, modified, deleted = 1, 2, 3
    sight = Sight(str(photos), str(photos / "library"), lambda path: path.endswith("trips"), ["*/raw"])
    seen = {
        ("cat.png", modified): True, ("CAT.JPEG", deleted): True, ("cat.xmp", added): True, ("new.heic", added): True,
        ("trips", added): True, ("trips", modified): False, ("trips", deleted): True, ("gone", deleted): False,
        ("cat.png.tmp", added): False, (".cat.png", added): False, ("@eaDir/cat.png", added): False,
        ("library/cat.png", added): False, ("trips/raw/cat.png", added): False, ("trips/raw", deleted): False,
    }  # fmt: skip
    assert {key: sight.matters(key[1], os.path.join(photos, key[0])) for key in seen} == seen
    single = Sight(str(photos / "cat.png"), str(photos / "library"), lambda path: False)
    near = ["cat.png", "cat.txt", "cat.png.xmp", "camera.png", "cat (2).png", "camera.txt"]
    assert [single.matters(added, str(photos / name)) for name in near] == [True, True, True, False, False, False]
    assert not sight.matters(added, str(photos.parent / "cat.png"))


@pytest.mark.skipif(sys.platform == "win32", reason="what is open cannot be moved there")
@pytest.mark.parametrize("how", ["moved", "replaced", "database replaced"])
@pytest.mark.parametrize("changed", [False, True])
def test_a_library_that_was_moved_or_replaced_ends_it(
    how: str, changed: bool, library: Library, photos: Path, tmp_path: Path
) -> None:
    with closing(watch(library, [photos], pace=POLLING)) as events:  # which looks at the library at each poll
        step(events)
        step(events)
        said: queue.SimpleQueue[BaseException | Event] = queue.SimpleQueue()

        def go() -> None:
            try:
                said.put(next(events))
            except WatchError as error:
                said.put(error)

        threading.Thread(target=go, daemon=True).start()
        time.sleep(0.5)  # it waits for changes by now, most likely
        if how == "database replaced":
            database = library.folder / "library.sqlite"
            shutil.copy(database, tmp_path / "other")
            (tmp_path / "other").replace(database)
        else:
            library.folder.rename(tmp_path / "moved")
        if how == "replaced":
            shutil.copytree(tmp_path / "moved", library.folder)
        if changed:
            shutil.copy(SAMPLES / "coffee.png", photos)
        error = said.get(timeout=20)
        assert isinstance(error, WatchError), error
        what = "was moved or deleted" if how == "moved" else "is another one now"
        assert str(error).startswith(f"the library {library.folder} {what}")
