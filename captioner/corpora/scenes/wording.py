"""Puts the facts of a scene into words, in five ways, and reads them back."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Sequence

from captioner.corpora.scenes.facts import (
    BACKGROUNDS,
    COLOURS,
    KINDS,
    RELATIONS,
    SIZES,
    Facts,
    Thing,
)

# A is the thing named first. Most name the kind before the colour, so that a captioner is not led
# by a colour it has just named to the kinds it has seen in that colour.
WORDINGS = (
    "a {size_a} {colour_a} {kind_a} is {between} a {size_b} {colour_b} {kind_b} {background} .",
    "{background} , a {size_a} {kind_a} in {colour_a} is {between}"
    " a {size_b} {kind_b} in {colour_b} .",
    "{place_a} is a {kind_a} , {size_a} and {colour_a} ,"
    " and {place_b} a {kind_b} , {size_b} and {colour_b} , {background} .",
    "there are a {kind_a} that is {colour_a} and {size_a} {place_a}"
    " and a {kind_b} that is {colour_b} and {size_b} {place_b} {background} .",
    "the {kind_a} {background} is {colour_a} and {size_a} and {between}"
    " the {kind_b} , which is {colour_b} and {size_b} .",
)
# How the thing named first stands to the other: where it is the facts' first, and where not.
BETWEEN = {"left of": ("to the left of", "to the right of"), "above": ("above", "below")}
PLACES = {"left of": ("on the left", "on the right"), "above": ("at the top", "at the bottom")}
SURROUNDINGS = {
    "beach": "on a beach",
    "meadow": "in a meadow",
    "night": "at night",
    "snow": "in the snow",
    "sunset": "at sunset",
}


def tell(facts: Facts, wording: str, turned: bool) -> str:
    """Fills one of `WORDINGS` with the facts; with `turned` the second thing is named first."""
    a, b = (facts.second, facts.first) if turned else (facts.first, facts.second)
    return wording.format(
        size_a=a.size,
        colour_a=a.colour,
        kind_a=a.kind,
        size_b=b.size,
        colour_b=b.colour,
        kind_b=b.kind,
        between=BETWEEN[facts.relation][turned],
        place_a=PLACES[facts.relation][turned],
        place_b=PLACES[facts.relation][not turned],
        background=SURROUNDINGS[facts.background],
    )


@functools.lru_cache(maxsize=16)  # who asks whether a caption is one asks for its facts next
def read_facts(caption: str) -> Facts | None:
    """Reads the facts of a scene's caption in any of the wordings, cleaned or as written.

    Returns None for a caption that is in none of them: the facts are those that, told in some
    wording, give this very caption.
    """
    words = _normalise(caption)
    named = [[word for word in words.split() if word in names] for names in (SIZES, COLOURS, KINDS)]
    if any(len(names) != 2 for names in named):
        return None
    a, b = (Thing(*names) for names in zip(*named, strict=True))
    for relation, background, wording, turned in itertools.product(
        RELATIONS, BACKGROUNDS, WORDINGS, (False, True)
    ):
        facts = Facts(*((b, a) if turned else (a, b)), relation, background)
        if _normalise(tell(facts, wording, turned)) == words:
            return facts
    return None


def is_right(caption: str, references: Sequence[str]) -> bool:
    """Whether every fact that the caption states is one of a reference's, whatever the wording."""
    facts = read_facts(caption)
    return facts is not None and facts in map(read_facts, references)


def _normalise(caption: str) -> str:
    """Lower case, words only, without articles, which some ways of cleaning captions drop."""
    words = re.findall("[a-z]+", caption.lower())
    return " ".join(word for word in words if word not in ("a", "the"))
