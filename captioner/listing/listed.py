"""A listed image, as it goes to the plan."""

from __future__ import annotations

import os
import unicodedata
import urllib.parse
from collections.abc import Iterable, Iterator
from typing import TypeVar

from captioner import archives, storage, videos
from captioner.storage import Entry

# A file, or the URI of a directory, of a level of a store.
Found = TypeVar("Found", Entry, Entry | str)

# id: uri, stamp, source, group; see `tasks.Reference`. A plain tuple, which Beam encodes itself.
Listed = tuple[str, tuple[str, str, str, str]]


def as_listed(entry: Entry, root: str) -> Listed:
    """A file below `root`, by its id."""
    return image_id(entry.uri, root), (entry.uri, entry.stamp, "", entry.checksum)


def below(directory: str, root: str) -> Iterator[Listed]:
    """All files below a directory, at any depth, by their ids below `root`."""
    return (as_listed(entry, root) for entry in without_texts(storage.walk(directory)))


def without_texts(found: Iterable[Found]) -> Iterator[Found]:
    """What is in directories, without texts beside an image: ``photo.txt`` beside ``photo.jpg``.

    Args:
        found: each directory's files in the order of their names, which has those together that
            are of one image, so that few are held at once.
    """
    held: list[Entry] = []
    shared = ""
    for one in found:
        if isinstance(one, str):
            yield one
            continue
        key = archives.key_of(one.uri)
        if key != shared:
            yield from _without_text(held)
            held, shared = [], key
        held.append(one)
    yield from _without_text(held)


def _without_text(beside: list[Entry]) -> Iterator[Entry]:
    """Files of one key; texts are left out where one of the others is an image by its name."""
    if len(beside) == 1:  # which nearly all are
        yield from beside
        return
    are_described = any(archives.is_called_image(entry.uri) for entry in beside)
    for entry in beside:
        if not (are_described and entry.uri.lower().endswith(".txt")):
            yield entry


def image_id(uri: str, root: str) -> str:
    """The path of `uri` relative to `root`, in Unicode's NFC, the same wherever the files are.

    Bytes that aren't UTF-8 are written as ``\\xff``.
    """
    if uri.startswith("file://"):
        uri, root = _path(uri), _path(root) if root.startswith("file://") else os.path.abspath(root)
    return unicodedata.normalize("NFC", uri.removeprefix(root.rstrip("/") + "/"))


def look_up(listed: Listed) -> Listed:
    """The same with its stamp and its group, where they aren't known.

    What isn't there, or can't be asked for, stays as it is: it fails when it is read.
    """
    id, (uri, stamp, source, _) = listed
    if stamp:
        return listed
    try:
        entry = storage.entry(uri)
    except (OSError, ValueError):
        return listed
    return (id, (uri, entry.stamp, source, entry.checksum)) if entry else listed


def holds_images(uri: str) -> bool:
    """Whether a file is an archive or a film, by its name: see `enter`."""
    return archives.is_archive(uri) or videos.is_video(uri)


def enter(listed: Listed, every: float | None = None) -> Iterator[Listed]:
    """The members of an archive that may be images, or the frames of a film.

    See `archives.members`, and `videos.planned` also for `every`.
    """
    id, (uri, stamp, _, _) = listed
    if videos.is_video(uri):
        for seconds, place, group in videos.planned(uri, every):
            name = id if seconds is None else videos.id_of(id, seconds)
            yield name, (place, stamp, uri, group)
        return
    for member in archives.members(uri, stamp):
        if member.name is not None:
            name = unicodedata.normalize("NFC", member.name)
            yield f"{id}/{name}", (member.uri, member.stamp, uri, member.group)
        elif member.uri == uri:
            yield listed
        else:
            yield id, (member.uri, stamp, uri, member.uri)


def _path(uri: str) -> str:
    raw = urllib.parse.unquote_to_bytes(uri.removeprefix("file://"))
    return raw.decode(errors="backslashreplace")
