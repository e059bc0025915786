"""Make ``mmsearch/language/nouns.tsv`` again: common words for things that can be seen in a photo.

    python -m mmsearch.training.shipped.nouns --wordnet /usr/share/wordnet

The folder is WordNet 3.0's (Miller 1995, "WordNet: a lexical database for English"; Debian's package wordnet-base).  A
word is taken when it has a sense in one of the lexicographer files of ``FILES``; when such senses make up at least half
of its uses in the texts that WordNet's authors tagged by hand, verbs and adjectives counted too (``cntlist.rev``), or,
where it was never tagged, when its first sense as a noun is one and it is neither verb nor adjective; and when it is
common: tagged at least once, or a whole word in the vocabulary of the embedded model, or one of ``MORE``.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from pathlib import Path

from mmsearch.language.nouns import word_set
from mmsearch.training.shipped.wordnet import ancestors, read_synsets

PACKAGE = Path(__file__).parent.parent.parent
OUT = PACKAGE / "language" / "nouns.tsv"
VOCABULARY = PACKAGE / "encoders" / "weights" / "embedded" / "tokenizer.json"

# Number of a lexicographer file (lexnames(5WN)) -> the kind of its things, where no hypernym below says more.
FILES = {
    "05": "animal", "06": "artifact", "08": "body", "13": "food", "14": "group", "15": "place", "17": "object",
    "18": "person", "20": "plant", "27": "substance",
}  # fmt: skip
# The nearest of these hypernyms, by their first words, is the kind.
KINDS = {
    "clothing": "clothing", "footwear": "clothing", "headdress": "clothing", "handwear": "clothing",
    "vehicle": "vehicle", "furniture": "furniture", "container": "container", "vessel": "container",
    "structure": "building", "way": "way", "musical instrument": "music", "game equipment": "sport",
    "sports equipment": "sport", "tool": "tool", "weapon": "weapon", "toy": "toy", "plaything": "toy",
    "bird": "bird", "fish": "fish", "insect": "insect", "body of water": "water", "room": "room",
    "electronic equipment": "machine", "machine": "machine", "device": "device", "fabric": "cloth",
    "geological formation": "land", "land": "land", "fruit": "fruit", "edible fruit": "fruit", "vegetable": "vegetable",
    "tree": "tree", "beverage": "drink", "alcohol": "drink", "covering": "covering", "craft": "vehicle",
    "sporting goods": "sport", "area": "place",
}  # fmt: skip
# Seen in many photos, but too young for the texts and the vocabulary, or another part of speech more often.  Where
# WordNet does not have the word, or not in one of ``FILES``, or with another sense first, the kind stands after it.
MORE = {
    word.partition(":")[0]: word.partition(":")[2]
    for word in word_set(
        """
        airport:place alligator:animal animal:animal backpack:container bag:container bandana bandanna
        banner:object basketball:sport bat:sport beads:clothing beak:body beard:body belt:clothing
        bench:furniture bicyclist bike biker:person bikini:clothing bmx:vehicle book:object bow bowl:container
        bracelet:clothing braid:body branch:plant brush bunny:animal bus:vehicle camera:machine canoe:vehicle
        canoeist cart:vehicle cellphone:machine cheerleader cigarette:object cinnamon:food claw:body climber
        cloak:clothing cloud:sky collie computer:machine cone:object couch crane creek:water crowd:group curb
        deck:building disc:toy dress duck eyebrow:body farm:place feather:body fire:object firefighter
        flag:object floor:building food:food football:sport forest:land fountain:water fridge:machine
        frisbee:toy garden:place glasses:clothing goalie goggles:clothing greyhound grill:machine hair:body
        headband:clothing headphones:clothing helmet:clothing heron:bird hiker hoodie:clothing hoop:sport hose
        hurdle ice:ground innertube:toy jean:clothing jersey:clothing kayak:vehicle kite:toy lake:water
        laptop:machine leash leopard:animal log:object magnolia:plant mane:body mask mask:clothing
        microphone:machine mohawk:body motorbike motorboat motorcycle motorcyclist mouth:body mud:ground
        mustache:body muzzle:object necklace:clothing net newspaper:object ocean:water otter:animal oven:machine
        overalls:clothing paddle painting:artifact palm:tree parachute:object penguin people:person
        person:person phone:machine photographer picture:artifact plane plant:plant platform:place pond:water
        ponytail:body poodle pool:water predator:animal puck:sport puddle:water purse:container racket:sport
        racquet:sport raft raft:vehicle railroad:way rain:sky refrigerator:machine retriever river:water
        rock:object roller rope:object sand:ground sandcastle:object sash:clothing scanner:machine
        scooter:vehicle scorpion:animal sea:water seat:furniture ship:vehicle sign:artifact skateboard:sport
        skateboarder ski:sport skier skirt:clothing skis:sport skydiver sled sledge smartphone:machine sneaker
        snow:ground snowball:object snowboard:sport snowboarder snowman soda:drink sprinkler stage:building
        stairs:way station:place steps:way stick:object stroller subway:vehicle suitcase:container
        sunglasses:clothing sunset:sky surfboard:sport surfer sweatshirt swing:toy tattoo:artifact teddy:toy
        tee:clothing television:machine thong:clothing tie tiger:animal toddler trail:way trailer:vehicle
        train:vehicle trampoline tricycle tutu tutu:clothing umbrella:object unicorn:animal unicycle van:vehicle
        vest volleyball:sport wasp:insect waterfall:water wave:water weasel:animal wetsuit:clothing whale:animal
        wheelchair:vehicle windsurfer:person woods:land wren:bird zoo:place
        """
    )
}
# Their photographable sense is not what the words mostly mean in captions, or they name nothing that is seen.
NEVER = word_set(
    """
    abstraction act action activity adult air animation area arrangement art article aspect back background band
    base beats beginning being bit black blank blast block blond blonde blue border boss bottom brown bunch can case
    cast cell center centre chap character class close closeup coaster color colours company compound control corner
    counter country couple course cover covering cream cricket cut devil direction distance doe double down draw
    drawing drive east eat edge elder element end entrance exit expert facing fall falls fan fat feature fellow
    female figure first flat flight flow fly foam following foreground formation former fraction frame front game
    general german giant go god gold golden good gray green grey grinding ground guide half hanging head heat help
    helping hit home host inside interior joint junior kitty lab landing landscape lap last lay lead lean left
    life light lighter line links look lot love low major make male mark master match mate matter mean member midair
    middle mind mine minor mode model monster mother-in-law motion move name native natural neon north nut object
    offspring one onto open opening orange order original other out outside pair part party pass past patient period
    pet photo photograph piece pine pink place plaid plain play point polls position posterior power practice
    present press private pro property prospect public purple push record red regular relative rest return right
    round row run saw scene second secondary section self senior set setting shadow shape shed shepherd short shot
    show side silver single site snap sole solution somebody someone sort sound source south space special spot
    square stair stand start state step stop strip structure subject substance successor summer support surface swim
    system take tan team terrain territory thing tip top total trace trail trick turn type unit upper upside use
    video view walk watch waters way west wheeler while white whites whole wild will wind winner winter wonder work
    world yellow young
    """
)
MASS = word_set(
    """
    algae beer bread butter cake cheese cloth clothing coffee concrete corn debris denim dirt equipment fabric fire
    foam fog foliage food fruit fur furniture gear glass graffiti grass gravel greenery hair hay ice jewellery
    jewelry juice livestock luggage machinery makeup meat metal milk mist mud paint pasta popcorn rain rice rubble
    sand scenery seaweed smoke snow spaghetti straw sunshine sushi tea traffic vegetation water wildlife wine wood
    """
)
BOTH = word_set("sheep deer fish salmon trout bison moose elk aircraft spacecraft hovercraft offspring")
# Written as plurals, about one thing.
PLURAL_ONLY = word_set(
    """
    pants jeans shorts trousers sunglasses goggles glasses scissors overalls pajamas pyjamas leggings tights clothes
    headphones binoculars spectacles pliers tweezers trunks slacks knickers panties police cattle stairs
    """
)


# Hypernyms of nearly everything.
ABSTRACT = frozenset(
    ["entity", "physical entity", "object", "whole", "artifact", "causal agent", "organism", "living thing", "matter",
     "substance", "abstraction", "thing", "unit", "instrumentality", "part", "body part"]
)  # fmt: skip


def read_counts(file: Path) -> dict[tuple[str, str], list[tuple[str, int]]]:
    """(word, part of speech) -> (lexicographer file, times tagged) of each tagged sense; see cntlist(5WN)."""
    counts: dict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
    for line in file.read_text("utf-8").splitlines():
        key, number, count = line.split()
        word, _, rest = key.partition("%")
        part, lexfile = rest.split(":")[:2]
        while len(counts[word, part]) < int(number):
            counts[word, part].append(("", 0))
        counts[word, part][int(number) - 1] = lexfile, int(count)
    return dict(counts)


def plural_of(word: str, irregular: dict[str, str]) -> str:
    """How several are called; the word itself where that is the same, and empty where it is not counted."""
    if word in MASS:
        return ""
    if word in BOTH or word in PLURAL_ONLY or word == "people" or re.search(r"[^aiosu]s$", word.replace("lens", "")):
        return word
    if word.endswith("man") and word not in ("human", "german", "talisman", "caiman", "shaman", "ottoman", "roman"):
        return word[:-3] + "men"
    if word in irregular:
        return irregular[word]
    if re.search(r"(s|x|z|ch|sh)$", word):
        return word + "es"
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    if word in ("potato", "tomato", "hero", "mango", "tornado", "volcano", "buffalo", "mosquito"):
        return word + "es"
    return word + "s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wordnet", type=Path, required=True)
    folder = parser.parse_args().wordnet
    synsets = read_synsets(folder / "data.noun")
    counts = read_counts(folder / "cntlist.rev")
    irregular = {}
    for line in (folder / "noun.exc").read_text("utf-8").splitlines():
        plural, single = line.split()[:2]
        # Many words have an older plural beside the regular one ("busses", "brethren"); these are the living ones.
        if plural.endswith(("ves", "feet", "teeth", "geese", "mice", "children", "oases")) and single != "beef":
            irregular[single] = plural
    others = {
        line.split()[0]
        for part in ("verb", "adj")
        for line in (folder / f"index.{part}").read_text("utf-8").splitlines()
        if not line.startswith(" ")
    }
    vocabulary = set(json.loads(VOCABULARY.read_text("utf-8"))["model"]["vocab"])
    chosen: dict[str, list[str]] = {}
    for line in (folder / "index.noun").read_text("utf-8").splitlines():
        fields = line.split()
        word = fields[0]
        if line.startswith(" ") or not re.fullmatch("[a-z]{3,}", word) or (word in NEVER and word not in MORE):
            continue
        offsets = fields[-int(fields[2]) :]
        tagged = counts.get((word, "1"), [])
        tagged += [("", 0)] * (len(offsets) - len(tagged))
        pairs = zip(offsets, tagged, strict=False)  # some senses that were tagged are no longer there
        seen = [(offset, count) for offset, (_, count) in pairs if synsets[offset].file in FILES]
        proper = all(synsets[offset].words[0][0].isupper() for offset, _ in seen)
        if word in MORE and (MORE[word] or not seen):
            seen = [(offset, 0) for offset in offsets]
        elif not seen or proper:
            continue
        every = sum(count for part in "12345" for _, count in counts.get((word, part), []))
        good = sum(count for _, count in seen)
        known = every > 0 and 2 * good >= every
        untagged = every == 0 and seen[0][0] == offsets[0] and (word not in others)
        if word not in MORE and not ((known or untagged) and word in vocabulary):
            continue
        best = max(seen, key=lambda pair: pair[1])[0]  # the first of those tagged as often
        chosen[word] = [best, *(offset for offset, _ in seen if offset != best)][:3]
    several = {plural_of(word, irregular) for word in chosen if not word.endswith("s")}
    lines = []
    for word in sorted({*chosen, *MORE}):
        if word not in chosen:
            lines.append("\t".join((word, MORE[word], plural_of(word, irregular), "", "")))
            continue
        senses = chosen[word]
        if word in several and word not in BOTH and word != "people":
            continue  # "cows" is the plural of "cow", whatever else it means
        above = ancestors(senses[0], synsets)
        names = [synsets[offset].words[0] for offset in above]
        kind = next((KINDS[name] for name in [synsets[senses[0]].words[0], *names] if name in KINDS), None)
        if kind is None or synsets[senses[0]].file == "18":
            kind = FILES.get(synsets[senses[0]].file, "object")
        kind = MORE.get(word) or kind
        same = [other.lower() for sense in senses for other in synsets[sense].words if other.lower() != word]
        plural = "" if kind in ("substance", "drink") else plural_of(word, irregular)
        kept = [name for name in names if name not in ABSTRACT]
        synonyms = [other for other in dict.fromkeys(same) if other in chosen]
        lines.append("\t".join((word, kind, plural, "|".join(synonyms), "|".join(kept))))
    OUT.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
