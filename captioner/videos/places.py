"""Which files are films, and what their frames are called."""

from __future__ import annotations

import re

_VIDEO = re.compile(
    r"\.(3gp|asf|avi|flv|m2ts|m4v|mkv|mov|mp4|mpe?g|mts|ogv|webm|wmv)\Z", re.IGNORECASE
)


def is_video(uri: str) -> bool:
    """Whether a file is a film, by its name."""
    return _VIDEO.search(uri) is not None


def id_of(film: str, seconds: float) -> str:
    """The id of a frame of the film with the id `film`."""
    return f"{film}#t={round(seconds, 3)}"
