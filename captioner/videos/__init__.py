"""Films: their frames, and captions of what is to be seen from when to when.

A frame's id is that of its film with a media fragment behind, as `id_of` writes it:
``trips/film.mp4#t=12.0``, in seconds from the film's start (https://www.w3.org/TR/media-frags/).
"""

from __future__ import annotations

from captioner.videos.choosing import EVERY, Chosen, by_interval, by_scene
from captioner.videos.films import LIMITS, Film, opened
from captioner.videos.frames import Frame
from captioner.videos.places import id_of, is_video
from captioner.videos.stretches import Stretch, caption, merged

__all__ = [
    "EVERY",
    "LIMITS",
    "Chosen",
    "Film",
    "Frame",
    "Stretch",
    "by_interval",
    "by_scene",
    "caption",
    "id_of",
    "is_video",
    "merged",
    "opened",
]
