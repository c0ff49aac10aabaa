"""EXECUTE, first step, for films: neighbouring frames, decoded in one pass."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from captioner import videos
from captioner.images import DecodedImage, ImageError
from captioner.tasks import Reference, Task
from captioner.threads import Clock
from pipelines.items import Item, given, to_item

# Frames of a film that one call reads: it may have to decode some seconds before the first.
FRAMES = 16


def read_frames(
    task: Task, references: Sequence[Reference], image_size: int, clock: Clock
) -> list[Item]:
    """Frames of one film, in their order: it is decoded once, from shortly before the first on.

    Args:
        clock: runs while one of them is decoded, anew from each frame of the film on, but not while
            the film's file is read.
    """
    frames = decoded_frames(references, image_size, clock)

    def decoded(_: Item) -> DecodedImage:
        with clock:
            return given(next(frames))

    return [to_item(task, reference, decoded) for reference in references]


def decoded_frames(
    references: Sequence[Reference], image_size: int, clock: Clock
) -> Iterator[DecodedImage | Exception]:
    """Frames of one film, each as `videos.frame_at` has it, or what it raises."""
    film = film_of(references[0])
    times = [videos.seconds_of(reference.uri, film) for reference in references]
    try:
        with videos.opened(film, clock=clock) as opened:
            for frame in videos.at_times(opened, times):
                yield decoded_or_error(frame, image_size)
    except Exception as error:  # a store's own are many
        yield from itertools.repeat(error)


def decoded_or_error(
    frame: videos.Frame | ImageError, image_size: int
) -> DecodedImage | ImageError:
    """A frame's pixels, or what is wrong with it."""
    try:
        return given(frame).decode(image_size)
    except ImageError as error:
        return error


def film_of(reference: Reference) -> str:
    """The film that an image is a frame of; else empty."""
    is_frame = videos.seconds_of(reference.uri, reference.source) is not None
    return reference.source if is_frame else ""
