"""Full-text search: what is found, by what right, and that it is kept in step with the tables."""

from __future__ import annotations

import math
import sqlite3
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from older_schema import write_schema

from mmsearch.language.letters import plain
from mmsearch.language.word_rates import word_rates
from mmsearch.store import snapshot
from mmsearch.store.protocol import Store
from mmsearch.store.sql.tables import WORDS
from mmsearch.store.sqlite.store import SqliteStore
from mmsearch.store.sqlite.word_lists import LONG
from mmsearch.store.types import StoredModel, WordHit
from mmsearch.store.words import ranking
from mmsearch.store.words.ranking import Form, RowSet, best, sums
from mmsearch.store.words.spelling import expression, stored, written
from mmsearch.types import Decoded, Exif, Found, Sidecar

PIXELS = np.zeros((9, 9, 3), np.uint8)


@pytest.fixture
def file_store(tmp_path: Path) -> Iterator[SqliteStore]:
    """For what is looked up in the file itself."""
    with SqliteStore(tmp_path / "file.sqlite") as opened:
        yield opened


def add(store: Store, path: str, content: bytes | None = None, description: str | None = None) -> int:
    """Store a photo; returns the id of its content, which is that of its vector too as long as there is one model."""
    with store.writing() as writer:
        model = store.model() or writer.add_model("m", "abc", 4, active=True)
        picture = Decoded(PIXELS, 40, 30, "jpeg", Exif(), description)
        number = writer.put(content or path.encode(), picture, np.full(4, len(path), np.float32), model)
        writer.place(Found(path, 10, 5), number)
    return number


def model_of(store: Store) -> StoredModel:
    model = store.model()
    assert model is not None
    return model


def found(store: Store, text: str, exact: bool = False) -> list[int]:
    return [hit.number for hit in store.find_words(text, model_of(store), exact=exact)]


@pytest.fixture
def trip(store: Store) -> dict[str, int]:
    """Photos by their file names."""
    paths = (
        "/p/holiday/IMG_2041.jpg",
        "/p/holiday/IMG_2042.jpg",
        "/p/BeachTrip2024/dog.jpg",
        "/p/papers/invoice_004711.png",
        "/p/papers/scan.png",
        "/p/Café Zürich/DSC0099.jpg",
    )
    numbers = {path.rpartition("/")[2]: add(store, path) for path in paths}
    with store.writing() as writer:
        writer.put_text(numbers["scan.png"], "engine", "Green Grocer\nReceipt 815\nTotal 22.63")
        writer.put_caption(numbers["IMG_2042.jpg"], "r", "a dog on a beach", 0.5)
        writer.put_tags("v", {numbers["DSC0099.jpg"]: {"beach": 0.9, "city street": 0.7}})
    return numbers


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("IMG_2041", ["IMG_2041.jpg", "IMG_2042.jpg"]),  # the second has half of it
        ("img2041", ["IMG_2041.jpg"]),
        ("2041", ["IMG_2041.jpg"]),
        ("IMG_20", ["IMG_2041.jpg", "IMG_2042.jpg"]),
        ("invoice 4711", ["invoice_004711.png"]),
        ("beach trip", ["dog.jpg", "DSC0099.jpg", "IMG_2042.jpg"]),  # name, tag, caption
        ("beachtr", ["dog.jpg"]),
        ("receipt", ["scan.png"]),
        ("receipts", ["scan.png"]),
        ("grocer's total", ["scan.png"]),
        ("cafe zurich", ["DSC0099.jpg"]),
        ("CAFE\u0301", ["DSC0099.jpg"]),
        ("city street", ["DSC0099.jpg"]),
        ("a dog on a beach", ["dog.jpg", "DSC0099.jpg", "IMG_2042.jpg"]),  # a tag tells more than a caption
        ("the", []),
        ("scanner", []),  # no word begins so
        ("do", []),  # a stop word, alone: looked for, not as a beginning
        ("elephant", []),
        ("", []),
        ('"* ^ : NEAR(', []),
    ],
)
def test_what_is_found(store: Store, trip: dict[str, int], query: str, names: list[str]) -> None:
    assert found(store, query) == [trip[name] for name in names]


def test_a_hit_says_how_much_of_the_query_it_has_and_where(store: Store, trip: dict[str, int]) -> None:
    dog, beach = (rarity(have, 6, word) for have, word in ((2, "dog"), (3, "beach")))  # so many of 6 have the word
    whole = dog + beach

    def hit(name: str, evidence: float, written: float, *columns: str) -> WordHit:
        return WordHit(trip[name], round(evidence / whole, 6), round(evidence, 6), columns, 0.0, written)

    assert store.find_words("a dog on a beach", model_of(store)) == [
        hit("dog.jpg", dog + 0.7 * beach, 1.0, "name"),  # the beach is in the name of its folder
        hit("DSC0099.jpg", 0.7 * beach, 0.0, "tags"),
        hit("IMG_2042.jpg", 0.4 * whole, 0.0, "caption"),
    ]


def rarity(have: int, photos: int, word: str) -> float:
    """As it is defined: with a hundred photos of which so many have the word as texts have it elsewhere."""
    return math.log((photos + 100) / (have + 0.5 + 100 * word_rates().get(word, 0.0)))


def test_how_rare_a_word_is_in_small_and_large_libraries(store: Store) -> None:
    """Of few photos one with "4711" and one with "dog" are not alike, and one photo in 17 is not one in 17."""
    for number in range(17):
        add(store, f"/p/x{number}.jpg", description="a dog 4711" if number == 3 else "nothing")
    model = model_of(store)
    [dog], [digits], [both] = (store.find_words(text, model) for text in ("dog", "4711", "4711 dog"))
    assert digits.evidence == pytest.approx(math.log(117 / 1.5))
    assert dog.evidence == pytest.approx(rarity(1, 17, "dog"))
    assert 1.5 < dog.evidence < 2.5 < digits.evidence
    assert both.evidence == pytest.approx(dog.evidence + digits.evidence)


def test_what_several_places_say_counts_more_than_one_and_less_than_their_sum(store: Store) -> None:
    numbers = [add(store, f"/p/{number}.jpg") for number in range(3)]
    with store.writing() as writer:
        writer.put_tags("v", {numbers[0]: {"kite": 0.9}, numbers[1]: {"kite": 0.9}})
        writer.put_caption(numbers[0], "r", "a kite", 0.5)
        writer.put_caption(numbers[2], "r", "a kite", 0.5)
    hits = store.find_words("kite", model_of(store))
    assert [(hit.number, hit.score) for hit in hits] == [
        (numbers[0], pytest.approx(1 - 0.3 * 0.6)), (numbers[1], 0.7), (numbers[2], 0.4),
    ]  # fmt: skip


def test_what_is_said_of_a_photo_its_file_and_its_folder(store: Store) -> None:
    said = add(store, "/p/a/1.jpg", description="Großeltern 1958")
    file = add(store, "/p/a/Grosseltern_1958.jpg")
    folder = add(store, "/p/Großeltern 1958/2.jpg")
    both = add(store, "/p/1958/3.jpg", description="Großeltern")
    hits = {hit.number: hit for hit in store.find_words("Großeltern 1958", model_of(store))}
    assert list(hits) == [said, file, both, folder]
    assert [hits[number].score for number in (said, file, folder)] == [1.0, 1.0, 0.7]
    assert 0.7 < hits[both].score < 1
    assert [hit.written for hit in hits.values()] == [1.0] * 4
    assert [hits[number].said for number in (said, file, folder)] == [1.0, 0.0, 0.0]


def test_exact_words_must_stand_in_this_order(store: Store, trip: dict[str, int]) -> None:
    assert found(store, "dog on a beach", exact=True) == [trip["IMG_2042.jpg"]]
    assert found(store, "beach on a dog", exact=True) == []
    assert found(store, "green grocer receipt", exact=True) == [trip["scan.png"]]
    assert found(store, "IMG 20", exact=True) == []
    assert found(store, "the", exact=True) == found(store, "", exact=True) == []


def test_only_allowed_pictures_are_found(store: Store, trip: dict[str, int]) -> None:
    model = model_of(store)
    for some in ([trip["DSC0099.jpg"]], [trip["scan.png"]], [], [999], list(trip.values())):
        hits = store.find_words("dog beach", model, np.array(some, np.int64))
        assert [hit.number for hit in hits] == [number for number in found(store, "dog beach") if number in some]
        assert set(hits) <= set(store.find_words("dog beach", model))  # scores do not depend on what is allowed


def test_limit(store: Store, trip: dict[str, int]) -> None:
    hits = store.find_words("dog beach", model_of(store))
    assert [store.find_words("dog beach", model_of(store), limit=k) for k in (0, 1, 2)] == [[], hits[:1], hits[:2]]


def test_pictures_that_cannot_be_found_are_not_found_by_words(store: Store, trip: dict[str, int]) -> None:
    known = store.files("/p", model_of(store))
    with store.writing() as writer:
        writer.miss([known["/p/BeachTrip2024/dog.jpg"].id])
    assert found(store, "dog") == [trip["IMG_2042.jpg"]]
    with store.writing() as writer:
        writer.touch(known["/p/BeachTrip2024/dog.jpg"].id, Found("/p/BeachTrip2024/dog.jpg", 10, 6))
    assert found(store, "dog") == [trip["dog.jpg"], trip["IMG_2042.jpg"]]


def test_the_best_of_several_files_counts(store: Store) -> None:
    number = add(store, "/p/x/plain.jpg", b"same")
    add(store, "/p/x/sunset.jpg", b"same")
    add(store, "/p/x/other.jpg")
    [hit] = store.find_words("sunset", model_of(store))
    assert (hit.number, hit.score, hit.columns) == (number, 1.0, ("name",))


def test_words_that_most_of_many_photos_have_say_nothing(store: Store) -> None:
    numbers = [add(store, f"/p/holiday/IMG_{i:04}.jpg") for i in range(1, 31)]
    assert found(store, "holiday") == found(store, "IMG") == []
    assert found(store, "holiday IMG_0007") == [numbers[6]]
    assert store.find_words("holiday 7", model_of(store))[0].score == 1.0  # of what can be told apart, it has all
    assert len(found(store, "holiday", exact=True)) == 30


def test_reasons_name_the_place(store: Store, trip: dict[str, int]) -> None:
    model = model_of(store)
    every = list(trip.values())
    assert store.reasons("IMG_2041 receipt beach", every, model) == {
        trip["IMG_2041.jpg"]: ("name: IMG_2041",),
        trip["IMG_2042.jpg"]: ("name: IMG_2042", "caption: a dog on a beach"),
        trip["dog.jpg"]: ("name: BeachTrip2024",),
        trip["scan.png"]: ("text: Green Grocer Receipt 815 Total 22.63",),
        trip["DSC0099.jpg"]: ("tag: beach, city street",),
    }
    assert store.reasons("dog on a beach", every, model, exact=True) == {
        trip["IMG_2042.jpg"]: ("caption: a dog on a beach",)
    }
    assert store.reasons("zebra", every, model) == store.reasons("", every, model) == {}
    assert store.reasons("beach", [], model) == {}


def test_reasons_are_short(store: Store) -> None:
    number = add(store, "/p/x.jpg", description="one two three four five six seven needle\nnine\x07ten eleven twelve")
    [reason] = store.reasons("needle", [number], model_of(store))[number]
    assert "needle" in reason
    assert len(reason) < 80
    assert reason.isprintable()


# Any text


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path_factory.mktemp("store") / "library.sqlite") as opened:
        for name in ("IMG_2041.jpg", "a dog.jpg", "naïve Straße.png", "東京タワー.jpg"):
            add(opened, f"/p/x/{name}")
        yield opened


@given(st.text(max_size=60), st.booleans())
def test_no_text_is_an_error(shared: SqliteStore, text: str, exact: bool) -> None:
    hits = shared.find_words(text, model_of(shared), exact=exact)
    assert all(0 < hit.score <= 1 for hit in hits)
    assert set(shared.reasons(text, [1, 2, 3, 4], model_of(shared), exact)) >= {hit.number for hit in hits}


@pytest.mark.parametrize(
    "text",
    ['"', "dog OR", "NOT", "name:dog", "dog*", "(", "\0dog", "\udcff dog", "-dog", "^", "{a b} : c", "' OR 1=1 --"],
)
def test_syntax_of_the_database_is_none_here(shared: SqliteStore, text: str) -> None:
    assert found(shared, text) == ([2] if "dog" in text else [])


def test_a_query_longer_than_any_is_cut(shared: SqliteStore) -> None:
    assert found(shared, " ".join(f"word{n}" for n in range(10_000)) + " dog") == []
    assert found(shared, "x" * 100_000) == []


# Words as people type them, and what they are called that have them: at the left as it was written.
SPELT = {
    "Průhonice": ["pruhonice", "PRŮHONICE", "Pru\u030ahonice"],
    "Šimtadienis": ["simtadienis", "ŠIMTADIENIS"],
    "Straße": ["strasse", "STRASSE", "straße", "STRAẞE"],
    "Łódź": ["lodz", "łódź", "ŁÓDŹ"],
    "Øresund": ["oresund", "ØRESUND", "øresund"],
    "Đà Nẵng": ["da nang", "đà nẵng", "Đa\u0300 Na\u0306\u0303ng"],
    "İstanbul": ["istanbul", "İSTANBUL", "ISTANBUL"],
    "Diyarbakır": ["diyarbakir", "DIYARBAKIR"],
    "Ελλάδα": ["ΕΛΛΑΔΑ", "ελλαδα"],
    "Ἀθῆναι": ["αθηναι"],
    "Ёлка": ["ёлка", "ЁЛКА", "елка"],
    "Київ": ["київ", "киів", "КИЇВ"],
    "दिल्ली": ["दिल्ली"],
    "हिज़ाब": ["हिज़ाब", "हिज\u093cाब"],
    "القَاهِرَة": ["القاهرة"],
    "שָׁלוֹם": ["שלום"],
    "ﬁnal ﬂight": ["final", "flight", "final flight"],
    "ＩＭＧ１２３": ["IMG123", "img123"],
    "party 🎉": ["🎉", "party"],
    "Ærø": ["aero", "ærø", "ÆRØ"],
    "Œuvre": ["oeuvre"],
    "Þingvellir": ["thingvellir"],
    "x² ½ №5": ["x2", "no5"],
    "soft\u00adhyphen": ["softhyphen", "soft\u00adhyphen"],
    # No spaces between words: any part is found.
    "東京タワー": ["東京", "タワー", "東京タワー", "京タ", "東", "ー", "ﾀﾜｰ"],
    "ガラス": ["ガラス", "ｶﾞﾗｽ", "カ\u3099ラス"],
    "カラス": ["カラス"],
    "부산에서": ["부산", "부산에서", unicodedata.normalize("NFD", "부산")],
    "กรุงเทพมหานคร": ["กรุงเทพ", "นคร", "กรุงเทพมหานคร"],
    "ភ្នំពេញ": ["ភ្នំ", "ពេញ"],
    "Shibuya渋谷2024夏祭り": ["渋谷", "夏祭", "shibuya", "2024", "渋谷2024", "2024夏"],
}


@pytest.fixture(scope="module")
def spelt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    """Each as the name of a file, and in the other form of Unicode as the description of one."""
    with SqliteStore(tmp_path_factory.mktemp("spelt") / "library.sqlite") as opened:
        for number, name in enumerate(SPELT):
            add(opened, f"/p/x/{name}.png")
            add(opened, f"/q/y/{number}x.jpg", description=f"said: {unicodedata.normalize('NFD', name)}")
        yield opened


@pytest.mark.parametrize("name", SPELT)
def test_words_of_all_scripts_however_they_are_typed(spelt: SqliteStore, name: str) -> None:
    own = [2 * list(SPELT).index(name) + 1, 2 * list(SPELT).index(name) + 2]
    for typed in (name, unicodedata.normalize("NFD", name), *SPELT[name]):
        assert set(found(spelt, typed)) >= set(own), typed
        assert set(found(spelt, typed, exact=True)) >= set(own), typed
        said = spelt.reasons(typed, own, model_of(spelt))
        assert [reason.partition(":")[0] for reasons in said.values() for reason in reasons] == ["name", "description"]


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("ガラス", ["ガラス"]),  # glass, not crows
        ("京東", []),
        ("東タ", []),
        ("東京 タワー", []),
        ("타", []),
        ("夏祭り 渋谷", []),
        ("دلهي", []),
    ],
)
def test_other_words_are_not_found(spelt: SqliteStore, typed: str, names: list[str]) -> None:
    wanted = [2 * list(SPELT).index(name) + side for name in names for side in (1, 2)]
    assert sorted(found(spelt, typed, exact=True)) == wanted


def test_a_file_is_found_by_its_whole_name(store: Store) -> None:
    first, other = add(store, "/p/trip/IMG_2041.jpg"), add(store, "/p/trip/IMG_2041.png")
    add(store, "/p/trip/IMG_2042.jpg")
    assert found(store, "IMG_2041.jpg", exact=True) == found(store, "img_2041.JPG", exact=True) == [first]
    assert found(store, "IMG_2041", exact=True) == [first, other]
    assert found(store, "IMG_2041.jpg")[0] == first
    assert store.reasons("IMG_2041.jpg", [first], model_of(store), exact=True) == {first: ("name: IMG_2041",)}


def test_reasons_are_in_the_words_that_were_written(store: Store) -> None:
    text = "Nach der Ankunft in Łódź gingen wir lange durch die Straßen der alten Stadt; "
    text += "später 東京タワーの夜景を見ました。"
    number = add(store, "/p/Ærø 2024/x.jpg", description=text)

    def reason(typed: str) -> str:
        [one] = store.reasons(typed, [number], model_of(store))[number]
        return one

    assert reason("aero") == "name: Ærø 2024"
    assert reason("lodz") == "description: Nach der Ankunft in Łódź gingen wir lange durch…"
    assert reason("strassen") == "description: …die Straßen der alten Stadt; später 東京タワーの…"
    assert reason("夜景") == "description: …der alten Stadt; später 東京タワーの夜景を見ました。"
    assert reason("nach") == "description: Nach der Ankunft in Łódź gingen wir lange durch…"


@given(st.text(max_size=30))
def test_what_is_plain_stays_so(text: str) -> None:
    assert plain(plain(text)) == plain(text)
    assert plain(text) == plain(unicodedata.normalize("NFD", text)) == plain(unicodedata.normalize("NFC", text))


@given(st.lists(st.sampled_from([*SPELT, "a", "1", "é", "京", " ", "\u200d", "\u0301", "🎉"]), min_size=1, max_size=6))
def test_a_text_is_found_by_itself(parts: list[str]) -> None:
    """What is stored of it has what is asked for it, side by side."""
    text = "".join(parts)
    asked = expression(written(text))
    have, wanted = stored(text).split(), asked.strip('"* ').rstrip('"').split()
    if stored(text).isascii():
        return  # FTS5 takes it apart
    spans = [have[at : at + len(wanted)] for at in range(len(have))]
    assert wanted in spans or any(
        span[:-1] == wanted[:-1] and span[-1].startswith(wanted[-1]) for span in spans if len(span) == len(wanted)
    )


# In step


def expected(file: Path) -> list[tuple[object, ...]]:
    """What ``words`` must say, worked out in plain Python from the other tables."""
    from mmsearch.store.words.names import name_words

    with sqlite3.connect(file) as base:
        rows: list[tuple[object, ...]] = []
        for number, path, content in base.execute("SELECT id, path, content_id FROM photos ORDER BY id").fetchall():

            def one(query: str, key: int) -> str:
                row = base.execute(query, (key,)).fetchone()
                return (row[0] or "") if row else ""

            described = [
                one("SELECT description FROM contents WHERE id = ?", content),
                one("SELECT text FROM sidecars WHERE photo_id = ?", number),
            ]
            tags = base.execute("SELECT tag FROM tags WHERE item_id = ? ORDER BY tag", (content,)).fetchall()
            rows.append(
                (
                    number,
                    stored(name_words(path.decode())),
                    stored("\n".join(part for part in described if part)),
                    one("SELECT text FROM captions WHERE item_id = ?", content),
                    one("SELECT text FROM ocr WHERE item_id = ?", content),
                    ", ".join(tag for (tag,) in tags),
                )
            )
    base.close()
    return rows


def in_table(file: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(file) as base:
        rows = base.execute(f"SELECT rowid, {', '.join(WORDS)} FROM words ORDER BY rowid").fetchall()
        base.execute("INSERT INTO words (words) VALUES ('integrity-check')")
    base.close()
    return [(*row[:5], ", ".join(sorted(row[5].split(", ")))) for row in rows]


def assert_in_step(store: SqliteStore) -> None:
    assert in_table(store.file) == expected(store.file)


def test_words_follow_every_change(file_store: SqliteStore) -> None:
    a, b = add(file_store, "/p/a.jpg", b"1", "first"), add(file_store, "/p/b.jpg", b"2")
    add(file_store, "/p/copy of a.jpg", b"1")
    assert_in_step(file_store)
    assert len(in_table(file_store.file)) == 3
    ids = {path: row.id for path, row in file_store.files("/p", model_of(file_store)).items()}
    with file_store.writing() as writer:
        writer.put_caption(a, "r", "a caption", 0.5)
        writer.put_text(a, "engine", "read text")
        writer.put_tags("v", {a: {"dog": 0.9, "beach": 0.8}, b: {}})
        writer.put_sidecar(ids["/p/copy of a.jpg"], "stamp", Sidecar("beside"))
    assert_in_step(file_store)
    with file_store.writing() as writer:
        writer.move(ids["/p/b.jpg"], Found("/p/c/moved.jpg", 10, 5))
        writer.place(Found("/p/a.jpg", 11, 6), b)  # another content
    assert_in_step(file_store)
    with file_store.writing() as writer:
        writer.move(ids["/p/copy of a.jpg"], Found("/p/a.jpg", 10, 7))  # what was there gives way
        writer.drop_sidecar(ids["/p/copy of a.jpg"])
        writer.fail(Found("/p/c/moved.jpg", 1, 1), "damaged")
        writer.fail(Found("/p/new.jpg", 1, 1), "damaged")  # never read: it has no words
        writer.put_metadata(a, Decoded(PIXELS, 1, 1, "png", Exif(), "another description"))
        writer.put_tags("w", {a: {"cat": 0.9}})
    assert [row for row in expected(file_store.file) if row[1] != "new.jpg p"] == in_table(file_store.file)
    with file_store.writing() as writer:
        writer.remove("/p")
        writer.sweep()
    assert in_table(file_store.file) == expected(file_store.file) == []


def test_words_of_a_transaction_that_fails_are_undone(file_store: SqliteStore) -> None:
    number = add(file_store, "/p/a.jpg")
    before = in_table(file_store.file)

    def fails() -> None:
        with file_store.writing() as writer:
            writer.put_caption(number, "r", "never", 0.5)
            writer.place(Found("/p/never.jpg", 1, 1), number)
            writer.write_words()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert in_table(file_store.file) == before
    assert_in_step(file_store)


def test_library_from_before_gets_words_of_names_and_captions(tmp_path: Path) -> None:
    """Made by the third schema's own migrations, with photos in it."""
    file = write_schema(tmp_path / "library.sqlite", "003")
    with closing(sqlite3.connect(file)) as old:
        old.executescript(
            "INSERT INTO models VALUES (1, 'm', 'abc', 4, 1);"
            "INSERT INTO contents (id, hash, width, height, format) VALUES (1, x'31', 40, 30, 'jpeg');"
            "INSERT INTO photos VALUES (1, CAST('/p/BeachTrip/IMG_1.jpg' AS BLOB), 'ok', NULL, 10, 5, 1);"
            "INSERT INTO embeddings VALUES (7, 1, 1, x'003c003c003c003c');"
            "INSERT INTO captions VALUES (1, 'r', 'a red kite', 0.5);"
        )
    with SqliteStore(file) as store:
        assert_in_step(store)
        assert found(store, "beach") == found(store, "kite") == [7]


# Many photos


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SqliteStore, list[dict[str, set[str]]]]]:
    """25,000 photos with made-up words, common and rare, and what each has where."""
    vocabulary = np.array([f"w{chr(97 + n // 26)}{chr(97 + n % 26)}x" for n in range(300)])
    chances = 1 / np.arange(1, 301) ** 0.9
    rng = np.random.default_rng(0)
    photos, file = 25_000, tmp_path_factory.mktemp("many") / "library.sqlite"
    drawn = rng.choice(300, (photos, 12), p=chances / chances.sum())
    has: list[dict[str, set[str]]] = []
    rows = []
    for number, places in enumerate(drawn, 1):
        words = vocabulary[places].tolist()
        own = {"name": words[:1], "description": words[1:2] if number % 3 else [], "caption": words[2:9]}
        own |= {"ocr": words[9:10] if number % 5 == 0 else [], "tags": words[10:]}
        has.append({column: set(found) for column, found in own.items()})
        rows.append((number, *(" ".join(own[column]) for column in WORDS)))
    SqliteStore(file).close()
    with sqlite3.connect(file) as base:
        base.execute("INSERT INTO models VALUES (1, 'm', 'abc', 4, 1)")
        every = [{"n": number} for number in range(1, photos + 1)]
        base.executemany("INSERT INTO contents (id, hash, width, height, format) VALUES (:n, :n, 4, 3, 'png')", every)
        values = "VALUES (:n, CAST(:n AS BLOB), 'ok', 1, 1, :n)"
        base.executemany(f"INSERT INTO photos (id, path, state, size, mtime_ns, content_id) {values}", every)
        base.executemany("INSERT INTO items (id, content_id, part) VALUES (:n, :n, 0)", every)
        base.executemany("INSERT INTO embeddings VALUES (:n, :n, 1, x'')", every)
        base.executemany(f"INSERT INTO words (rowid, {', '.join(WORDS)}) VALUES (?, ?, ?, ?, ?, ?)", rows)
    base.close()
    with SqliteStore(file) as store:
        yield store, has


WORTH = {"name": 1.0, "description": 1.0, "ocr": 1.0, "tags": 0.7, "caption": 0.4}
FOLDERS = WORTH | {"name": 0.7}  # the files of these photos have other names


def together(shares: Iterable[float]) -> float:
    """What several places say, as if each were right or wrong by itself."""
    return 1 - math.prod(1 - share for share in shares)


def scores(has: list[dict[str, set[str]]], words: list[str]) -> dict[int, float]:
    """Word by word and photo by photo, from the definition of the score; words that most have are left out."""
    weights = {}
    for word in words:
        having = sum(any(word in own for own in photo.values()) for photo in has)
        if having <= len(has) / 2:
            weights[word] = rarity(having, len(has), word)
    whole = sum(weights.values())
    result = {}
    for number, photo in enumerate(has, 1):
        best = {w: together(FOLDERS[c] for c, own in photo.items() if w in own) for w in weights}
        if any(best.values()):
            result[number] = sum(weights[word] * best[word] for word in weights) / whole
    return result


# "wacx" to "wajx" are in thousands of photos, "wgax" in some dozens, "waax" in more than half of them.
@pytest.mark.parametrize("query", ["waax wgax", "wgax whbx", "wdex wgax wfax", "waax wdbx whax"])
def test_scores_among_many_photos_are_as_defined(
    many: tuple[SqliteStore, list[dict[str, set[str]]]], query: str
) -> None:
    store, has = many
    oracle = scores(has, query.split())
    hits = store.find_words(query, model_of(store), limit=100_000)
    assert {hit.number: hit.score for hit in hits} == pytest.approx(oracle, abs=2e-6)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    for hit in hits[:50]:
        assert hit.columns == tuple(c for c in WORDS if has[hit.number - 1][c] & set(query.split()) - {"waax"})


@pytest.mark.parametrize("query", ["wabx wgax", "wacx wabx wgax", "wgbx waex wabx"])
def test_rare_words_lead_among_common_ones(many: tuple[SqliteStore, list[dict[str, set[str]]]], query: str) -> None:
    """Lists of common words are cut, but no score is wrong, and none of those with a rare word is lost."""
    store, has = many
    oracle = scores(has, query.split())
    common = [w for w in query.split() if sum(w in photo["caption"] for photo in has) > LONG / 2]
    assert common
    hits = store.find_words(query, model_of(store), limit=200)
    assert [hit.score for hit in hits[:20]] == pytest.approx(sorted(oracle.values(), reverse=True)[:20], abs=0.02)


def test_small_and_large_parts_of_many_photos(many: tuple[SqliteStore, list[dict[str, set[str]]]]) -> None:
    store, has = many
    model = model_of(store)
    oracle = scores(has, ["wacx", "wgax"])
    for share in (3, 100, 1500, 20_000):
        allowed = np.sort(np.random.default_rng(1).choice(len(has), share, replace=False) + 1).astype(np.int64)
        wanted = {number: oracle[number] for number in allowed.tolist() if number in oracle}
        hits = store.find_words("wacx wgax", model, allowed, limit=100_000)
        assert {hit.number: hit.score for hit in hits} == pytest.approx(wanted, abs=0.02)


@pytest.mark.parametrize("share", [None, 2500, 20_000])
@pytest.mark.parametrize(("query", "exact"), [("wacx wgax", False), ("wgax", True)])
def test_columns_that_a_filter_has_read_change_nothing(
    many: tuple[SqliteStore, list[dict[str, set[str]]]], query: str, exact: bool, share: int | None
) -> None:
    numbers = np.arange(1, len(many[1]) + 1, dtype=np.int64)
    allowed = None if share is None else np.sort(np.random.default_rng(2).choice(numbers, share, replace=False))
    with SqliteStore(many[0].file) as store:
        model = model_of(store)
        for limit in (7, 100_000):
            before = store.find_words(query, model, allowed, limit, exact)
            assert len(store.searchable(model)) == len(numbers)  # reads them
            assert store.find_words(query, model, allowed, limit, exact) == before
            with store.writing() as writer:
                writer.add_root("/")  # makes what was read stale
        assert len(before) > 7
        store.searchable(model)
        with store.writing() as writer:
            writer.miss([before[0].number])
        try:
            assert store.find_words(query, model, allowed, 100_000, exact) == before[1:]
        finally:
            with store.writing() as writer:
                writer.touch(before[0].number, Found(str(before[0].number), 1, 1))


@given(st.sets(st.integers(1, 300)), st.sets(st.integers(1, 300)), st.sampled_from([1, 7, 300]))
def test_a_set_of_photos_however_it_is_kept(own: set[int], asked: set[int], step: int) -> None:
    asked_rows = np.array(sorted(asked), np.int32)
    for photos in (300, 1_000_000):  # as bits, and as ids
        if own:
            rows = RowSet(np.array(sorted(own), np.int32), photos)
            assert len(rows) == len(own)
            assert rows.has(asked_rows).tolist() == [row in own for row in sorted(asked)]
            found, place = [], 0
            while len(some := rows.after(place, step)[0]):
                place = rows.after(place, step)[1]
                found += some.tolist()
            assert found == sorted(own)


FORMS = [
    Form(0, "one", 1.0),
    Form(0, "one *", 0.7),
    Form(1, "two three", 1.0),
    Form(1, "two", 0.3, adds=True),
    Form(1, "three", 0.5, adds=True),
    Form(2, "four", 1.0),
]


@given(
    st.dictionaries(
        st.tuples(st.integers(0, len(FORMS) - 1), st.sampled_from(WORDS)),
        st.sets(st.integers(1, 60), min_size=1),
        min_size=1,
    ),
    st.lists(st.sampled_from([0.25, 1.0, 2.0, 8.0]), min_size=3, max_size=3),
    st.integers(1, 70),
    st.sampled_from([60, 1_000_000]),
    st.sampled_from([1, 5, 4096]),
)
def test_the_best_photos_are_those_of_all_sums(
    having: dict[tuple[int, str], set[int]], weights: list[float], count: int, photos: int, chunk: int
) -> None:
    """By plain Python: for each unit and column the best form, or the sum of those that add up; columns together."""
    oracle = {}
    for row in range(1, 61):
        total = 0.0
        for unit, weight in enumerate(weights):
            own = [(n, form) for n, form in enumerate(FORMS) if form.unit == unit]
            shares = []
            for column in WORDS:
                has = [form for n, form in own if row in having.get((n, column), ())]
                added = sum(form.share for form in has if form.adds)
                shares.append(WORTH[column] * max([added, *(form.share for form in has if not form.adds)]))
            total += weight * together(shares)
        if total:
            oracle[row] = total
    lists = {key: RowSet(np.array(sorted(rows), np.int32), photos) for key, rows in having.items()}
    with mock.patch.object(ranking, "_CHUNK", chunk):
        rows = best(FORMS, lists, np.array(weights), count)
    reached, places = sums(rows, FORMS, lists, np.array(weights))
    wanted = sorted(oracle, key=lambda row: (-round(oracle[row], 6), row))[:count]
    assert rows.tolist() == sorted(wanted)
    assert reached.tolist() == pytest.approx([oracle[row] for row in rows.tolist()])
    for row, place in zip(rows.tolist(), places.tolist(), strict=True):
        in_columns = {column for (_, column), held in having.items() if row in held}
        assert {column for bit, column in enumerate(WORDS) if place >> bit & 1} == in_columns


# Kept between searches


def test_what_is_kept_follows_every_change(store: Store, open_store: Callable[[], Store], trip: dict[str, int]) -> None:
    """Also those of another connection, and those that leave the generation as it is."""
    assert found(store, "kite") == []
    generation = store.generation()
    with open_store() as other, other.writing() as writer:
        writer.put_tags("v", {trip["dog.jpg"]: {"kite": 0.9}})
    assert store.generation() == generation
    assert found(store, "kite") == [trip["dog.jpg"]]
    assert store.reasons("kite", [trip["dog.jpg"]], model_of(store)) == {trip["dog.jpg"]: ("tag: kite",)}
    new = add(store, "/p/kite.jpg")
    assert store.generation() == generation + 1
    assert found(store, "kite") == [new, trip["dog.jpg"]]


def test_no_more_is_kept_than_there_is_room_for(many: tuple[SqliteStore, list[dict[str, set[str]]]]) -> None:
    store, _ = many
    asked = ["wacx wgax", "wadx wfax", "waex whbx"]
    model = model_of(store)
    before = [store.find_words(query, model) for query in asked]
    with mock.patch.object(snapshot, "MOST", 10_000), SqliteStore(store.file) as other:
        assert [other.find_words(query, model) for query in asked * 2] == before * 2
        assert 0 < other.cached_bytes <= 10_000
        assert len(other._lists._snapshot._values) < 20


def test_words_of_a_library_from_before_are_spelt_anew_without_its_pictures(tmp_path: Path) -> None:
    """Of the eighth schema, with what that version stored; there is no picture file."""
    file = write_schema(tmp_path / "library.sqlite", "008")
    with closing(sqlite3.connect(file)) as old:
        old.executescript(
            "INSERT INTO models VALUES (1, 'm', 'abc', 4, 1);"
            "INSERT INTO contents (id, hash, width, height, format, description, metadata_version) "
            "VALUES (1, x'31', 40, 30, 'jpeg', 'Łódź, 東京タワー', 2);"
            "INSERT INTO items (id, content_id, part) VALUES (1, 1, 0);"
            "INSERT INTO photos VALUES (1, CAST('/p/Straße/IMG_1.jpg' AS BLOB), 'ok', NULL, 10, 5, 1);"
            "INSERT INTO embeddings VALUES (7, 1, 1, x'003c003c003c003c');"
            "INSERT INTO words (rowid, name, description) VALUES (1, 'IMG_1 Straße', 'Łódź, 東京タワー');"
        )
    with SqliteStore(file) as store:
        assert_in_step(store)
        for typed in ("lodz", "タワー", "strasse", "IMG_1.jpg"):
            assert found(store, typed, exact=True) == [7]
        with store.writing() as writer:
            writer.remove("/p")
        assert in_table(file) == []
