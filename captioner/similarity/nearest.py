"""What is asked of vectors, whatever they are of: which are nearest, by the cosine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

# Cosines are float32: one less than this below a bound is at it.
ROUNDING = 1e-5


class Near(NamedTuple):
    """A vector by its number, its item, and its cosine, from 0 to 1."""

    item: int
    cosine: float


class Vectors(Protocol):
    """Vectors of items, numbered from 0, to be asked which are nearest."""

    def extend(self, contents: Sequence[Any], expected: int) -> None:
        """Add the vectors of more items.

        Args:
            contents: texts or features.
            expected: how many items there will be, about.
        """

    def hold(self, items: np.ndarray) -> None:
        """Look only for these items; called before the first question, and after `extend`."""

    def of(self, contents: Sequence[Any]) -> Any:
        """Vectors of texts or features, to ask for."""

    def of_items(self, items: np.ndarray) -> Any:
        """Vectors of items that are held, to ask for."""

    def near(self, vectors: Any, top: int, least: float) -> Iterable[list[Near]]:
        """For each vector the nearest items, as `nearest` has them."""

    def parts(self) -> dict[str, bytes]:
        """What is kept of it, by name."""

    def is_outgrown(self) -> bool:
        """Whether it is better made anew than added to."""


def nearest(items: np.ndarray, cosines: np.ndarray, top: int, least: float) -> list[Near]:
    """The best of some items, at most `top`, none whose cosine is below `least`.

    The nearest come first, and of equals the first of their numbers.
    """
    if len(items) > top:
        least = max(least, np.partition(cosines, -top)[-top])
    (places,) = np.nonzero(cosines >= least - ROUNDING)
    order = places[np.lexsort((items[places], -cosines[places]))][:top]
    return [Near(int(items[n]), min(1.0, float(cosines[n]))) for n in order]
