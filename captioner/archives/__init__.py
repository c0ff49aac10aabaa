"""Images inside of archives: what is in a tar or a zip, and the bytes of each member.

Nothing is ever unpacked: a member's name is text, not a path. The members of a plain tar and of a
zip are read each by a request for its range of the file, from any number of threads; those of a
compressed tar from front to back, by `stream`.

A member's URI is that of its archive, ``#`` and where it is inside::

    photos.tar#name=a/b.jpg&offset=1536&size=2048
    photos.zip#name=a/b.jpg&offset=99&packed=900&method=8&size=2048&crc=3735928559
    photos.tar.gz#name=a/b.jpg&member=3
    photos.tar#broken=ends+before+its+end+mark
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from captioner import storage
from captioner.archives import tars, zips
from captioner.archives.places import Inside, place_of, uri_of
from captioner.errors import UserError
from captioner.images import ImageError, Reason

__all__ = [
    "Member",
    "archive_of",
    "is_archive",
    "is_called_image",
    "is_streamed",
    "key_of",
    "members",
    "position",
    "read",
    "stream",
]

# Neighbours that are read in one task, so that a large archive is many of them.
GROUP = 256
_STREAM_AHEAD = 8 << 20  # bytes that are read from a store at once

_ARCHIVE = re.compile(r"\.(tar|tar\.gz|tgz|tar\.bz2|tbz2?|tar\.xz|txz|zip)\Z", re.IGNORECASE)
_IMAGE = re.compile(r"\.(bmp|gif|jfif|jpe|jpe?g|png|ppm|tiff?|webp)\Z", re.IGNORECASE)


class Member(NamedTuple):
    """One file in an archive; where the name is None the archive itself, broken from there on.

    `stamp` changes when the member does, `group` is that of the members that are read together.
    """

    name: str | None
    uri: str
    stamp: str
    group: str


def is_archive(uri: str) -> bool:
    """Whether a file is an archive, by its name."""
    return _ARCHIVE.search(uri) is not None


def archive_of(uri: str) -> str:
    """The archive that an image is a member of, told from its URI; empty for a file of its own."""
    source, _, place = uri.rpartition("#")
    return source if place and is_archive(source) else ""


def is_called_image(name: str) -> bool:
    """Whether a file's name ends as those of images do."""
    return _IMAGE.search(name) is not None


def key_of(name: str) -> str:
    """What the files of one sample of webdataset's share: the path up to its name's first dot."""
    directory, slash, file = name.rpartition("/")
    stem = file.partition(".")[0]
    return f"{directory}{slash}{stem}" if stem else name


def is_streamed(uri: str, source: str) -> bool:
    """Whether a member is of an archive that can only be read from front to back."""
    return "member" in place_of(uri, source)


def position(uri: str, source: str) -> int:
    """Where a member of a compressed tar comes; before the first, if it can't be read there."""
    return int(place_of(uri, source).get("member", -1))


def members(uri: str, stamp: str) -> Iterator[Member]:
    """The members of the archive `uri` that may be images, in no particular order.

    Of several members with the same name there is the last. A hard link is a member like any other,
    with its target's place. Symbolic links are passed over, and archives inside are not entered.
    Webdataset's sidecars, such as a text beside a picture, are left out. Of an archive that breaks
    off there are those before the break, and one whose name is None, so that the loss is seen:
    reading it raises. Its URI is the archive's own where it is the store that failed.

    Args:
        stamp: of the archive's version; see `Entry`.
    """
    for number, inside in enumerate(without_sidecars(_whole(uri, stamp))):
        streamed = "member" in inside.place
        group = uri if streamed else f"{uri}#{number // GROUP}"
        yield Member(inside.name, uri_of(uri, inside), inside.stamp, group)


def read(uri: str, source: str, limit: int) -> bytes:
    """A member's bytes, or at most its first `limit`. Safe to call from many threads.

    Raises:
        ImageError: the archive or the member is broken.
        OSError: the archive can't be read.
    """
    place = place_of(uri, source)
    if "broken" in place:
        raise ImageError(Reason.CORRUPT, f"{source}: {place['broken']}")
    if "missing" in place:
        raise FileNotFoundError(f"{source}: {place['name']} is no longer in it")
    if "method" in place:
        return zips.read(source, place, limit)
    if "offset" in place:
        return tars.read(source, place, limit)
    if "member" not in place:
        return storage.read_bytes(uri, limit)
    ((_, found),) = stream(source, [uri], limit)
    if isinstance(found, Exception):
        raise found
    return found


def stream(
    source: str, uris: Iterable[str], limit: int
) -> Iterator[tuple[str, bytes | ImageError | OSError]]:
    """Members of a compressed tar by their URIs, each with its bytes, in the order of `position`.

    The archive is read once. In place of bytes there may be the reason why there are none.
    """
    wanted: dict[int, list[str]] = {}  # hard links are at one position
    for uri in sorted(uris, key=lambda uri: position(uri, source)):
        if is_streamed(uri, source):
            wanted.setdefault(position(uri, source), []).append(uri)
        else:
            yield uri, _read_or_error(uri, source, limit)
    problem: ImageError | OSError = ImageError(Reason.TRUNCATED, f"{source}: ends before it")
    try:
        with storage.open(source, _STREAM_AHEAD) as file:
            for number, found in tars.stream(file, wanted.keys(), limit):
                yield from ((uri, found) for uri in wanted.pop(number))
    except UserError:
        raise
    except Exception as error:
        problem = _problem(source, error)
    yield from ((uri, problem) for uris in wanted.values() for uri in uris)


def without_sidecars(found: Iterable[Inside]) -> Iterator[Inside]:
    """Members without those beside an image, of the same path up to the first dot of the name.

    So webdataset puts together what belongs to one sample. What is no image by its name comes
    last, when all keys are known; the keys take some hundred bytes of memory for each image.
    """
    keys, others = set(), []
    for inside in found:
        if inside.name is None:
            yield inside
        elif is_called_image(inside.name):
            keys.add(key_of(inside.name))
            yield inside
        else:
            others.append(inside)
    yield from (inside for inside in others if key_of(inside.name) not in keys)


def _whole(uri: str, stamp: str) -> Iterator[Inside]:
    """All members, and where the archive is broken what stands for the rest of it."""
    try:
        with storage.open(uri) as file:
            yield from _scan(file, uri, stamp)
    except UserError:
        raise
    except Exception as error:  # the libraries raise some ten kinds on broken archives
        problem = _problem(uri, error)
        broken = {"broken": str(problem)} if isinstance(problem, ImageError) else {}
        yield Inside(None, stamp, broken)


def _scan(file: BinaryIO, uri: str, stamp: str) -> Iterator[Inside]:
    if uri.lower().endswith(".zip"):
        return zips.scan(file)
    return tars.scan(file, stamp)


def _problem(source: str, error: Exception) -> ImageError | OSError:
    """A store's error as it is; anything else is a broken archive."""
    if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
        return error
    return ImageError(Reason.CORRUPT, f"the archive is broken: {error or type(error).__name__}")


def _read_or_error(uri: str, source: str, limit: int) -> bytes | ImageError | OSError:
    try:
        return read(uri, source, limit)
    except (ImageError, OSError) as error:
        return error
