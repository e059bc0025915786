"""From attention to heat: words, scale, and where the colours lie in the picture."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mmsearch.rerank.heat import LARGEST, WordHeat, attention_heat, draw, match_heat, overall


def looks(*places: int, side: int = 2) -> NDArray[np.float32]:
    """A row a word: all of its attention at one place."""
    rows = np.zeros((len(places), side * side), np.float32)
    rows[np.arange(len(places)), places] = 1
    return rows


def test_words_are_joined_and_marks_left_out() -> None:
    pieces = ["[CLS]", "a", "man", "'", "s", "skate", "##board", "##park", ",", "red", "-", "hot", "?", "[SEP]"]
    heats = attention_heat(pieces, np.full((len(pieces), 4), 0.25, np.float32))
    assert [(one.word, one.content) for one in heats] == [
        ("a", False),
        ("man's", True),
        ("skateboardpark", True),
        ("red", True),
        ("hot", True),
    ]


def test_an_apostrophe_at_an_end_joins_nothing() -> None:
    for pieces in (["'", "red"], ["red", ",", "'", "hot"], ["red", "'", "[SEP]"]):
        words = [one.word for one in attention_heat(pieces, np.full((len(pieces), 4), 0.25, np.float32))]
        assert words == [piece for piece in pieces if piece.isalpha()]


def test_pieces_are_averaged() -> None:
    (heat,) = attention_heat(["snow", "##board"], looks(0, 3), contrast=False)
    assert heat.heat.tolist() == [[1, 0], [0, 1]]
    (heat,) = attention_heat(["snow", "##board", "##ing"], looks(0, 3, 3), contrast=False)
    assert heat.heat.tolist() == [[0.5, 0], [0, 1]]


def test_what_all_words_look_at_is_taken_off() -> None:
    """Worked by hand: half of each look goes to place 3, the rest of "cat" to 0 and of "dog" to 1."""
    attention = np.array(
        [[0, 0, 0.25, 0.75], [0.5, 0, 0, 0.5], [0, 0.5, 0, 0.5], [0, 0, 0.25, 0.75]],
        np.float32,
    )
    cat, dog = attention_heat(["[CLS]", "cat", "dog", "[SEP]"], attention)
    assert cat.heat.tolist() == [[1, 0], [0, 0]]  # above the mean (0.125, 0.125, 0.125, 0.625) at place 0 alone
    assert dog.heat.tolist() == [[0, 1], [0, 0]]
    assert cat.heat.dtype == np.float32
    cat, dog = attention_heat(["[CLS]", "cat", "dog", "[SEP]"], attention, contrast=False)
    assert cat.heat.tolist() == [[1, 0], [0, 1]]


def test_words_that_look_alike_are_cold() -> None:
    heats = attention_heat(["[CLS]", "cat", "[SEP]"], np.full((3, 9), 1 / 9, np.float32))
    assert heats[0].heat.tolist() == [[0, 0, 0]] * 3


def test_the_whole_text_is_the_mean_of_its_content_words() -> None:
    def heat(word: str, place: int) -> WordHeat:
        return WordHeat(word, looks(place)[0].reshape(2, 2))

    words = [heat("The", 0), heat("cat", 1), heat("and", 0), heat("dog", 1), heat("bird", 2)]
    assert overall(words).tolist() == [[0, 1], [0.5, 0]]
    assert overall([heat("on", 2), heat("the", 2)]).tolist() == [[0, 0], [1, 0]]


NAMED = {"cat": 0, "dog": 8}  # the regions that words name, of 3 x 3
EYE = np.eye(9, dtype=np.float32)[None]  # one-hot regions: the mean of all has 1 / 9 of each


def match(text: str, photos: NDArray[np.float32]) -> NDArray[np.float32]:
    """As well as the regions that the text names are shown; any text likes the one in the middle, a little."""
    shown = photos[:, range(9), range(9)]  # (n, 9): 1 or 1 / 9
    wanted = [weight * shown[:, place] for word, place in NAMED.items() for weight in [text.split().count(word)]]
    return np.asarray(np.sum(wanted, axis=0) - 0.01 * shown[:, 4], np.float32)


def test_heat_of_a_match_is_where_the_words_are() -> None:
    pieces = ["[CLS]", "c", "##at", "and", "the", "dog", "[SEP]"]
    heats, whole = match_heat(match, "cat and the dog", pieces, EYE)
    corner = np.zeros((3, 3), np.float32)
    corner[:2, :2] = 1  # a place is a region with its neighbours
    corner[1, 1] = 0.99
    assert [heat.word for heat in heats] == ["cat", "dog"]
    np.testing.assert_allclose(heats[0].heat, corner, atol=0.02)
    np.testing.assert_allclose(heats[1].heat, corner[::-1, ::-1], atol=0.02)
    both = np.maximum(corner, corner[::-1, ::-1]) / 2
    both[1, 1] = 1  # next to both
    np.testing.assert_allclose(whole, both, atol=0.02)
    assert min(heats[0].heat.min(), whole.min()) == 0  # what the text is better off without has no heat


def test_a_word_is_asked_for_with_its_neighbours() -> None:
    asked: list[str] = []

    def remembered(text: str, photos: NDArray[np.float32]) -> NDArray[np.float32]:
        asked.append(text)
        return match(text, photos)

    heats, _ = match_heat(remembered, "A red cat, on it!", ["[CLS]", "a", "red", "cat", ",", "on", "it", "!"], EYE)
    assert [heat.word for heat in heats] == ["red", "cat"]
    assert sorted(asked) == ["A red cat, on it!", "a red cat", "red cat on"]
    asked.clear()
    heats, _ = match_heat(remembered, "on it", ["[CLS]", "on", "it", "[SEP]"], EYE)  # no other words
    assert [heat.word for heat in heats] == ["on", "it"]


def test_a_word_that_hardly_counts_is_less_hot() -> None:
    def strong(text: str, photos: NDArray[np.float32]) -> NDArray[np.float32]:
        return match(text, photos) * (8 if "cat" in text else 0.2)

    text = "cat on the dog"
    cat, dog = match_heat(strong, text, text.split(), EYE)[0]
    assert cat.heat.max() == 1
    np.testing.assert_allclose(dog.heat.max(), 0.2 / (0.25 * 8), atol=0.02)


def brightness(panel: NDArray[np.uint8]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = panel.astype(np.float64).mean(axis=2)
    return mean


def test_heat_is_drawn_where_it_is() -> None:
    photo = Image.new("RGB", (420, 420), (90, 90, 90))
    heats = [WordHeat("cat", looks(1)[0].reshape(2, 2)), WordHeat("dog", looks(2)[0].reshape(2, 2))]
    sheet = np.asarray(draw(photo, heats, overall(heats)))
    panels = [brightness(sheet[12:432, left : left + 420]) for left in (12, 444, 876)]
    for panel, places in zip(panels, ({1, 2}, {1}, {2}), strict=True):
        corners = [panel[60:150, 60:150], panel[60:150, 270:360], panel[270:360, 60:150], panel[270:360, 270:360]]
        lit = {place for place, corner in enumerate(corners) if corner.mean() > 110}
        assert lit == places
    below = sheet[432:466]  # labels, black on white
    for left in (12, 444, 876):
        assert below[:, left : left + 420].min() < 60


def test_heat_covers_only_what_was_seen() -> None:
    """Of a wide photo the middle is seen; the rest is dark and no heat is there."""
    photo = Image.new("RGB", (400, 200), (200, 200, 200))
    hot = np.ones((2, 2), np.float32)
    sheet = brightness(np.asarray(draw(photo, [], hot, (0.25, 0, 0.75, 1))))
    panel = sheet[12:222, 12:432]  # 420 x 210
    assert panel[:, 130:290].min() > 170 > 80 > panel[:, :80].max()
    assert panel[:, 340:].max() < 80


def test_heat_of_a_padded_photo_is_cut_off_at_its_edges() -> None:
    """The model saw a border above and below: the upper row of three is all border."""
    photo = Image.new("RGB", (300, 100), (90, 90, 90))
    heat = np.zeros((3, 3), np.float32)
    heat[0] = 1
    cold = brightness(np.asarray(draw(photo, [], heat, (0, -1, 1, 2))))[12:152, 12:432]
    heat = np.zeros((3, 3), np.float32)
    heat[1] = 1
    warm = brightness(np.asarray(draw(photo, [], heat, (0, -1, 1, 2))))[12:152, 12:432]
    assert cold[60:80].max() < 110 < warm[60:80].min()


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (3000, 4), (4, 3000), (1, 1)])
@pytest.mark.parametrize("words", [0, 7, 62])
def test_the_picture_is_never_too_large(size: tuple[int, int], words: int) -> None:
    word = "a-very-long-word-that-no-panel-has-room-for" * 20
    heats = [WordHeat(word, np.eye(7, dtype=np.float32))] * words
    sheet = draw(Image.new("RGB", size), heats, np.eye(7, dtype=np.float32))
    assert max(sheet.size) <= LARGEST
    assert min(sheet.size) >= 30


def test_colours_are_those_of_matplotlib() -> None:
    """Grey 0 under full heat: three quarters of the colour; in between, within the error of 9 steps."""
    matplotlib = pytest.importorskip("matplotlib")
    photo = Image.new("RGB", (90, 90))
    for value in (0.0, 0.3, 0.5, 0.8, 1.0):
        sheet = np.asarray(draw(photo, [], np.full((2, 2), value, np.float32)))
        expected = np.array(matplotlib.colormaps["inferno"](value)[:3]) * 255 * (0.25 + 0.5 * value)
        assert np.abs(sheet[222, 222].astype(np.float64) - expected).max() < 13
