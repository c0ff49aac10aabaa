"""What images an input names: their ids, and where each is.

An input is a directory or prefix, an archive, a list or an inventory of files (`lists`), or the
failures of an earlier run (`failed`). Archives are listed as their members wherever they are found,
and films as their frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from captioner import storage, threads
from captioner.listing import failed, lists
from captioner.listing.listed import (
    Listed,
    as_listed,
    below,
    enter,
    holds_images,
    image_id,
    look_up,
    without_texts,
)

__all__ = [
    "Listed",
    "archive",
    "as_listed",
    "below",
    "enter",
    "everything",
    "failed",
    "holds_images",
    "image_id",
    "is_archive",
    "is_list",
    "lists",
    "look_up",
    "without_texts",
]

_ASKED_AT_ONCE = 16


def is_archive(source: str) -> bool:
    """Whether an input is one archive, or one film."""
    return holds_images(source) and storage.exists(source)


def is_list(source: str) -> bool:
    """Whether an input is a file that names images."""
    return storage.exists(source) and not holds_images(source)


def archive(source: str) -> Listed:
    """An input that is one archive or film; its id is its name."""
    directory = source.rpartition("/")[0]
    return look_up((image_id(source, directory), (source, "", "", "")))


def everything(source: str, every: float | None = None) -> Iterator[Listed]:
    """The images of an input, one after the other; a job lists the same in parallel.

    Args:
        every: see `videos.planned`.
    """
    if output := failed.output_of(source):
        yield from failed.everything(source, output, every)
        return
    for found in _found(source):
        if holds_images(found[1][0]):
            yield from enter(found, every)
        else:
            yield found


def _found(source: str) -> Iterator[Listed]:
    """The files of an input; archives and films are files too."""
    if is_archive(source):
        yield archive(source)
    elif is_list(source):
        for part in lists.parts(source):
            yield from _looked_up(lists.read(part))
    else:
        yield from below(source, source)


def _looked_up(files: Iterator[Listed]) -> Iterator[Listed]:
    """Files with their stamps, in order; a store far away is asked for many at once."""
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        yield from threads.ahead(pool, ((look_up, file) for file in files), _ASKED_AT_ONCE)
