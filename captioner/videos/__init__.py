"""Films: their frames, and captions of what is to be seen from when to when.

A frame's id is that of its film with a media fragment behind, as `id_of` writes it:
``trips/film.mp4#t=12.0``, in seconds from the film's start (https://www.w3.org/TR/media-frags/).
"""

from __future__ import annotations

from captioner.images import DecodedImage, ImageError
from captioner.threads import Clock
from captioner.videos.choosing import EVERY, Chosen, at_times, by_interval, by_scene
from captioner.videos.films import LIMITS, Film, opened
from captioner.videos.frames import Frame
from captioner.videos.places import check, frame_of, group_of, id_of, is_video, planned, seconds_of
from captioner.videos.stretches import Stretch, caption, merged

__all__ = [
    "EVERY",
    "LIMITS",
    "Chosen",
    "Film",
    "Frame",
    "Stretch",
    "at_times",
    "by_interval",
    "by_scene",
    "caption",
    "check",
    "frame_at",
    "frame_of",
    "group_of",
    "id_of",
    "is_video",
    "merged",
    "opened",
    "planned",
    "seconds_of",
]


def frame_at(uri: str, seconds: float, size: int, clock: Clock | None = None) -> DecodedImage:
    """What is shown in a film at a time; as `images.decode` has an image.

    Args:
        clock: see `opened`.

    Raises:
        ImageError: it can't be told.
        OSError, UserError: see `opened`.
    """
    with opened(uri, clock=clock) as film:
        frame = next(at_times(film, [seconds]))
        if isinstance(frame, ImageError):
            raise frame
        return frame.decode(size)
