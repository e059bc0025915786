"""One folder of training photos from many sets: what is set aside is never learned from, also not as another file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmsearch.errors import SourceError
from mmsearch.training.common import pairs
from mmsearch.training.reranker.questions import read_daquar
from mmsearch.training.shipped import mixture
from mmsearch.training.shipped.mixture import SETS, looks, statements, write

QA = "file\tsource\tquestion\tanswer\tagreement_of_10\tstatement\n"


def picture(file: Path, seed: int, noise: int = 0) -> None:
    """A picture of its own for each seed; ``noise`` makes another file of the same."""
    file.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (17, 17), np.uint8)
    image = Image.fromarray(small).resize((170, 170), Image.Resampling.NEAREST)
    values = np.asarray(image, np.int16) + np.random.default_rng(seed + 1).integers(-noise, noise + 1, (170, 170))
    Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)).convert("RGB").save(file)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Every set with 20 photos, some with a class of their own, those of COCO with the same numbers in each set."""
    root = tmp_path / "data"
    for number, one in enumerate(SETS):
        folder, lines = root / one.folder, []
        for photo in range(20):
            name = f"{photo:03}.jpg"
            picture(folder / "images" / name, photo if one.coco else 100 * number + photo, 3 if one.coco else 0)
            lines.append(f"{name}\tthing {photo % 2} of set {number}\n{name}\ta photo of thing {photo % 2}\n")
        (folder / "captions.tsv").write_text("".join(lines), "utf-8")
    (root / "flickr8k" / "dev.txt").write_text("000.jpg\n001.jpg\n", "utf-8")
    picture(root / "more/foodish/images/000.jpg", 0 + 100 * 0, 3)  # the first dev photo of flickr8k, as another file
    rows = [
        "002.jpg\tvqa2\tIs there a dog?\tyes\t9\tthere is a dog",
        "003.jpg\tvqa2\tWhat is this?\tkite\t8\t",
        "004.jpg\tvqa2\tIs it cold?\tyes\t8\t",
        "005.jpg\tvqa2\tIs it hot?\tno\t8\t",
        "006.jpg\tokvqa\tWho is it?\tann\t3\t",
    ]
    (root / "more/coco-vqa/qa.tsv").write_text(QA + "\n".join(rows) + "\n", "utf-8")
    picture(root / "daquar/images/image1.jpg", 9999)
    (root / "daquar/qa.tsv").write_text("image1.jpg\twhat is on the desk\tbook, lamp\n", "utf-8")
    return root


def test_what_questions_say(data: Path) -> None:
    found = list(statements(data / "more/coco-vqa/qa.tsv"))
    assert found == [("003.jpg", "What is this? kite"), ("004.jpg", "Is it cold")]


def test_nothing_that_is_set_aside_is_learned_from(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixture, "COCO_DEV", 5)
    out = tmp_path / "mixture"
    write(data, out)
    lists = {
        name: (out / f"{name}.txt").read_text("utf-8").split() for name in ("train", "dev", "coco_dev", "words_dev")
    }
    assert lists["dev"] == ["flickr8k/000.jpg", "flickr8k/001.jpg"]
    assert (len(lists["coco_dev"]), len(lists["words_dev"])) == (5, 4)
    everything = [name for names in lists.values() for name in names]
    assert len(set(everything)) == len(everything)
    aside = {name for label, names in lists.items() if label != "train" for name in names}
    hashes = {name: np.frombuffer(looks(out / "images" / name), np.uint8) for name in everything}
    for name in lists["train"]:
        assert min(np.unpackbits(hashes[name] ^ hashes[other]).sum() for other in aside) > mixture.SAME
    assert "foodish/000.jpg" not in everything  # shows a dev photo
    found = pairs.read(out / "captions.tsv", out / "images")  # every photo is there
    texts = dict(zip(found.names, found.texts, strict=True))
    known = next(name for name in lists["train"] if name.startswith("coco/"))
    assert texts[known].count("thing 0 of set 1") + texts[known].count("thing 1 of set 1") == 2  # counts twice
    for name in aside:
        assert len(set(texts[name])) == len(texts[name])
    most = sum(name.startswith("grocery-store") for name in lists["train"])
    assert most == 2 * 6  # of each of two classes
    asked = read_daquar(out)
    assert ("daquar/image1.jpg", "what is on the desk", "book, lamp") in asked
    assert not {name for name, _, _ in asked} & aside
    assert not any(answer == "ann" for _, _, answer in asked)
    with pytest.raises(SourceError, match="is there already"):
        write(data, out)
    again = tmp_path / "again"
    write(data, again)
    assert (again / "train.txt").read_bytes() == (out / "train.txt").read_bytes()
