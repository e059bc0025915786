"""The words of paths."""

from __future__ import annotations

import pytest

from mmsearch.store.words.names import name_parts, name_words


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/a/b/c/d/beach.jpg", "beach.jpg d c b"),
        ("/BeachTrip2024/IMG_2041.jpg", "IMG_2041.jpg BeachTrip2024 IMG_2041 Beach Trip 2024"),
        ("/p/DSC00042.JPG", "DSC00042.JPG p DSC 00042 p 42"),
        ("/p/invoice_004711 copy.pdf.png", "invoice_004711 copy.pdf.png p 4711"),
        ("/p/100.jpg", "100.jpg p"),
        ("/p/.hidden", ".hidden p"),
        ("C:\\photos\\summer\\me.png", "me.png summer photos C:"),
        ("/p/\udcff\udcfecafé.jpg", "café.jpg p"),
        ("me.png", "me.png"),
        ("/p/ÜberÄgypten2024.jpg", "ÜberÄgypten2024.jpg p Über Ägypten 2024 p"),
        ("/p/ЁлкаДома5.jpg", "ЁлкаДома5.jpg p Ёлка Дома 5 p"),
        ("/p/ＩＭＧ１２３.jpg", "IMG123.jpg p IMG 123 p"),
        ("/p/2024東京.jpg", "2024東京.jpg p 2024 東京 p"),
    ],
)
def test_words_of_a_path(path: str, words: str) -> None:
    assert name_words(path) == words


def test_parts_of_a_path() -> None:
    assert name_parts("/home/me/photos/2024/lisbon/tram 28.heic") == ["tram 28", "lisbon", "2024", "photos"]
