"""Zip archives: what is in them, and the bytes of a member, without reading the others.

The format is PKWARE's APPNOTE 6.3.10.
"""

from __future__ import annotations

import bz2
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from captioner import storage
from captioner.archives.places import Inside, as_text
from captioner.images import ImageError, Reason

_ENCRYPTED, _PATCHED, _UTF8 = 1 << 0, 1 << 5, 1 << 11  # general purpose flags, 4.4.4
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
_HEADER = struct.Struct("<4s22xHH")  # local file header, 4.3.7: signature; lengths of name, extra
# End of central directory record, 4.3.16: 22 bytes and a comment. It counts so many files where
# zip64's own record does the counting.
_LONGEST_END, _IN_ZIP64 = 22 + 0xFFFF, 0xFFFF
_HEADER_AHEAD = 1024  # bytes that are read for it, in the hope that they hold the names too


def scan(file: BinaryIO) -> Iterator[Inside]:
    """The files in a zip; of several with the same name the last.

    Raises:
        zipfile.BadZipFile: it isn't one, or breaks off.
    """
    with zipfile.ZipFile(file) as archive:
        listed, said = archive.infolist(), _said(file)
    last = {_name(info): info for info in listed if _is_file(info)}
    for name, info in last.items():
        place = _place(info)
        # One that can't be read as it is packed is another image when it is packed anew.
        packing = f":{place['broken']}" if "broken" in place else ""
        yield Inside(name, f"{info.file_size}:{info.CRC:08x}{packing}", place)
    if said != _IN_ZIP64 and said != len(listed) % (_IN_ZIP64 + 1):
        raise zipfile.BadZipFile(f"{len(listed)} files are found, and {said} should be there")


def _said(file: BinaryIO) -> int:
    """How many files a zip has by its end, which `zipfile` doesn't hold against what it finds."""
    file.seek(0, os.SEEK_END)
    file.seek(max(0, file.tell() - _LONGEST_END))
    end = file.read()
    (count,) = struct.unpack_from("<10xH", end, end.rfind(b"PK\5\6"))
    return count


def read(source: str, place: dict[str, str], limit: int) -> bytes:
    """The bytes of a member of a zip. See `archives.read`."""
    size, packed = int(place["size"]), int(place["packed"])
    # What doesn't shrink grows by less than this; if there is more, it is over the limit anyway.
    packed = min(packed, limit + limit // 256 + 1024)
    data = _unpacked(_packed(source, int(place["offset"]), packed), int(place["method"]), limit)
    if len(data) < limit and (len(data) != size or zlib.crc32(data) != int(place["crc"])):
        raise _damaged(f"{source}: its bytes aren't those that were packed")
    return data


def _is_file(info: zipfile.ZipInfo) -> bool:
    """Whether a member is a file; what system packed it says so or says nothing."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    return not info.is_dir() and kind in (0, stat.S_IFREG)


def _name(info: zipfile.ZipInfo) -> str:
    """The name; many archives have it in UTF-8 and don't say so."""
    name = info.orig_filename
    if info.flag_bits & _UTF8:
        return as_text(name.encode(errors="surrogateescape"))
    try:
        return name.encode("cp437").decode()
    except UnicodeDecodeError:
        return name


def _place(info: zipfile.ZipInfo) -> dict[str, str | int]:
    if info.flag_bits & _ENCRYPTED:
        return {"broken": "it is encrypted"}
    if info.flag_bits & _PATCHED or info.compress_type not in _METHODS:
        return {"broken": f"it is packed by method {info.compress_type}, which is not read here"}
    return {
        "offset": info.header_offset,
        "packed": info.compress_size,
        "method": info.compress_type,
        "size": info.file_size,
        "crc": info.CRC,
    }


def _packed(source: str, offset: int, count: int) -> bytes:
    """A member's packed bytes, which follow a header whose length only the header says."""
    data = storage.read_bytes(source, _HEADER_AHEAD + count, offset)
    if len(data) < _HEADER.size or not data.startswith(b"PK\3\4"):
        raise _damaged(f"{source}: it isn't where the archive says")
    _, name, extra = _HEADER.unpack_from(data)
    start = _HEADER.size + name + extra
    if start > _HEADER_AHEAD:
        return storage.read_bytes(source, count, offset + start)
    return data[start : start + count]


def _unpacked(data: bytes, method: int, limit: int) -> bytes:
    """At most `limit` bytes, so that one that unpacks to more than memory holds does no harm."""
    try:
        if method == zipfile.ZIP_DEFLATED:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, limit)
        if method == zipfile.ZIP_BZIP2:
            return bz2.BZ2Decompressor().decompress(data, limit)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _damaged(f"can't be unpacked: {error}") from error
    return data[:limit]


def _damaged(message: str) -> ImageError:
    """The archive is; a whole one may take its place, whose members have the same stamps."""
    return ImageError(Reason.CORRUPT, message, permanent=False)
