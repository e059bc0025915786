"""Questions about photos with their answers: derived from captions, or read from DAQUAR.

``derive`` makes questions by rule, in the way of COCO-QA (Ren, Kiros and Zemel 2015, "Exploring Models and Data for
Image Question Answering"), from all captions of a photo together:

=========  =====================================  ===================================  ===============================
kind       caption                                question                             answer
=========  =====================================  ===================================  ===============================
yes/no     a dog runs                             is there a dog?                      yes
yes/no     (no caption of the photo says cat)     is there a cat?                      no
yes/no     a dog is running                       is the dog running?                  yes
yes/no     a dog is running                       is the dog sleeping?                 no
number     two dogs                               how many dogs are there?             2
other      a red shirt                            what color is the shirt?             red
other      a man rides a horse                    what is the man riding?              horse
other      a dog is running                       what is the dog doing?               running
other      a dog on a beach                       where is the dog?                    beach
=========  =====================================  ===================================  ===============================

**No.**  "No" is asked only of kinds in ``ASKED``, and only for a word that is surely absent (``common/mentions.py``).
Every thing is asked for as often with "yes" as with "no", so that the words of a question do not give its answer
away; half of the photos for "no" show another thing of the same kind where there are enough.

**Number.**  Only where all captions that count a thing agree; 1 where most captions speak of a single one and none of
several, and no oftener than the other numbers together.  **Colour.**  Only where all captions that give a thing a
colour give the same one.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmsearch.errors import SourceError
from mmsearch.language.hard_negatives import article
from mmsearch.language.nouns import COLOURS, NUMBERS, Noun, Phrase, Token, find, nouns, phrases, tokenize, word_set
from mmsearch.training.common.mentions import is_absent, nouns_of
from mmsearch.training.common.pairs import read_lines

ASKED = word_set("person animal bird vehicle sport toy music furniture clothing water ground machine")
# Nearly everybody wears some, whether a caption says so or not; or the word says too little.
NOT_ASKED = word_set(
    "shirt pants jean shorts shoe clothes clothing outfit uniform suit top people person animal vehicle"
)
LEAST = 5  # photos that must name a thing for it to be asked for
WHERE = word_set("land place way water ground room")
COUNTED = word_set("person animal bird vehicle sport toy furniture clothing machine music fish")
# What is done to a thing, by the form in which it is asked.
DONE = {
    verb: asked
    for asked, forms in {
        "holding": "holding holds hold", "wearing": "wearing wears wear", "riding": "riding rides ride",
        "carrying": "carrying carries carry", "throwing": "throwing throws throw", "kicking": "kicking kicks kick",
        "catching": "catching catches catch", "eating": "eating eats eat", "chasing": "chasing chases chase",
        "pushing": "pushing pushes push", "pulling": "pulling pulls pull",
    }.items()
    for verb in forms.split()
}  # fmt: skip
DOING = {
    verb: asked
    for asked, forms in {
        "running": "running runs run", "jumping": "jumping jumps jump leaping leaps",
        "sitting": "sitting sits sit seated", "standing": "standing stands stand", "walking": "walking walks walk",
        "swimming": "swimming swims swim", "sleeping": "sleeping sleeps sleep",
        "climbing": "climbing climbs climb", "dancing": "dancing dances dance",
        "smiling": "smiling smiles smile", "flying": "flying flies fly",
    }.items()
    for verb in forms.split()
}  # fmt: skip
# What nobody does at the same time.
INSTEAD = {
    "running": ("sitting", "sleeping", "standing"), "jumping": ("sitting", "sleeping", "walking"),
    "sitting": ("running", "jumping", "swimming"), "standing": ("running", "swimming", "sleeping"),
    "walking": ("sitting", "sleeping", "swimming"), "swimming": ("walking", "sitting", "climbing"),
    "sleeping": ("running", "jumping", "walking"), "climbing": ("sleeping", "swimming", "running"),
    "dancing": ("sleeping", "swimming"), "smiling": ("crying", "sleeping"), "flying": ("walking", "swimming"),
}  # fmt: skip
DAQUAR = "qa.tsv"
Row = tuple[str, str, str]  # file, question, answer


@dataclass(frozen=True)
class Asked:
    """A question about a photo, and its answer."""

    photo: int  # the row of its captions
    question: str
    answer: str


@dataclass(frozen=True)
class Search:
    """A yes/no question asked of many photos."""

    question: str
    yes: frozenset[int]  # rows of the captions of photos in which the answer is yes
    no: frozenset[int]  # and surely no; of the others the captions do not tell


@dataclass(frozen=True)
class _Read:
    """A caption, taken apart."""

    tokens: list[Token]
    phrases: list[Phrase]


def derive(captions: Sequence[Sequence[str]], seed: int = 0) -> list[Asked]:
    """Questions about photos, from their captions: those of photo i are ``captions[i]``.

    As many are answered "no" as "yes".  The same for the same captions and seed; in the order of the photos, none
    twice.  The module says how.
    """
    read = [[_Read(tokens := tokenize(text), phrases(tokens)) for text in own] for own in captions]
    rng = random.Random(seed)
    found = [*_presence(read, rng)]
    numbers = [Asked(photo, *pair) for photo, own in enumerate(read) for pair in _numbers(own)]
    ones = [one for one in numbers if one.answer == "1"]
    others = [one for one in numbers if one.answer != "1"]
    found += others + rng.sample(ones, min(len(ones), len(others)))
    for photo, own in enumerate(read):
        found += [Asked(photo, question, answer) for question, answer in _colours(own)]
        found += [Asked(photo, question, answer) for question, answer in _done(own)]
        found += [Asked(photo, question, answer) for question, answer in _doing(own, rng)]
    answers: dict[tuple[int, str], set[str]] = defaultdict(set)
    for one in found:
        answers[one.photo, one.question].add(one.answer)
    # Two answers to one question: captions speak of different things.
    sure = [one for one in dict.fromkeys(found) if len(answers[one.photo, one.question]) == 1]
    # Of "is there a dog?" and of "is the dog running?" apart, so that neither form has an answer of its own.
    forms = [[one for one in sure if bool(re.match("(is|are) the ", one.question)) is form] for form in (False, True)]
    return sorted((one for form in forms for one in _even(form, rng)), key=lambda one: one.photo)


def searches(captions: Sequence[Sequence[str]], seed: int = 0, least: int = LEAST) -> list[Search]:
    """Yes/no questions as searches over photos: "is there a dog?" for each thing that ``least`` photos name, then "is
    the dog running?" for what as many are said to do.

    The answer is no where a thing is surely absent, see the module, or does something else instead.  One form of each
    question, by ``seed``.
    """
    read = [[_Read(tokens := tokenize(text), phrases(tokens)) for text in own] for own in captions]
    rng = random.Random(seed)
    words = _words(read)
    found = []
    for thing, photos in sorted(_named(read).items()):
        noun = nouns()[thing]
        if len(photos) >= least:
            absent = {photo for photo in range(len(read)) if is_absent(thing, words[photo])}
            several = 2 * sum(photos.values()) > len(photos)
            found.append(Search(_is_there(noun, several, rng), frozenset(photos), frozenset(absent - photos.keys())))
    done: dict[tuple[str, str], dict[int, bool]] = defaultdict(dict)  # thing, what it does -> photos, several
    for photo, own in enumerate(read):
        for one in own:
            for phrase, doing in _busy(one):
                done[phrase.noun.word, doing].setdefault(photo, phrase.several)
    for (thing, doing), photos in sorted(done.items()):
        if len(photos) < least:
            continue
        absent = {photo for photo in range(len(read)) if is_absent(thing, words[photo])}
        instead = {photo for other in INSTEAD[doing] for photo in done.get((thing, other), ())}
        told = {photo for photo, own in enumerate(words) if any(DOING.get(word) == doing for word in own)}
        several = 2 * sum(photos.values()) > len(photos)
        name, be = (nouns()[thing].plural, "are") if several else (thing, "is")
        found.append(
            Search(f"{be} the {name} {doing}?", frozenset(photos), frozenset((absent | instead) - told - photos.keys()))
        )
    return found


def _even(asked: list[Asked], rng: random.Random) -> list[Asked]:
    """As many "no" as "yes", by leaving out some of what there is more of."""
    rows = {answer: [row for row, one in enumerate(asked) if one.answer == answer] for answer in ("yes", "no")}
    few = min(map(len, rows.values()))
    dropped = {row for own in rows.values() for row in rng.sample(own, len(own) - few)}
    return [one for row, one in enumerate(asked) if row not in dropped]


def _presence(read: Sequence[Sequence[_Read]], rng: random.Random) -> Iterator[Asked]:
    words = _words(read)
    kinds = [{nouns()[word].kind for word in nouns_of(own)} for own in words]
    for thing, photos in sorted(_named(read).items()):
        if len(photos) < LEAST:
            continue
        noun = nouns()[thing]
        order = rng.sample(range(len(read)), len(read))
        absent = (photo for photo in order if is_absent(thing, words[photo]))
        of_kind = (photo for photo in order if noun.kind in kinds[photo] and is_absent(thing, words[photo]))
        chosen = list(itertools.islice(of_kind, (len(photos) + 1) // 2))
        there = set(chosen)
        chosen += itertools.islice((photo for photo in absent if photo not in there), len(photos) - len(chosen))
        several = sum(photos.values()) / len(photos)
        for photo in rng.sample(sorted(photos), len(chosen)):
            yield Asked(photo, _is_there(noun, photos[photo], rng), "yes")
        for photo in chosen:
            yield Asked(photo, _is_there(noun, rng.random() < several, rng), "no")


def _named(read: Sequence[Sequence[_Read]]) -> dict[str, dict[int, bool]]:
    """The things that are asked for -> photos that name them, and whether several are there."""
    named: dict[str, dict[int, bool]] = defaultdict(dict)
    for photo, own in enumerate(read):
        for one in own:
            for phrase in one.phrases:
                if phrase.noun.kind in ASKED and phrase.noun.word not in NOT_ASKED:
                    named[phrase.noun.word].setdefault(photo, phrase.several)
    return named


def _words(read: Sequence[Sequence[_Read]]) -> list[set[str]]:
    """All words of each photo."""
    return [{token.word for one in own for token in one.tokens} for own in read]


def _is_there(noun: Noun, several: bool, rng: random.Random) -> str:
    if not noun.plural:
        return rng.choice([f"is there {noun.word}?", f"is there any {noun.word}?", f"can you see {noun.word}?"])
    if several or noun.plural == noun.word:
        return rng.choice([f"are there {noun.plural}?", f"are there any {noun.plural}?", f"can you see {noun.plural}?"])
    one = f"{article(noun.word)} {noun.word}"
    return rng.choice([f"is there {one}?", f"is there {one} in the photo?", f"can you see {one}?"])


def _numbers(own: Sequence[_Read]) -> Iterator[tuple[str, str]]:
    counts: dict[str, set[int]] = defaultdict(set)
    single: Counter[str] = Counter()
    plural: set[str] = set()
    for one in own:
        times = Counter(phrase.noun.word for phrase in one.phrases)
        for phrase in one.phrases:
            word = phrase.noun.word
            if phrase.noun.kind not in COUNTED or not phrase.noun.plural or phrase.noun.plural == word:
                continue
            number = _number(one.tokens, phrase)
            if phrase.several:
                plural.add(word)
            if times[word] > 1 or (
                not phrase.several and one.tokens[phrase.start].word in ("another", "each", "every")
            ):
                counts[word] |= {0, -1}  # more than one phrase tells of
            elif phrase.several and number:
                counts[word].add(number)
            elif not phrase.several:
                single[word] += 1
    for word, times_single in single.items():
        if word not in plural and not counts[word] and 2 * times_single > len(own):
            counts[word].add(1)
    for word, numbers in sorted(counts.items()):
        if len(numbers) == 1 and (numbers == {1} or not single[word]):
            yield f"how many {nouns()[word].plural} are there?", str(numbers.copy().pop())


def _number(tokens: Sequence[Token], phrase: Phrase) -> int:
    for token in tokens[phrase.start : phrase.head]:
        if token.word in NUMBERS or token.word.isdecimal():
            return NUMBERS.get(token.word) or int(token.word)
    return 0


def _colours(own: Sequence[_Read]) -> Iterator[tuple[str, str]]:
    colours: dict[tuple[str, bool], set[str]] = defaultdict(set)
    for one in own:
        for phrase in one.phrases:
            before = [token.word for token in one.tokens[phrase.start : phrase.head]]
            while before and before[-1] not in COLOURS:
                if find(before[-1]) is not None or before[-1] in ("haired", "skinned"):
                    before = []  # "red tennis ball", "blond haired boy": whose colour?
                else:
                    before.pop()
            if before and phrase.noun.kind != "person":
                colour = before[-1]
                if len(before) > 2 and before[-2] == "and" and before[-3] in COLOURS:
                    colour = " and ".join(sorted((before[-3], before[-1])))
                elif len(before) > 1 and before[-2] in COLOURS:
                    colour = ""
                colours[phrase.noun.word, phrase.several].add(colour.replace("grey", "gray"))
    for (word, several), found in sorted(colours.items()):
        if len(found) == 1 and (word, not several) not in colours and not found & {"", "golden"}:
            name = nouns()[word].plural if several else word
            yield f"what color {'are' if several else 'is'} the {name}?", found.copy().pop()


def _done(own: Sequence[_Read]) -> Iterator[tuple[str, str]]:
    for one in own:
        for subject, thing in zip(one.phrases, one.phrases[1:], strict=False):
            between = [token.word for token in one.tokens[subject.head + 1 : thing.start]]
            if subject.noun.kind not in ("person", "animal"):
                continue
            name = f"the {one.tokens[subject.head].word}"
            be = "are" if subject.several else "is"
            if between and between[0] in ("is", "are"):
                between = between[1:]
            of = [token.word for token in one.tokens[thing.head + 1 : thing.head + 2]] == ["of"]  # "a plate of"
            plain = not of and thing.noun.kind not in ("group", "substance", "body")
            if len(between) == 1 and between[0] in DONE and plain:
                yield f"what {be} {name} {DONE[between[0]]}?", thing.noun.word
            place = between[-1:] in (["on"], ["in"], ["at"]) and thing.noun.kind in WHERE
            if place and (len(between) == 1 or (len(between) == 2 and re.search(r"(ing|s)$", between[0]))):
                yield f"where {be} {name}?", thing.noun.word


def _doing(own: Sequence[_Read], rng: random.Random) -> Iterator[tuple[str, str]]:
    every = {token.word for one in own for token in one.tokens}
    busy = {DOING[word] for word in every if word in DOING}
    for one in own:
        for phrase, doing in _busy(one):
            name, be = f"the {one.tokens[phrase.head].word}", "are" if phrase.several else "is"
            if len(busy) == 1:
                yield f"what {be} {name} doing?", doing
            yield f"{be} {name} {doing}?", "yes"
            others = [other for other in INSTEAD[doing] if other not in busy and other not in every]
            if others:
                yield f"{be} {name} {rng.choice(others)}?", "no"


def _busy(one: _Read) -> Iterator[tuple[Phrase, str]]:
    """Who does something of ``DOING``, and what."""
    for phrase in one.phrases:
        after = [token.word for token in one.tokens[phrase.head + 1 : phrase.head + 3]]
        if after[:1] in (["is"], ["are"]):
            after = after[1:]
        if phrase.noun.kind in ("person", "animal", "bird") and after and after[0] in DOING:
            yield phrase, DOING[after[0]]


def read_daquar(folder: Path) -> list[Row]:
    """(file, question, answer) of each line of ``qa.tsv`` in a folder: DAQUAR (Malinowski and Fritz 2014).

    The files lie in ``images/`` beside it.  An answer may be a list ("book, scissor").  UTF-8, no header; blank lines
    count for nothing.  Raises SourceError, with the line's number, for a line that has not three parts, or an empty
    one, or a photo that is not there; and when there are no lines.
    """
    file, images = folder / DAQUAR, folder / "images"
    if not images.is_dir():
        raise SourceError(f"{images}: no such folder")
    found: list[Row] = []
    there: dict[str, bool] = {}
    for number, line in read_lines(file):
        parts = [part.strip() for part in line.split("\t")]
        if len(parts) != 3 or not parts[0]:
            raise SourceError(f"{file}, line {number}: wanted 'file<TAB>question<TAB>answer', got {line[:60]!r}")
        name, question, answer = parts
        if not question or not answer:
            raise SourceError(f"{file}, line {number}: the {'answer' if question else 'question'} is empty")
        if name not in there:
            there[name] = (images / name).is_file()
        if not there[name]:
            raise SourceError(f"{file}, line {number}: there is no photo {name!r} in {images}")
        found.append((name, question, answer))
    if not found:
        raise SourceError(f"{file}: no questions; wanted lines of 'file<TAB>question<TAB>answer'")
    return found


def split(rows: Sequence[Row], share: float, seed: int = 0) -> tuple[list[Row], list[Row]]:
    """Training and dev questions, no photo in both; ``share`` in [0, 1) of the photos, at least one, become dev.

    Which ones depends on their names and ``seed`` only.
    """
    names = sorted({name for name, _, _ in rows}, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    count = min(max(1, round(share * len(names))), len(names) - 1) if share > 0 else 0
    dev = set(names[len(names) - count :])
    return [row for row in rows if row[0] not in dev], [row for row in rows if row[0] in dev]
