"""Remote files that are read pass after pass: copied to this machine once."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

# One connection to a store is slow, many together fill the line.
_AT_ONCE = 16


def room() -> int:
    """Bytes that copies may take: half of what is free where temporary files go (``TMPDIR``)."""
    return shutil.disk_usage(tempfile.gettempdir()).free // 2


def paths(
    uris: Iterable[str], local_copy: Callable[[str], AbstractContextManager[Path]]
) -> list[str]:
    """Local copies of files that never change, made now where there are none from before.

    They keep their names, and are removed when the process ends.

    Args:
        local_copy: as of `Store`.
    """
    directory = _directory().name
    with _chance_untouched(), ThreadPoolExecutor(_AT_ONCE) as threads:
        return list(threads.map(lambda uri: _path(directory, uri, local_copy), uris))


@contextlib.contextmanager
def _chance_untouched() -> Iterator[None]:
    """Equal seeds are to give equal models, and the stores' clients draw from `random` too."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


@functools.cache
def _directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="captioner-")


def _path(
    directory: str, uri: str, local_copy: Callable[[str], AbstractContextManager[Path]]
) -> str:
    place = os.path.join(directory, hashlib.sha256(uri.encode()).hexdigest()[:32])
    path = os.path.join(place, uri.rpartition("/")[2])
    if not os.path.exists(path):
        os.makedirs(place, exist_ok=True)
        with local_copy(uri) as copy:
            os.replace(copy, path)
    return path
