"""What is a tag, and which spellings are the same one."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsearch.errors import TagError
from mmsearch.language.tag_names import LONGEST, folded, tag_key, tag_name


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("birthday", "birthday"),
        ("  two \t words ", "two words"),
        ("cafe\u0301", "caf\u00e9"),
        ("👩\u200d👧", "👩\u200d👧"),
        ("<b>&\"'", "<b>&\"'"),
        ("x" * LONGEST, "x" * LONGEST),
        ("猫", "猫"),
        ("a:b -c", "a:b -c"),
    ],
)
def test_tags_as_they_are_stored(written: str, stored: str) -> None:
    assert tag_name(written) == stored


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("", "no letter, digit or sign"),
        (" \u200b ", "no letter, digit or sign"),
        ("a\nb", "several lines"),
        ("a\u2028b", "several lines"),
        ("a,b", "a comma"),
        ("a\0b", "a character that cannot be seen"),
        ("a\u202eb", "a character that cannot be seen"),
        ("a\ud800", "a character that cannot be seen"),
        ("x" * (LONGEST + 1), "101 characters; at most 100"),
    ],
)
def test_what_is_no_tag_is_said(written: str, why: str) -> None:
    with pytest.raises(TagError, match=why) as caught:
        tag_name(written)
    assert (caught.value.code, caught.value.tag) == ("bad-tag", written)
    assert tag_key(written) is None


@given(st.text(max_size=20))
def test_what_is_stored_stays_what_it_is(text: str) -> None:
    try:
        name = tag_name(text)
    except TagError:
        return
    assert tag_name(name) == name
    assert tag_key(name) == folded(name) == folded(folded(name))
    assert folded(unicodedata.normalize("NFD", name)) == folded(name)


def test_spellings_of_one_tag() -> None:
    assert {folded(name) for name in ("Straße", "STRASSE", "strasse")} == {"strasse"}
    assert folded("Ångström") == folded("a\u030angstro\u0308m")
    assert folded("cafe") != folded("café")
