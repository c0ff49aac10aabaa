"""Files on this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import urllib.parse
import uuid
from collections.abc import Iterator
from pathlib import Path

from captioner.storage.entry import Entry

# What a process that was killed leaves behind of a file it was writing; never listed.
_UNFINISHED = ".writing-"


def _path(uri: str) -> str:
    """The path of a plain path or of a ``file://`` URI."""
    if uri.startswith("file://"):
        return os.fsdecode(urllib.parse.unquote_to_bytes(uri[len("file://") :]))
    return uri


def _uri(path: str) -> str:
    """`path` itself; where its bytes aren't UTF-8, a ``file://`` URI, which any text file holds."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "file://" + urllib.parse.quote(os.fsencode(os.path.abspath(path)))
    return path


def _entry(uri: str, status: os.stat_result) -> Entry:
    return Entry(uri, status.st_size, f"{status.st_size}:{status.st_mtime_ns}")


class LocalStore:
    """The `Store` of plain paths. Published files are whole or absent, also after a crash."""

    def level(self, uri: str) -> Iterator[Entry | str]:
        """See `Store.level`. Links to files are followed, links to directories are not."""
        with os.scandir(_path(uri)) as found:
            for item in found:
                if item.is_dir(follow_symlinks=False):
                    yield _uri(item.path)
                elif not item.name.startswith(_UNFINISHED) and item.is_file():
                    with contextlib.suppress(FileNotFoundError):  # deleted since it was listed
                        yield _entry(_uri(item.path), item.stat())

    def walk(self, uri: str) -> Iterator[Entry]:
        """See `Store.walk`."""
        pending = [uri] if self.is_directory(uri) else []
        while pending:
            for item in self.level(pending.pop()):
                if isinstance(item, Entry):
                    yield item
                else:
                    pending.append(item)

    def entry(self, uri: str) -> Entry | None:
        """See `Store.entry`."""
        path = _path(uri)
        return _entry(uri, os.stat(path)) if os.path.isfile(path) else None

    def is_directory(self, uri: str) -> bool:
        """See `Store.is_directory`."""
        return os.path.isdir(_path(uri))

    def read_bytes(self, uri: str, limit: int | None = None) -> bytes:
        """See `Store.read_bytes`."""
        with open(_path(uri), "rb") as file:
            return file.read(-1 if limit is None else limit)

    def create(self, uri: str, source: bytes | Path) -> bool:
        """See `Store.create`: a hard link is the one local step that refuses to overwrite."""
        with self._written(_path(uri), source) as whole:
            try:
                os.link(whole, _path(uri))
            except FileExistsError:
                return False
        return True

    def replace(self, uri: str, data: bytes) -> None:
        """See `Store.replace`."""
        with self._written(_path(uri), data) as whole:
            os.replace(whole, _path(uri))

    @contextlib.contextmanager
    def local_copy(self, uri: str) -> Iterator[Path]:
        """See `Store.local_copy`: the file itself."""
        os.stat(_path(uri))
        yield Path(_path(uri))

    @contextlib.contextmanager
    def _written(self, target: str, source: bytes | Path) -> Iterator[str]:
        """A file beside `target` that holds `source` and has reached the disk."""
        directory = os.path.dirname(target) or "."
        os.makedirs(directory, exist_ok=True)
        temporary = os.path.join(directory, _UNFINISHED + uuid.uuid4().hex)
        try:
            with open(temporary, "xb") as file:
                if isinstance(source, bytes):
                    file.write(source)
                else:
                    with open(source, "rb") as whole:
                        shutil.copyfileobj(whole, file, 1 << 20)
                file.flush()
                os.fsync(file.fileno())
            yield temporary
        except OSError as error:
            error.filename = error.filename or target
            raise
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
