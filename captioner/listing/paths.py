"""What an input and an output are, looked at before anything is spent, or imported."""

from __future__ import annotations

import itertools
import os

from captioner import archives, listing, storage
from captioner.errors import UserError
from captioner.listing import failed, lists

# Of a list, so many are read.
_ROWS = 64


def check(source: str, output: str) -> None:
    """Refuse an input that isn't there or is empty, and an output that is a file or in the input.

    Raises:
        UserError: with what to do.
    """
    if _is_inside(output, source):
        raise UserError(f"{output}: is inside the input {source}; choose another --output")
    if "://" not in output and os.path.isfile(output):
        raise UserError(f"{output}: a file; --output is the directory that the results go to")
    if failed.output_of(source):
        return
    if listing.is_list(source):
        _check_list(source)
    elif not storage.exists(source):
        _check_directory(source)


def _is_inside(output: str, source: str) -> bool:
    places = [place if "://" in place else os.path.realpath(place) for place in (output, source)]
    inner, outer = (storage.join(place, "") for place in places)
    return inner.startswith(outer)


def _check_directory(source: str) -> None:
    if not storage.is_directory(source):
        raise UserError(f"{source}: no such file or directory; give --input what is there")
    if next(storage.walk(source), None) is None:
        raise UserError(f"{source}: there are no files in this directory")


def _check_list(source: str) -> None:
    """Read the first rows of a list, so that one that isn't a list is known now."""
    if archives.is_called_image(source):
        raise UserError(f"{source}: one image; caption it without --input, or give its directory")
    rows = itertools.chain.from_iterable(map(lists.read, lists.parts(source)))
    if not list(itertools.islice(rows, _ROWS)):
        raise UserError(f"{source}: names no images")
