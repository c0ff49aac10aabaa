"""Which frames of a film are looked at: at intervals, or one for each scene."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from captioner.videos.films import Film
from captioner.videos.frames import Frame

EVERY = 2.0  # seconds

_ROUNDING = 0.001  # seconds: containers round their frames' times to milliseconds
_SAMPLES = 10  # a second, that are searched for cuts
_CUT = 0.2  # share of the picture that changes its colour
_SHORTEST = 0.5  # seconds of a scene


class Chosen(NamedTuple):
    """A frame that stands for what is shown from `start` on, seconds from the film's start."""

    start: float
    frame: Frame


def by_interval(film: Film, every: float = EVERY) -> Iterator[Chosen]:
    """What is shown at 0 seconds, at `every`, at twice that and so on.

    A frame that is still shown then is not given twice.

    Raises:
        ImageError: see `Film.frames`.
    """
    number, shown = 0, None
    for frame in film.frames():
        if shown and frame.start > number * every + _ROUNDING:
            yield Chosen(number * every, shown)
            number = max(number + 1, math.ceil((frame.start - _ROUNDING) / every))
            film.skip_to(number * every)
        shown = frame
    if shown and shown.end > number * every + _ROUNDING:
        yield Chosen(number * every, shown)


def by_scene(film: Film) -> Iterator[Chosen]:
    """For each scene a frame of its second quarter, where it has settled and not yet moved on.

    There is a cut where the histogram of colours changes from one sample to the next, as compared
    by Zhang, Kankanhalli and Smoliar, "Automatic partitioning of full-motion video", Multimedia
    Systems 1, 1993 (section 2.2). Fades and other slow changes are no cuts.

    Raises:
        ImageError: see `Film.frames`, or a frame can't be turned into RGB.
    """
    start, early, late = 0.0, None, None
    for frame, is_cut in _samples(film):
        if late is None:
            early = late = frame
        elif is_cut and frame.start - start >= _SHORTEST:
            yield Chosen(start, early)
            start, early, late = frame.start, frame, frame
        elif frame.start - start >= 2 * (late.start - start):
            early, late = late, frame
    if early:
        yield Chosen(start, early)


def _samples(film: Film) -> Iterator[tuple[Frame, bool]]:
    """Some frames of each second, each with whether there is a cut before it."""
    before, due = None, 0.0
    for frame in film.frames():
        if frame.start < due - _ROUNDING:
            continue
        due = frame.start + 1 / _SAMPLES
        colours = frame.histogram()
        yield frame, before is not None and np.abs(colours - before).sum() / 2 > _CUT
        before = colours
