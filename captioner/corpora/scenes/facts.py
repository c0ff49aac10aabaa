"""What a drawn scene may hold, and which scenes are kept for the test split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KINDS = ("boat", "butterfly", "car", "fish", "heart", "house", "star", "umbrella")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
SIZES = ("large", "small")
RELATIONS = ("left of", "above")
BACKGROUNDS = ("beach", "meadow", "night", "snow", "sunset")


@dataclass(frozen=True)
class Thing:
    """One thing of a scene, such as the large red star."""

    size: str
    colour: str
    kind: str


@dataclass(frozen=True)
class Facts:
    """All that a caption says of a scene, in one form: `first` is left of, or above, `second`.

    "A is right of B" is held as "B left of A", and "A is below B" as "B above A".
    """

    first: Thing
    second: Thing
    relation: str
    background: str


def is_held_out(thing: Thing) -> bool:
    """Whether scenes with this combination of kind and colour are kept for the test split.

    It is so where the places of the two in `KINDS` and `COLOURS` add up to a multiple of four:
    16 of the 64 combinations, two of each kind and of each colour.
    """
    return (KINDS.index(thing.kind) + COLOURS.index(thing.colour)) % 4 == 0


def imagine(generator: np.random.Generator, held_out: bool) -> Facts:
    """Draws facts at random: two things of different kinds.

    With `held_out` at least one of the things is a held-out combination, otherwise neither is.
    """
    while True:
        first, second = (
            Thing(*(str(generator.choice(names)) for names in (SIZES, COLOURS, KINDS)))
            for _ in range(2)
        )
        if first.kind != second.kind and held_out == (is_held_out(first) or is_held_out(second)):
            break
    return Facts(
        first, second, str(generator.choice(RELATIONS)), str(generator.choice(BACKGROUNDS))
    )
