"""A ``Query`` as the text that a person would type for it; ``parser.py`` reads it."""

from __future__ import annotations

import re

from mmsearch.errors import QueryError
from mmsearch.query.fields import write
from mmsearch.query.lexer import in_quotes
from mmsearch.query.model import AnyOf, Condition, Example, Query, Term, Words, descends, usual_order
from mmsearch.query.numbers import number_text

_PLAIN = re.compile(r"\w[\w'-]*")  # words that need no quotes


def written(query: Query) -> str:
    """The query as text that ``parse([text])`` reads as the same query.

    ``arithmetic`` is an option of the command line and not part of the text.  Raises QueryError for what the language
    cannot say: one condition about several fields, a picture in memory, a vector.
    """
    parts = [_term_text(term, first=not number) for number, term in enumerate(query.terms)]
    parts += [_condition_text(condition) for condition in query.conditions]
    usual = usual_order(query.terms)
    if (query.order, query.descending) != (usual, descends(usual)) or not parts:
        end = "" if query.descending == descends(query.order) else ":desc" if query.descending else ":asc"
        parts.append(f"sort:{query.order}{end}")
    return " ".join(parts)


def _term_text(term: Term, first: bool) -> str:
    weight = "" if term.weight == 1 else f"{number_text(term.weight)}:"
    sign = "-" if term.exclude else ""
    if isinstance(term, Example):
        return f"{sign}{weight}like:{in_quotes(term.path)}"
    if not isinstance(term, Words):
        raise QueryError(f"a {type(term).__name__.lower()} in memory cannot be written as a text")
    if term.exact:
        return f"{sign}{weight}words:{in_quotes(term.text)}"
    words = term.text.split()
    plain = " ".join(words) == term.text and all(_PLAIN.fullmatch(word) for word in words)
    hidden = term.exclude and not weight and not words[0][0].isalnum()  # "-_" reads as a word
    if not plain or hidden or (term.exclude and len(words) > 1) or (weight and words[0][0].isdigit()):
        return f"{sign}{weight}{in_quotes(term.text)}"
    return f"{sign or ('' if first or weight else '+')}{weight}{term.text}"


def _condition_text(condition: Condition) -> str:
    fits = condition.fits.fits if isinstance(condition.fits, AnyOf) else (condition.fits,)
    values = [write(one) for one in fits]
    if len({name for name, _ in values}) != 1:
        raise QueryError("a condition about several fields, or about none, cannot be written")
    name = values[0][0]
    # The others have no spaces, commas or quotes in them.
    safe = name not in ("camera", "cluster", "codec", "lens", "city", "person", "album", "label", "in", "tag")
    texts = [text if safe or re.fullmatch(r"[\w.-]+", text) else in_quotes(text) for _, text in values]
    return f"{'-' if condition.exclude else ''}{name}:{','.join(texts)}"
