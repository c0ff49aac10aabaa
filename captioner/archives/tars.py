"""Tar archives, plain and compressed: what is in them, and the bytes of members."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Collection, Iterator
from typing import BinaryIO

from captioner import storage
from captioner.archives.places import Inside, as_text
from captioner.images import ImageError, Reason

_COMPRESSIONS = {b"\x1f\x8b": gzip.GzipFile, b"BZh": bz2.BZ2File, b"\xfd7zXZ\0": lzma.LZMAFile}

# Headers that describe the next one, which are read whole; a long name takes some hundred bytes.
_ABOUT_THE_NEXT = {b"x", b"g", b"X", b"L", b"K"}
_MAX_DESCRIPTION = 1 << 20


class Header(tarfile.TarInfo):
    """A header that is checked: `tarfile` takes a broken one for the end of the archive."""

    @classmethod
    def frombuf(cls, *arguments: object) -> Header:
        """See `TarInfo.frombuf`."""
        header = super().frombuf(*arguments)
        limit = _MAX_DESCRIPTION if header.type in _ABOUT_THE_NEXT else header.size
        if not 0 <= header.size <= limit:
            raise tarfile.InvalidHeaderError(f"a header says {header.size} bytes")
        return header

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Header:
        """See `TarInfo.fromtarfile`."""
        try:
            header = super().fromtarfile(archive)
        except (tarfile.EmptyHeaderError, tarfile.TruncatedHeaderError) as error:
            raise tarfile.SubsequentHeaderError("it ends before its end mark") from error
        except tarfile.InvalidHeaderError as error:
            raise tarfile.SubsequentHeaderError(str(error)) from error
        if header.size < 0:  # extended headers may say so too, and the archive would go in circles
            raise tarfile.SubsequentHeaderError(f"a header says {header.size} bytes")
        return header


def scan(file: BinaryIO, stamp: str) -> Iterator[Inside]:
    """The files in a tar. Of one that isn't compressed only the headers are read.

    Raises:
        tarfile.TarError, EOFError, zlib.error, lzma.LZMAError: the archive is broken.
    """
    plain, is_compressed = _decompressed(file)
    for number, header in enumerate(_headers(plain)):
        if header.isreg():
            place = {"member": number} if is_compressed else _range(header)
            if header.issparse():
                place = {"broken": "it is stored with holes, which is not read here"}
            # Of several members of one name the last counts: its stamp is the greatest.
            version = f"{stamp}:{header.offset_data:015d}"
            yield Inside(as_text(header.name.encode(errors="surrogateescape")), version, place)


def read(source: str, place: dict[str, str], limit: int) -> bytes:
    """The bytes of a member of a plain tar. See `archives.read`."""
    count = min(int(place["size"]), limit)
    data = storage.read_bytes(source, count, int(place["offset"]))
    if len(data) < count:
        raise ImageError(Reason.TRUNCATED, f"{source}: the archive breaks off in it")
    return data


def stream(
    file: BinaryIO, wanted: Collection[int], limit: int
) -> Iterator[tuple[int, bytes | ImageError]]:
    """Those members of a tar whose numbers are `wanted`, until there are none left.

    Raises:
        tarfile.TarError, EOFError, zlib.error, lzma.LZMAError: the archive is broken.
    """
    plain, _ = _decompressed(file)
    for number, header in enumerate(_headers(plain)):
        if number in wanted:
            plain.seek(header.offset_data)
            data = plain.read(min(header.size, limit))
            short = ImageError(Reason.TRUNCATED, "the archive breaks off in it")
            yield number, data if len(data) == min(header.size, limit) else short
        if not wanted:
            return


def _range(header: tarfile.TarInfo) -> dict[str, str | int]:
    return {"offset": header.offset_data, "size": header.size}


def _decompressed(file: BinaryIO) -> tuple[BinaryIO, bool]:
    """What a tar holds once decompressed, and whether it was compressed, told from its bytes."""
    first = file.read(6)
    file.seek(0)
    for magic, opener in _COMPRESSIONS.items():
        if first.startswith(magic):
            return opener(fileobj=file) if opener is gzip.GzipFile else opener(file), True
    return file, False


def _headers(plain: BinaryIO) -> Iterator[tarfile.TarInfo]:
    names = {"encoding": "utf-8", "errors": "surrogateescape"}
    with tarfile.open(fileobj=plain, mode="r:", tarinfo=Header, **names) as archive:
        while header := archive.next():
            archive.members.clear()  # it would keep them all
            yield header
