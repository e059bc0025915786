"""The words of paths."""

from __future__ import annotations

import pytest

from mmsearch.store.sqlite.names import name_parts, name_words


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/a/b/c/d/beach.jpg", "beach d c b"),
        ("/BeachTrip2024/IMG_2041.jpg", "IMG_2041 BeachTrip2024 IMG_2041 Beach Trip 2024"),
        ("/p/DSC00042.JPG", "DSC00042 p DSC 00042 p 42"),
        ("/p/invoice_004711 copy.pdf.png", "invoice_004711 copy.pdf p 4711"),
        ("/p/100.jpg", "100 p"),
        ("/p/.hidden", ".hidden p"),
        ("C:\\photos\\summer\\me.png", "me summer photos C:"),
        ("/p/\udcff\udcfecafé.jpg", "café p"),
        ("me.png", "me"),
    ],
)
def test_words_of_a_path(path: str, words: str) -> None:
    assert name_words(path) == words


def test_parts_of_a_path() -> None:
    assert name_parts("/home/me/photos/2024/lisbon/tram 28.heic") == ["tram 28", "lisbon", "2024", "photos"]
