"""Files on this machine."""

from __future__ import annotations

import contextlib
import errno
import operator
import os
import shutil
import stat
import urllib.parse
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from captioner.storage.entry import Entry
from captioner.storage.retrying import retrying

# What a process that was killed leaves behind of a file it was writing; never listed.
_UNFINISHED = ".writing-"


def as_path(uri: str) -> str:
    """The path of a plain path or of a ``file://`` URI."""
    if uri.startswith("file://"):
        return os.fsdecode(urllib.parse.unquote_to_bytes(uri[len("file://") :]))
    return uri


def as_uri(path: str) -> str:
    """`path` itself; where its bytes aren't UTF-8, a ``file://`` URI, which any text file holds."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "file://" + urllib.parse.quote(os.fsencode(os.path.abspath(path)))
    return path


def _entry(uri: str, status: os.stat_result) -> Entry:
    return Entry(uri, status.st_size, f"{status.st_size}:{status.st_mtime_ns}")


def _status(path: str) -> os.stat_result | None:
    """What is at a path; None where there is nothing, or can't be. Links are followed."""
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            return None
        raise


def _make(directory: str) -> None:
    # With `exist_ok` alone, a directory whose state can't be asked for in passing is no directory.
    try:
        os.makedirs(directory)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(directory).st_mode):
            raise


def _take_over(old: str, new: str) -> None:
    """Give a file the owner and permissions of the one that it replaces, as far as we may."""
    status = _status(old)
    if status is None:
        return
    with contextlib.suppress(PermissionError):
        os.chown(new, status.st_uid, status.st_gid)
    os.chmod(new, stat.S_IMODE(status.st_mode))


def _scan(path: str) -> list[os.DirEntry[str]]:
    with os.scandir(path) as found:
        return sorted(found, key=operator.attrgetter("name"))


def _found(item: os.DirEntry[str]) -> Entry | str | None:
    """A directory's URI, a file's entry, or None for what is neither or no longer there."""
    if item.is_dir(follow_symlinks=False):
        return as_uri(item.path)
    if item.name.startswith(_UNFINISHED):
        return None
    status = _status(item.path)
    # What a link leads to may be missing, or a directory, which isn't entered: reading it will say.
    if status is None:
        return Entry(as_uri(item.path), 0, "") if item.is_symlink() else None
    is_file = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
    return _entry(as_uri(item.path), status) if is_file else None


class LocalStore:
    """The `Store` of plain paths. Published files are whole or absent, also after a crash."""

    def level(self, uri: str) -> Iterator[Entry | str]:
        """See `Store.level`. Links to files are followed, links to directories listed as files."""
        for item in retrying(_scan, as_path(uri)):
            if found := retrying(_found, item):
                yield found

    def walk(self, uri: str) -> Iterator[Entry]:
        """See `Store.walk`."""
        pending = [uri] if retrying(self.is_directory, uri) else []
        while pending:
            # Directories may be deleted while others are walked, as files may.
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                for item in self.level(pending.pop()):
                    if isinstance(item, Entry):
                        yield item
                    else:
                        pending.append(item)

    def entry(self, uri: str) -> Entry | None:
        """See `Store.entry`."""
        status = _status(as_path(uri))
        return _entry(uri, status) if status and stat.S_ISREG(status.st_mode) else None

    def is_directory(self, uri: str) -> bool:
        """See `Store.is_directory`."""
        status = _status(as_path(uri))
        return status is not None and stat.S_ISDIR(status.st_mode)

    def open(self, uri: str) -> BinaryIO:
        """The file itself, for reading."""
        return open(as_path(uri), "rb")

    def read_bytes(self, uri: str, limit: int | None = None, start: int = 0) -> bytes:
        """See `Store.read_bytes`."""
        with open(as_path(uri), "rb") as file:
            size = max(0, os.fstat(file.fileno()).st_size - start)
            file.seek(start)
            # Not the limit at once: memory would be asked for it, which costs more than the file.
            data = file.read(size + 1 if limit is None else min(size + 1, limit))
            if len(data) > size:  # it has grown, or its file system knows no sizes
                data += file.read(-1 if limit is None else limit - len(data))
        if len(data) < (size if limit is None else min(size, limit)):
            raise OSError(errno.EIO, f"only {len(data)} of {size} bytes could be read", uri)
        return data

    def create(self, uri: str, source: bytes | Path) -> bool:
        """See `Store.create`: a hard link is the one local step that refuses to overwrite."""
        with self._written(as_path(uri), source) as whole:
            try:
                os.link(whole, as_path(uri))
            except FileExistsError:
                return False
        return True

    def replace(self, uri: str, data: bytes) -> None:
        """See `Store.replace`. Owner and permissions stay those of the file before."""
        with self._written(as_path(uri), data) as whole:
            _take_over(as_path(uri), whole)
            os.replace(whole, as_path(uri))

    def remove(self, uri: str) -> None:
        """See `Store.remove`."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(as_path(uri))

    @contextlib.contextmanager
    def local_copy(self, uri: str) -> Iterator[Path]:
        """See `Store.local_copy`: the file itself."""
        os.stat(as_path(uri))
        yield Path(as_path(uri))

    @contextlib.contextmanager
    def _written(self, target: str, source: bytes | Path) -> Iterator[str]:
        """A file beside `target` that holds `source` and has reached the disk."""
        directory = os.path.dirname(target) or "."
        _make(directory)
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
