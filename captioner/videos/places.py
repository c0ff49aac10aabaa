"""Which files are films, what their frames are called, and where a frame is."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from captioner.archives import places
from captioner.archives.places import Inside
from captioner.images import ImageError, Reason
from captioner.videos.choosing import EVERY

_VIDEO = re.compile(
    r"\.(3gp|asf|avi|flv|m2ts|m4v|mkv|mov|mp4|mpe?g|mts|ogv|webm|wmv)\Z", re.IGNORECASE
)
_FRAME = re.compile(
    r"(?P<film>.+)#t=(?P<seconds>\d+(\.\d+)?)(?P<twin>#twin-[0-9a-f]{8})?", re.DOTALL
)

# Neighbours that are read in one task, so that a long film is several of them.
_GROUP = 64
_MOST = 100_000  # frames of a film, so that one that claims to last for ever is refused


class Planned(NamedTuple):
    """A frame to be looked at; where `seconds` is None the film itself, which can't be read.

    `group` is that of the frames that are read together.
    """

    seconds: float | None
    uri: str
    group: str


def is_video(uri: str) -> bool:
    """Whether a file is a film, by its name."""
    return _VIDEO.search(uri) is not None


def id_of(film: str, seconds: float) -> str:
    """The id of a frame of the film with the id `film`; likewise its URI."""
    return f"{film}#t={round(seconds, 3)}"


def frame_of(id: str) -> tuple[str, float] | None:
    """The inverse of `id_of`; None for the id of anything else."""
    found = _FRAME.fullmatch(id)
    if not found or not is_video(found["film"]):
        return None
    return found["film"] + (found["twin"] or ""), float(found["seconds"])


def seconds_of(uri: str, source: str) -> float | None:
    """When a frame is shown; None for what isn't a frame of the film `source`."""
    seconds = places.place_of(uri, source).get("t") if is_video(source) else None
    return None if seconds is None else float(seconds)


def planned(uri: str, every: float | None = None) -> Iterator[Planned]:
    """The frames of a film that is to be looked at so often, by the length that it has.

    Of one that can't be read there is the film itself, so that the loss is seen: see `check`. So
    it is with one that crashes its reader, which is the process's child.

    Args:
        every: seconds from one to the next; `EVERY` by default.
    """
    from captioner import isolation  # which imports this package

    every = every or EVERY
    try:
        count = max(1, math.ceil(isolation.shared().length(uri) / every - 0.001))
        if count > _MOST:
            raise ImageError(Reason.TOO_LARGE, f"{count:,} frames, over {_MOST:,}: see --every")
    except ImageError as error:
        yield _unread(uri, str(error), error.reason)
    except OSError as error:  # the child's own
        yield _unread(uri, str(error), Reason.UNREADABLE)
    else:
        for number in range(count):
            seconds = round(number * every, 3)
            yield Planned(seconds, id_of(uri, seconds), group_of(uri, number))


def group_of(uri: str, number: int) -> str:
    """The group of a frame that is to be read, of those of its film the one with that number."""
    return f"{uri}#{number // _GROUP}"


def check(uri: str, source: str) -> None:
    """See that what was planned is a frame.

    Raises:
        ImageError: it is a whole film, for the reason why it couldn't be planned.
    """
    place = places.place_of(uri, source)
    if "reason" in place:
        raise ImageError(Reason(place["reason"]), place["broken"])


def _unread(uri: str, message: str, reason: Reason) -> Planned:
    place = {"broken": message, "reason": reason.value}
    return Planned(None, places.uri_of(uri, Inside(None, "", place)), uri)
