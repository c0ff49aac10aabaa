"""What the readers of all formats share: the text of a file, and what one line of it says."""

from __future__ import annotations

import contextlib
import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, NamedTuple

from captioner import storage
from captioner.errors import UserError


class Row(NamedTuple):
    """Some captions of one image; an image may have several rows. What is not stated is "".

    `language` is that of all of them, see `language_tag`.
    """

    id: str
    captions: tuple[str, ...]
    split: str = ""
    language: str = ""


def image_id(name: str) -> str:
    """An image's name as its id: NFC normalised, as names that look the same can differ."""
    return unicodedata.normalize("NFC", name.strip())


def read_text(uri: str) -> str:
    """The text of a UTF-8 file, wherever it is.

    Raises:
        UserError: it isn't there, can't be read, or isn't UTF-8.
    """
    with _as_user_error(uri):
        data = storage.read_bytes(uri)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise mistake(uri, line, "isn't UTF-8: save the file as UTF-8") from None


def files_named(directory: str, pattern: re.Pattern[str]) -> list[tuple[str, str]]:
    """The files of a directory whose names match, in order, each with the pattern's first group.

    Raises:
        UserError: the directory can't be listed.
    """
    with _as_user_error(directory):
        files = sorted(item.uri for item in storage.level(directory) if not isinstance(item, str))
    found = [(uri, pattern.fullmatch(uri.rpartition("/")[2])) for uri in files]
    return [(uri, match[1]) for uri, match in found if match]


@contextlib.contextmanager
def _as_user_error(uri: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{uri}: no such file") from None
    except OSError as error:
        raise UserError(f"{uri}: can't be read: {error.strerror or error}") from error


def parse_json(text: str, uri: str, first_line: int = 1) -> Any:
    """The JSON value of `text`, which starts at line `first_line` of the file.

    Raises:
        UserError: it isn't JSON.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        line = first_line + getattr(error, "lineno", 1) - 1
        raise mistake(uri, line, f"isn't JSON: {getattr(error, 'msg', error)}") from None


def mistake(uri: str, line: int, what: str) -> UserError:
    """The error for one line of a file."""
    return UserError(f"{uri}, line {line}: {what}")
