"""A file in a store as a file object, read range by range as it is asked for."""

from __future__ import annotations

import io
from collections.abc import Callable

ReadRange = Callable[[int, int], bytes]  # limit, start


class RangedFile(io.RawIOBase):
    """A file that is read by requests for ranges: to be wrapped in a `io.BufferedReader`.

    Args:
        size: of the file, in bytes.
        read_range: gives at most so many bytes from a place on; fewer where the file ends.
    """

    def __init__(self, size: int, read_range: ReadRange) -> None:
        self._size = size
        self._read_range = read_range
        self._position = 0

    def readable(self) -> bool:
        """See `io.IOBase`."""
        return True

    def seekable(self) -> bool:
        """See `io.IOBase`."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See `io.IOBase`; costs nothing."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"there is nothing before the start of a file: {offset}")
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """See `io.IOBase`."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:
        """See `io.RawIOBase`: one request, unless the file is at its end."""
        count = min(len(buffer), self._size - self._position)
        if count <= 0:
            return 0
        data = self._read_range(count, self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
