"""Stretches of a film, each with what is to be seen in it."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from captioner.threads import ahead
from captioner.videos.choosing import Chosen
from captioner.videos.films import Film

if TYPE_CHECKING:
    from captioner.model import Caption, Captioner


@dataclass(frozen=True)
class Stretch:
    """A part of a film under one caption.

    Attributes:
        start, end: seconds from the film's start.
        caption: what is to be seen.
        log_probability: of the caption, as in a caption record; the highest of the frames'.
    """

    start: float
    end: float
    caption: str
    log_probability: float


def caption(film: Film, chosen: Iterable[Chosen], captioner: Captioner) -> Iterator[Stretch]:
    """Caption the stretches of a film that begin with the chosen frames, merged.

    The frames of the next batch are decoded while the network has those of the last.

    Raises:
        ImageError: see `Film.frames`.
    """
    return merged(_up_to_next(_captions(chosen, captioner), film))


def merged(stretches: Iterable[Stretch]) -> Iterator[Stretch]:
    """Neighbours that say the same as one, where nothing is between them."""
    before: Stretch | None = None
    for one in stretches:
        if before and (before.caption, before.end) == (one.caption, one.start):
            best = max(before.log_probability, one.log_probability)
            before = dataclasses.replace(before, end=one.end, log_probability=best)
            continue
        if before:
            yield before
        before = one
    if before:
        yield before


def _captions(chosen: Iterable[Chosen], captioner: Captioner) -> Iterator[tuple[float, Caption]]:
    """Each frame's caption, with where its stretch starts."""
    size = captioner.description.encoder.image_size
    decoded = ((start, frame.decode(size).pixels) for start, frame in chosen)
    next_batch = functools.partial(_take, decoded, captioner.batch_size)
    # The thread is waited for at the end: a film isn't closed while it is decoded.
    with ThreadPoolExecutor(1) as thread:
        batches = ahead(thread, itertools.repeat((next_batch,)), 2)
        for batch in itertools.takewhile(bool, batches):
            starts, pixels = zip(*batch, strict=True)
            yield from zip(starts, captioner.caption_pixels(np.stack(pixels)), strict=True)


def _take(decoded: Iterator[tuple[float, np.ndarray]], count: int) -> list:
    return list(itertools.islice(decoded, count))


def _up_to_next(captions: Iterable[tuple[float, Caption]], film: Film) -> Iterator[Stretch]:
    """Stretches that end where the next starts, and the last where the film's pictures do."""
    before = None
    for start, found in captions:
        if before:
            yield dataclasses.replace(before, end=start)
        before = Stretch(start, start, found.text, found.log_probability)
    if before:
        yield dataclasses.replace(before, end=max(film.end, before.start + 0.001))
