"""Make ``imagenet_names.tsv`` again: the names, synonyms and hypernyms of the 1,000 ImageNet classes.

    python -m mmsearch.training.shipped.wordnet --nouns /usr/share/wordnet/data.noun

``data.noun`` is WordNet 3.0's (Miller 1995), in Debian's package wordnet-base; synset ids come with timm and the
class names with torchvision.  One line a class, in the classifier's order: synset, name, synonyms and hypernyms, the
last two separated by ``|``.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import timm.data

OUT = Path(__file__).parent / "imagenet_names.tsv"
MOST = 250  # a hypernym of more classes than this says nothing
# Words of taxonomy that nobody looks for in a picture.
TOO_ABSTRACT = frozenset(
    """abstraction, aquatic vertebrate, arthropod, chordate, commodity, consumer goods, conveyance, covering,
    craft, device, diapsid, durables, eutherian, even-toed ungulate, furnishing, good, implement, instrument,
    instrumentality, matter, measure, mechanism, natural object, odd-toed ungulate, part, piece, placental,
    plant organ, plant part, protection, protective covering, reproductive structure, restraint, self-propelled
    vehicle, solid, substance, surface, system, unit, vertebrate, wheeled vehicle, whole, passerine, oscine,
    saurian, ophidian, nutriment, creation, support, way, area, means, arrangement, attachment, fastener,
    oddity, tracheophyte, vascular plant, gastropod, anapsid, chelonian, equipment, produce, invertebrate,
    container, structure""".replace("\n   ", "").split(", ")
)


@dataclass
class Synset:
    """Words of one meaning, with the offsets of what is above it."""

    words: list[str]
    file: str
    above: list[str] = field(default_factory=list)


def read_synsets(file: Path) -> dict[str, Synset]:
    """Offset -> synset, of a ``data.*`` file; the format is described in wndb(5WN)."""
    synsets = {}
    for line in file.read_text("utf-8").splitlines():
        if line.startswith(" "):
            continue  # the licence
        fields = line.split(" | ")[0].split()
        count = int(fields[3], 16)
        words = [fields[4 + 2 * number].replace("_", " ") for number in range(count)]
        pointers = fields[5 + 2 * count :]
        above = [pointers[at + 1] for at in range(0, 4 * int(fields[4 + 2 * count]), 4) if pointers[at] in ("@", "@i")]
        synsets[fields[0]] = Synset(words, fields[1], above)
    return synsets


def ancestors(synset: str, nouns: dict[str, Synset]) -> list[str]:
    """All hypernyms of a synset, the nearest first."""
    found: list[str] = []
    waiting = list(nouns[synset].above)
    while waiting:
        above = waiting.pop(0)
        if above not in found:
            found.append(above)
            waiting += nouns[above].above
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nouns", type=Path, required=True)
    nouns = read_synsets(parser.parse_args().nouns)
    from torchvision.models import EfficientNet_B0_Weights

    names = EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"]
    info = Path(timm.data.__file__).parent / "_info"
    synsets = (info / "imagenet_synsets.txt").read_text("utf-8").split()
    above = [ancestors(synset[1:], nouns) for synset in synsets]
    counts: dict[str, int] = {}
    for own in above:
        for offset in own:
            counts[offset] = counts.get(offset, 0) + 1
    lines = []
    for synset, name, own in zip(synsets, names, above, strict=True):
        synonyms = [word for word in nouns[synset[1:]].words if word.lower() != name.lower()]
        kept = [nouns[o].words for o in own if counts[o] <= MOST or nouns[o].words[0] == "animal"]
        hypernyms = [word for words in kept if words[0] not in TOO_ABSTRACT for word in words[:1]]
        lines.append("\t".join((synset, name, "|".join(synonyms), "|".join(dict.fromkeys(hypernyms)))))
    OUT.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
