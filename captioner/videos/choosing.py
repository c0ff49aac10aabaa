"""Which frames of a film are looked at: at intervals, or one for each scene."""

from __future__ import annotations

import collections
import contextlib
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from captioner.images import ImageError, Reason
from captioner.videos.films import MARGIN, Film
from captioner.videos.frames import Frame

EVERY = 2.0  # seconds

_ROUNDING = 0.001  # seconds: containers round their frames' times to milliseconds
_FEWER = 1.0  # seconds between frames of which some may be missed for speed
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
    if every >= _FEWER:
        film.decode_fewer()
    for frame in film.frames():
        if shown and frame.start > number * every + _ROUNDING:
            yield Chosen(number * every, shown)
            number = max(number + 1, math.ceil((frame.start - _ROUNDING) / every))
            film.skip_to(number * every)
        shown = frame
    # The first frame counts, however short the film.
    if shown and (number == 0 or shown.end > number * every + _ROUNDING):
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


def at_times(film: Film, times: Sequence[float]) -> Iterator[Frame | ImageError]:
    """What is shown at each of some times, in seconds, or the reason why that can't be told.

    The film is decoded once, from shortly before the first on. Its last frame stays to its end, as
    its file says or as its frames do, and behind that there is none.

    Args:
        times: the earliest first.
    """
    waiting, shown = collections.deque(times), None
    if all(other - one >= _FEWER for one, other in itertools.pairwise(times)):
        film.decode_fewer()
    try:
        for frame in _from(film, times[0]):
            while shown and waiting and frame.start > waiting[0] + _ROUNDING:
                waiting.popleft()
                yield shown
                film.skip_to(waiting[0] if waiting else 0)
            if not waiting:
                return
            shown = frame
        problem = film.problem
    except ImageError as error:
        problem = error
    end = shown.end if shown and problem else max(film.seconds, film.end) + _ROUNDING
    for time in waiting:
        yield shown if shown and time < end else problem or _beyond(time, end)


def _beyond(time: float, end: float) -> ImageError:
    message = f"the film has no frame at {time:.1f} seconds: it ends at {end:.1f}"
    return ImageError(Reason.MISSING, message)


def _from(film: Film, seconds: float) -> Iterator[Frame]:
    """A film's frames from at or before a time on; from its beginning where it can't be entered."""
    for before in (MARGIN, 10 * MARGIN):
        if seconds > before and film.seek(seconds - before):
            frames = film.frames()
            with contextlib.suppress(ImageError):  # there is nothing behind that place
                first = next(frames)
                if first.start <= seconds:
                    return itertools.chain([first], frames)
    if seconds > MARGIN:
        film.seek(0)
    return film.frames()


def _samples(film: Film) -> Iterator[tuple[Frame, bool]]:
    """Some frames of each second, each with whether there is a cut before it."""
    before, due = None, 0.0
    film.decode_fewer()
    for frame in film.frames():
        if frame.start < due - _ROUNDING:
            continue
        due = frame.start + 1 / _SAMPLES
        colours = frame.histogram()
        yield frame, before is not None and np.abs(colours - before).sum() / 2 > _CUT
        before = colours
