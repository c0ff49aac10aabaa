"""Files by URI: a local path, ``gs://bucket/name`` or ``s3://bucket/name``.

The only place that knows how the stores differ. Whatever the store, a missing file is a
``FileNotFoundError``, a refusal a ``PermissionError`` and anything else an ``OSError``. What may
pass is tried again, with pauses, before it is raised. A bucket that is missing is an `OSError` of
the number ENXIO; the text of an error says what to do.
"""

from __future__ import annotations

import errno
import functools
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol

from captioner.storage import copies, local, streaming
from captioner.storage.entry import Entry
from captioner.storage.local import LocalStore
from captioner.storage.ranged import RangedFile
from captioner.storage.retrying import retrying

__all__ = [
    "Entry",
    "absolute",
    "create",
    "entry",
    "exists",
    "for_tensorflow",
    "is_directory",
    "join",
    "level",
    "local_copy",
    "local_path",
    "open",
    "name",
    "read_bytes",
    "remove",
    "replace",
    "walk",
]


class Store(Protocol):
    """What every store can do. Paths are whole URIs."""

    def level(self, uri: str) -> Iterator[Entry | str]:
        """What is right below `uri`: an `Entry` for a file, a URI for a directory.

        The files come in the order of their names.
        """

    def walk(self, uri: str) -> Iterator[Entry]:
        """Every file below `uri`, at any depth; those of one directory in order of their names."""

    def entry(self, uri: str) -> Entry | None:
        """What a listing would say of the file `uri`; None where there is none."""

    def is_directory(self, uri: str) -> bool:
        """Whether `uri` is a directory, or a prefix with at least one file below it."""

    def read_bytes(self, uri: str, limit: int | None = None, start: int = 0) -> bytes:
        """The file's bytes from `start` on, or at most `limit` of them; none behind its end."""

    def create(self, uri: str, source: bytes | Path) -> bool:
        """Publish whole bytes or a local file at `uri`, unless something is there: then False."""

    def replace(self, uri: str, data: bytes) -> None:
        """Publish `data` at `uri` in one step, whatever is there."""

    def remove(self, uri: str) -> None:
        """Delete the file `uri`, if it is there."""

    def local_copy(self, uri: str) -> AbstractContextManager[Path]:
        """The file as a local path for the length of a `with` block."""

    def enter_tensorflow(self) -> bool:
        """Have TensorFlow read this store's URIs by itself, with the same settings.

        False where it can't.
        """


@functools.cache
def _store(scheme: str) -> Store:
    """Clients are made once a process, when first asked for, since they hold connections."""
    if scheme == "gs":
        from captioner.storage.google import GoogleStore

        return GoogleStore()
    if scheme == "s3":
        from captioner.storage.amazon import AmazonStore

        return AmazonStore()
    return LocalStore()


def _of(uri: str) -> Store:
    scheme, separator, _ = uri.partition("://")
    return _store(scheme if separator else "")


def join(root: str, *parts: str) -> str:
    """`root` and `parts` with one slash between each."""
    return "/".join([root.rstrip("/"), *parts])


def name(uri: str) -> str:
    """The last part of a URI."""
    return uri.rpartition("/")[2]


def absolute(uri: str) -> str:
    """`uri`, a local path made absolute, so that it means the same to every process.

    A ``file://`` URI becomes its path, where text can hold that: what is in a directory has the
    same ids however the directory is given.
    """
    if "://" in uri and not uri.startswith("file://"):
        return uri
    return local.as_uri(os.path.abspath(local.as_path(uri)))


def level(uri: str) -> Iterator[Entry | str]:
    """What is right below `uri`: an `Entry` for a file, a URI for a directory."""
    return _of(uri).level(uri)


def walk(uri: str) -> Iterator[Entry]:
    """Every file below `uri`, at any depth; nothing where `uri` is not there."""
    return _of(uri).walk(uri)


def entry(uri: str) -> Entry | None:
    """What a listing would say of the file `uri`; None where there is none."""
    return retrying(_of(uri).entry, uri)


def exists(uri: str) -> bool:
    """Whether `uri` is a file."""
    return entry(uri) is not None


def is_directory(uri: str) -> bool:
    """Whether `uri` is a directory, or a prefix with at least one file below it."""
    return retrying(_of(uri).is_directory, uri)


def read_bytes(uri: str, limit: int | None = None, start: int = 0) -> bytes:
    """The file's bytes from `start` on, or at most `limit` of them; none behind its end."""
    return retrying(_of(uri).read_bytes, uri, limit, start)


def open(uri: str, read_ahead: int = 1 << 20) -> BinaryIO:
    """The file, to be read at any place; where it isn't local, in ranges of `read_ahead` bytes."""
    store = _of(uri)
    if isinstance(store, LocalStore):
        return retrying(store.open, uri)
    found = entry(uri)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, "not there", uri)
    raw = RangedFile(found.size, functools.partial(read_bytes, uri))
    return io.BufferedReader(raw, read_ahead)


def create(uri: str, source: bytes | Path) -> bool:
    """Publish bytes or a local file at `uri` whole; False, changing nothing, if one is there."""
    return retrying(_of(uri).create, uri, source)


def replace(uri: str, data: bytes) -> None:
    """Publish `data` at `uri` in one step, whatever is there."""
    retrying(_of(uri).replace, uri, data)


def remove(uri: str) -> None:
    """Delete the file `uri`, if it is there."""
    retrying(_of(uri).remove, uri)


def local_copy(uri: str) -> AbstractContextManager[Path]:
    """The file as a local path for the length of a `with` block."""
    return _of(uri).local_copy(uri)


def local_path(uri: str) -> str | None:
    """The path of a file on this machine, told from its URI; None for what is in a store."""
    return local.as_path(uri) if isinstance(_of(uri), LocalStore) else None


def for_tensorflow(uris: Sequence[str]) -> Sequence[str]:
    """What TensorFlow reads files by, pass after pass, that never change and are in one store.

    Files in a bucket are copied to this machine, for as long as the process lives, if all of them
    take at most half of what is free where temporary files go; else TensorFlow's own file systems
    stream them in each pass.

    Raises:
        FileNotFoundError: one is not there.
        UserError: there is no room, and TensorFlow can't read them either.
    """
    store = _of(uris[0]) if uris else _store("")
    if isinstance(store, LocalStore):
        for uri in uris:
            if store.entry(uri) is None:
                raise FileNotFoundError(errno.ENOENT, "not there", uri)
        return uris
    if _size(uris) > copies.room() and store.enter_tensorflow():
        streaming.check(uris[0])
        return uris
    return copies.paths(uris, store.local_copy)


def _size(uris: Sequence[str]) -> int:
    """The bytes of files, told from listings of their directories."""
    wanted = set(uris)
    found = (
        item for directory in {uri.rpartition("/")[0] for uri in uris} for item in level(directory)
    )
    return sum(item.size for item in found if isinstance(item, Entry) and item.uri in wanted)
