"""A file that names the parts of a library: what it says, what is wrong with it, and every way to open by it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from samples import CLI

import mmsearch
from mmsearch.cli.completing import _library
from mmsearch.config import Settings, load
from mmsearch.errors import ConfigError, NoModelError
from mmsearch.library.library_file import located

DATABASE = 'metadata = "postgresql://me:secret@db/photos"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "parts" / "mmsearch.toml"


def written(file: Path, text: str) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, "utf-8")
    return file


def test_all_parts_are_taken_from_the_file(file: Path) -> None:
    text = DATABASE + 'vectors = "http://milvus:19530"\nvectors_token = "me:hidden"\nblobs = "s3://bucket/photos/"\n'
    place, settings = located(written(file, text), Settings(batch=7))
    assert place == "postgresql://me:secret@db/photos"
    found = (settings.vectors, settings.vectors_token, settings.blobs, settings.batch)
    assert found == ("http://milvus:19530", "me:hidden", "s3://bucket/photos/", 7)


def test_what_is_left_out_is_as_in_the_settings(file: Path) -> None:
    own = Settings(vectors="memory", blobs="s3://own/place")
    assert located(written(file, DATABASE), own) == ("postgresql://me:secret@db/photos", own)
    place, settings = located(written(file, 'vectors = "memory"\n'), Settings(address="postgresql://db/mine"))
    assert (place, settings.vectors) == ("postgresql://db/mine", "memory")
    assert located(written(file, ""), Settings(library=file))[0] == Settings().library


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("photos", "parts/photos"),
        ("../other", "other"),
        ("file:photos", "parts/photos"),
        ("file:../a%20b", "a b"),
        ("photos.mmsearch", "parts/photos.mmsearch"),
    ],
)
def test_relative_folders_are_beside_the_file(name: str, folder: str, file: Path, tmp_path: Path) -> None:
    assert located(written(file, f'metadata = "{name}"\n'), Settings())[0] == tmp_path / folder
    if name.startswith("file:"):
        _, settings = located(written(file, f'{DATABASE}blobs = "{name}"\n'), Settings())
        assert settings.blobs == f"file://{tmp_path / folder}"


def test_whole_paths_stay(file: Path, tmp_path: Path) -> None:
    _, settings = located(written(file, f'{DATABASE}blobs = "file://{tmp_path}/packs"\n'), Settings())
    assert settings.blobs == f"file://{tmp_path}/packs"
    assert located(written(file, 'metadata = "~/photos"\n'), Settings())[0] == Path.home() / "photos"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('metdata = "x"', "'metdata' is no part of a library; did you mean metadata? There are: metadata, vectors"),
        ("colour = 1", "'colour' is no part of a library; There are: metadata, vectors, vectors_token, blobs"),
        ("metadata = 7", "metadata must be a text in quotes"),
        ('metadata = ""', "metadata must be a text in quotes"),
        ('metadata = "mysql://me:secret@db/x"', "metadata must be a folder, or postgresql://user@host/database"),
        ('metadata = "other.toml"', "not another file of this kind"),
        ('metadata = "a"\nvectors = "http://milvus:1"', "vectors can be elsewhere only for a library in PostgreSQL"),
        ('metadata = "photos"\nblobs = "s3://b"', "blobs can be elsewhere only for a library in PostgreSQL"),
        (DATABASE + 'vectors = "nowhere"', "vectors must be auto, memory or http://host:port of a Milvus"),
        (DATABASE + 'blobs = "s3://key:secret@bucket"', "blobs must be auto, s3://bucket/prefix"),
        (DATABASE + 'blobs = "photos"', "blobs must be auto, s3://bucket/prefix"),
        (DATABASE + 'blobs = "file:"', "blobs must be auto, s3://bucket/prefix"),
        (DATABASE + 'blobs = "file://host/photos"', "blobs must be auto, s3://bucket/prefix"),
        ("metadata = ", "cannot be read"),
        ("metadata = 'a'\nmetadata = 'b'", "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_and_no_password(text: str, said: str, file: Path) -> None:
    with pytest.raises(ConfigError) as error:
        located(written(file, text), Settings())
    assert said in str(error.value)
    assert str(file) in str(error.value)
    assert "secret" not in str(error.value)


def test_a_file_that_is_not_there_makes_nothing(file: Path, settings: Settings) -> None:
    with pytest.raises(ConfigError) as error:
        mmsearch.open_library(file, settings=settings)
    assert (error.value.code, file.parent.exists()) == ("no-library-file", False)


def test_a_folder_may_be_called_so(tmp_path: Path, settings: Settings) -> None:
    folder = tmp_path / "library.toml"
    folder.mkdir()
    with mmsearch.open_library(folder, settings=settings) as library:
        assert library.folder == folder


def test_a_library_is_opened_by_a_file(file: Path, settings: Settings) -> None:
    written(file, 'metadata = "photos.mmsearch"\nblobs = "auto"\n')
    with pytest.raises(NoModelError):
        mmsearch.open_library(file, settings=settings, create=False)
    with mmsearch.open_library(file, settings=settings) as library:
        assert library.folder == file.parent / "photos.mmsearch"
    with mmsearch.open_library(settings=load(file.parent / "none", {"MMSEARCH_LIBRARY": str(file)})) as library:
        assert library.folder == file.parent / "photos.mmsearch"


def test_commands_take_the_file(mmsearch: CLI, file: Path, photos: Path) -> None:
    written(file, 'metadata = "photos.mmsearch"\n')
    mmsearch("index", photos / "trips", "--library", file)
    folder = str(file.parent / "photos.mmsearch")
    status = json.loads(mmsearch("status", "--json", "--library", file).stdout)
    assert (status["library"], status["blobs"], status["photos"]) == (folder, None, 2)
    assert json.loads(mmsearch("status", "--json", MMSEARCH_LIBRARY=str(file)).stdout)["library"] == folder
    assert folder in mmsearch(MMSEARCH_LIBRARY=str(file)).stdout
    assert folder in mmsearch("doctor", "--no-speed", "--library", file).stdout
    assert ", in use" in mmsearch("models", "--library", file).stdout
    assert _library(["query", "--library", str(file)]) == Path(folder)
    backup = file.parent / "saved"
    mmsearch("backup", backup, "--library", file)
    assert json.loads(mmsearch("restore", backup, "--force", "--json", "--library", file).stdout)["library"] == folder


@pytest.mark.parametrize("command", ["query cat", "status", "doctor --no-speed", "models", "index ."])
def test_no_password_of_the_file_is_said(command: str, mmsearch: CLI, file: Path) -> None:
    text = 'metadata = "postgresql://me:secret@127.0.0.1:1/photos"\nvectors_token = "hidden"\n'
    said = mmsearch(*command.split(), "--library", written(file, text), check=1)
    assert "postgresql://me@127.0.0.1:1/photos" in said.stdout + said.stderr
    assert "secret" not in said.stdout + said.stderr
    assert "hidden" not in said.stdout + said.stderr


def test_a_file_that_cannot_be_read_is_one_sentence(mmsearch: CLI, file: Path) -> None:
    said = mmsearch("status", "--library", file, check=1)
    assert f"there is no file {file}" in said.stderr
    assert "Traceback" not in said.stderr
    os.mkfifo(written(file, "").with_name("pipe.toml"))
    said = mmsearch("status", "--library", file.with_name("pipe.toml"), check=1)
    assert "cannot be read" in said.stderr
