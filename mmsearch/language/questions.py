"""What a question is, and what must be in a photo for it to make sense.

===========================  =========  ===============================  ===============================
begins with                  kind       example                          thing
===========================  =========  ===============================  ===============================
is, are, was, were there     yes/no     are there people on the beach    people on the beach
is anyone, does somebody     yes/no     is anyone wearing a red hat      someone wearing a red hat
is, are, was, were           yes/no     is the dog running               dog running
do, does, did                yes/no     does he hold a ball              he holds a ball
can, could, do you see       yes/no     can you see a dog                a dog
can, has, have, will, ...    yes/no     has the man a beard              man has a beard
how many                     number     how many dogs are there          dogs
what, which colour, kind of  other      what color is the car            car
who, whose                   other      who is riding a horse            someone riding a horse
where, when, why, how is     other      where is the cat                 cat
what is on, in, behind, ...  other      what is on the table             something on the table
what is ... doing            other      what is the man doing            man
what is ... holding          other      what is the man holding          man holding something
what does ...                other      what does the sign say           sign says something
what, which                  other      which animal is in the water     animal in the water
anything else with "?"       other      a dog?                           a dog
===========================  =========  ===============================  ===============================

The kinds are those of VQA (Antol et al. 2015, "VQA: Visual Question Answering").  The question mark may be missing;
then "can", "do", "have", "will" and their like count only before a pronoun or a determiner ("can of beer" is a thing),
and words like "where" and "why" only before a verb of the lists below ("where the wild things are" is a title).
"what a day" and "how cute" are exclamations.  A thing is in lower case, good enough for a text encoder; its grammar is
that of the question.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mmsearch.language.nouns import COLOURS, DETERMINERS, FUNCTION, PREPOSITIONS, find, word_set

Kind = Literal["yes/no", "number", "other"]


@dataclass(frozen=True)
class Question:
    """A question, its kind as in VQA, and what a photo must show for it to make sense."""

    text: str
    kind: Kind
    thing: str


BE = word_set("is are was were isn't aren't wasn't weren't")
DO = word_set("do does did don't doesn't didn't")
MODAL = word_set("can could will would should has have had may might must can't hasn't haven't")
AUXILIARIES = BE | DO | MODAL
PRONOUNS = word_set("he she it they we you i this that these those there one")
SOMEONE = word_set("anyone anybody someone somebody everyone everybody")
SUBJECTS = PRONOUNS | SOMEONE | DETERMINERS | word_set("anything something people")
QUALITIES = word_set("color colour colors colours kind type sort breed brand make model size shape material pattern")
PLACED = word_set("found kept stuck hung hanged placed seen shown left held worn made lying")
PHOTOS = word_set("photo picture image photograph scene pic photos pictures images")
IN_PHOTO = re.compile(r"\b(in|on|of) (this|the|that) (photo|picture|image|photograph|scene|pic)$")
WORDS = re.compile(r"[^\s?!.,;:\"]+")


def parse(text: str) -> Question | None:
    """The question that a text asks, or None where it asks none.  The rules are in the module's table."""
    if re.search(r"\?\W*\w", text):  # a question is quoted: "a sign says why? in red"
        return None
    words = WORDS.findall(text.lower().replace("’", "'"))
    marked = text.rstrip(" \t\n\"'").endswith("?")
    if words and words[-1] in ("please", "then"):
        words.pop()
    if len(words) < 2:
        return Question(text, "other", " ".join(words)) if marked and words else None
    found = _read(words, marked)
    if found is None:
        return Question(text, "other", " ".join(words)) if marked else None
    kind, thing = found
    return Question(text, kind, _tidy(thing) or "something")


def _read(words: list[str], marked: bool) -> tuple[Kind, str] | None:
    first, rest = words[0], words[1:]
    if not rest:
        return None
    if first in BE:
        return "yes/no", _after_be(rest)
    if first in DO and (first != "do" or marked or rest[0] in SUBJECTS or _several(rest[0])):
        return "yes/no", _after_do(rest, first)
    if first in MODAL and (marked or rest[0] in (SUBJECTS - DETERMINERS if first == "have" else SUBJECTS)):
        return "yes/no", _after_modal(rest, first)
    if first == "how" and rest[0] == "many":
        return "number", _counted(rest[1:])
    if first in ("who", "whose", "who's", "whom"):
        return "other", _who(words)
    if first in ("what's", "where's", "how's"):
        return _read([first[:-2], "is", *rest], marked)
    if first in ("where", "when", "why", "how"):
        if rest[0] in AUXILIARIES:
            return "other", _clause(rest)
        at = _find(rest, AUXILIARIES)
        if first == "how" and rest[0] == "much" and at > 1:
            return "other", " ".join(rest[1:at])
        return ("other", _clause(rest[at:])) if first == "how" and 0 < at < len(rest) - 1 else None
    if first in ("what", "which"):
        return _what(rest, marked)
    if first in PREPOSITIONS and rest[0] in ("what", "which", "whom"):  # "in which room is the bed"
        return _read(rest, marked)
    return None


def _after_be(rest: list[str]) -> str:
    """ "there a dog", "anyone wearing a hat", "the dog running", "this a dog", "the car red"."""
    if rest[0] in ("there", "here"):
        return " ".join(rest[1:])
    if len(rest) > 2 and rest[1] in PHOTOS and rest[0] in DETERMINERS:  # "this photo taken outdoors"
        return " ".join(rest[2:])
    if rest[0] in SOMEONE:
        return " ".join(["someone", *rest[1:]])
    if rest[0] == "anything":
        return " ".join(["something", *rest[1:]])
    if rest[0] in ("it", "this", "that", "these", "those") and len(rest) > 1 and find(rest[1]) is None:
        return " ".join(rest[1:])
    if rest[-1] in COLOURS and len(rest) > 1 and find(rest[-2]):
        return " ".join([*(word for word in rest[:-2] if word not in DETERMINERS), rest[-1], rest[-2]])
    return " ".join(rest)


def _after_do(rest: list[str], first: str) -> str:
    """ "he hold a ball" -> "he holds a ball"."""
    if rest[0] == "you" and len(rest) > 1:
        return " ".join(rest[2:])
    at = _verb(rest)
    if first == "does" and at < len(rest):
        rest = [*rest[:at], _third(rest[at]), *rest[at + 1 :]]
    return _after_be(rest)


def _after_modal(rest: list[str], first: str) -> str:
    if rest[0] in ("you", "we", "i") and len(rest) > 1:  # "can you see a dog", "can you find me a dog"
        return " ".join(word for place, word in enumerate(rest[2:]) if place or word not in ("me", "us", "any"))
    at = _verb(rest)
    if first in ("has", "have") and at < len(rest) and rest[at] in DETERMINERS:
        rest = [*rest[:at], first, *rest[at:]]
    return _after_be(rest)


def _clause(rest: list[str]) -> str:
    """What an auxiliary asks of: "is the cat" -> "the cat"."""
    if rest[0] in BE:
        return _after_be(rest[1:]) if len(rest) > 1 else ""
    return _after_do(rest[1:], rest[0]) if len(rest) > 1 else ""


def _counted(rest: list[str]) -> str:
    """ "dogs are there", "people are wearing hats", "dogs does he have", "dogs can you see"."""
    at = _find(rest, AUXILIARIES)
    things, after = rest[:at], rest[at + 1 :]
    if at < len(rest) and rest[at] in BE:
        return " ".join(things + [word for place, word in enumerate(after) if place or word not in ("there", "here")])
    return " ".join(things)


def _who(words: list[str]) -> str:
    first, rest = words[0], words[1:]
    if first == "whose":
        return " ".join(rest[: _find(rest, AUXILIARIES)])
    if first == "who's" or rest[0] in BE:
        rest = rest if first == "who's" else rest[1:]
        if rest and rest[0] in DETERMINERS | PRONOUNS and find(rest[-1]):
            return " ".join(rest)  # "who is the man", "who is this boy"
        return " ".join(["someone", *rest])
    if rest[0] in DO | MODAL:
        return _clause(rest)
    return " ".join(["someone", *rest])


def _what(rest: list[str], marked: bool) -> tuple[Kind, str] | None:
    if rest[0] in BE:
        return "other", _what_is(rest[1:])
    if rest[0] in MODAL:
        return "other", _clause(rest)
    if rest[0] in DO:
        if rest[-1] == "do" or len(rest) == 1:  # "what does the boy do"
            return "other", " ".join(rest[1:-1])
        ends = _verb(rest[1:]) >= len(rest) - 2
        return "other", _after_do(rest[1:], rest[0]) + (" something" if ends else "")
    if len(rest) > 1 and rest[0].endswith("s") and find(rest[0]) is None and rest[1] in DETERMINERS:
        return "other", " ".join(["something", *rest])  # "what holds the globe"
    at = _find(rest, AUXILIARIES)
    if rest[0] in ("a", "an") or (at == len(rest) and not marked):
        return None
    things, after = rest[:at], rest[at:]
    if things[0] in QUALITIES:
        things = things[2:] if things[1:2] == ["of"] else things[1:]
        if not things:
            return "other", _clause(after) if after else ""
    if len(after) > 1 and after[0] in BE and (after[1] in PREPOSITIONS or after[1].endswith(("ing", "ed"))):
        things = things + after[1:]  # "animal is in the water"
    return "other", " ".join(things)


def _what_is(rest: list[str]) -> str:
    if not rest:
        return ""
    if rest[-1] in QUALITIES and len(rest) > 1:  # "what is the dog's breed"
        return " ".join(rest[:-1])
    at = _find(rest, QUALITIES)
    if rest[at + 1 : at + 2] == ["of"]:  # "what is the color of the car"
        return " ".join(rest[at + 2 :])
    if rest[-1] == "doing":
        return " ".join(rest[:-1])
    if rest[-1].endswith("ing") and find(rest[-1]) is None and len(rest) > 1:
        return " ".join([*rest, "something"])
    if rest[0] in PREPOSITIONS | PLACED or (rest[0].endswith(("ing", "ed")) and find(rest[0]) is None):
        return " ".join(["something", *rest])
    if rest[0] == "there":
        return " ".join(["something", *rest[1:]])
    return " ".join(rest)


def _tidy(thing: str) -> str:
    """Without "the", "any" and "some" in front, and without what is said of the photo itself."""
    thing = IN_PHOTO.sub("", thing).strip()
    return re.sub(r"^(the|any|some|this|that|these|those)( |$)", "", thing)


def _verb(words: Sequence[str]) -> int:
    """Where the verb stands after a subject: "the big dog | hold a ball"; ``len(words)`` where there is none."""
    if words[0] in PRONOUNS | SOMEONE | {"anything", "something"} and (len(words) < 2 or find(words[1]) is None):
        return min(1, len(words))
    best = len(words)
    for at in range(1, len(words)):
        if words[at] in FUNCTION - {"have", "has", "do"}:
            break
        if find(words[at - 1]):
            best = at
            if find(words[at]) is None or at + 1 == len(words) or words[at + 1] in DETERMINERS | PREPOSITIONS:
                break
    return best if best < len(words) else min(2 if words[0] in DETERMINERS else 1, len(words))


def _third(verb: str) -> str:
    """ "hold" -> "holds"."""
    if verb in ("have", "be", "do"):
        return {"have": "has", "be": "is", "do": "does"}[verb]
    if re.search(r"(s|x|z|ch|sh|o)$", verb):
        return verb + "es"
    return verb[:-1] + "ies" if re.search(r"[^aeiou]y$", verb) else verb + "s"


def _several(word: str) -> bool:
    found = find(word)
    return found is not None and found[1]


def _find(words: Sequence[str], wanted: frozenset[str]) -> int:
    return next((at for at, word in enumerate(words) if word in wanted), len(words))
