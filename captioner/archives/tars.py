"""Tar archives, plain and compressed: what is in them, and the bytes of members.

Members are regular files and hard links, which name the same bytes again. Symbolic links are passed
over, also those to a member: they aren't bytes of the archive, and may lead anywhere.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Collection, Iterator
from typing import BinaryIO, NamedTuple

from captioner import storage
from captioner.archives.places import Inside, as_text
from captioner.images import ImageError, Reason

_COMPRESSIONS = {b"\x1f\x8b": gzip.GzipFile, b"BZh": bz2.BZ2File, b"\xfd7zXZ\0": lzma.LZMAFile}

# Headers that describe the next one, which are read whole; a long name takes some hundred bytes.
_ABOUT_THE_NEXT = {b"x", b"g", b"X", b"L", b"K"}
_MAX_DESCRIPTION = 1 << 20

# Zeros behind an end mark that are read one after the other in search of a joined archive. Records
# are padded to some MB at most; behind more than these only as much at the file's end is looked at.
_MAX_ZEROS = 16 << 20


class _Found(NamedTuple):
    """Where a file is. A tuple of few words, as there is one for each name in the archive."""

    start: int
    size: int
    number: int
    problem: str = ""


class Header(tarfile.TarInfo):
    """A header that is checked: `tarfile` takes a broken one for the end of the archive."""

    @classmethod
    def frombuf(cls, block: bytes, *names: str) -> Header:
        """See `TarInfo.frombuf`."""
        if block and not any(block):  # also the last one, cut short
            raise tarfile.EOFHeaderError("zeros in place of a header")
        header = super().frombuf(block, *names)
        limit = _MAX_DESCRIPTION if header.type in _ABOUT_THE_NEXT else header.size
        if not 0 <= header.size <= limit:
            raise tarfile.InvalidHeaderError(f"a header says {header.size} bytes")
        return header

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Header:
        """See `TarInfo.fromtarfile`: the next header, also behind an end mark.

        Raises:
            tarfile.EOFHeaderError: there is none.
        """
        # `tarfile` moves the offset on when it is done with a header and those that describe it.
        is_described = archive.fileobj.tell() != archive.offset
        try:
            header = super().fromtarfile(archive)
        except tarfile.EOFHeaderError:
            if is_described:
                raise
            header = cls._behind_zeros(archive)
        except (tarfile.EmptyHeaderError, tarfile.TruncatedHeaderError) as error:
            raise tarfile.SubsequentHeaderError("it ends before its end mark") from error
        except tarfile.InvalidHeaderError as error:
            raise tarfile.SubsequentHeaderError(str(error)) from error
        if header.size < 0:  # extended headers may say so too, and the archive would go in circles
            raise tarfile.SubsequentHeaderError(f"a header says {header.size} bytes")
        return header

    @classmethod
    def _behind_zeros(cls, archive: tarfile.TarFile) -> Header:
        """The header behind a block of zeros: that of an archive joined to the one that ended.

        An end mark is two such blocks. One alone is a header that was lost, unless it is the last.
        """
        for zeros in range(1, _MAX_ZEROS // tarfile.BLOCKSIZE):
            try:
                header = super().fromtarfile(archive)
            except tarfile.EOFHeaderError:
                continue
            except tarfile.EmptyHeaderError as error:
                raise tarfile.EOFHeaderError("the end") from error
            except tarfile.HeaderError as error:
                problem = f"what follows zeros at its end is no header: {error}"
                raise tarfile.SubsequentHeaderError(problem) from error
            if zeros == 1:
                raise tarfile.SubsequentHeaderError("a single block of zeros is in its midst")
            return header
        _check_end(archive.fileobj)
        raise tarfile.EOFHeaderError("the end")


def scan(file: BinaryIO, stamp: str) -> Iterator[Inside]:
    """The files in a tar; of several with the same name the last, which is what unpacking leaves.

    Of one that isn't compressed only the headers are read. They are all read first; the names take
    some hundred bytes of memory for each file.

    Raises:
        tarfile.TarError, EOFError, zlib.error, lzma.LZMAError: the archive is broken. What was
            found before comes first.
    """
    plain, is_compressed = _decompressed(file)
    last: dict[str, _Found | None] = {}
    problem = None
    try:
        for number, header in enumerate(_headers(plain)):
            if not header.isdir():
                last[header.name] = _found(header, number, last)
    except Exception as error:
        problem = error
    for name, found in last.items():
        if found:
            # The version is that of the archive, and where in it the bytes are.
            version = f"{stamp}:{found.start:015d}"
            yield Inside(_text(name), version, _place(found, is_compressed))
    if problem:
        raise problem


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


def _found(header: tarfile.TarInfo, number: int, before: dict[str, _Found | None]) -> _Found | None:
    """Where a member's bytes are, which of a hard link are its target's; None if it is no file.

    Args:
        before: those that come before it, by name. What it was is still there for earlier links
            when a target is later replaced, as it is when the archive is unpacked.
    """
    if header.islnk():
        problem = f"it is a link to {_text(header.linkname)}, which isn't in the archive before it"
        return before.get(header.linkname, _Found(header.offset_data, 0, number, problem))
    if not header.isreg():
        return None
    problem = "it is stored with holes, which is not read here" if header.issparse() else ""
    return _Found(header.offset_data, header.size, number, problem)


def _place(found: _Found, is_compressed: bool) -> dict[str, str | int]:
    if found.problem:
        return {"broken": found.problem}
    if is_compressed:
        return {"member": found.number}
    return {"offset": found.start, "size": found.size}


def _text(name: str) -> str:
    return as_text(name.encode(errors="surrogateescape"))


def _check_end(plain: BinaryIO) -> None:
    """Raise if there is more than zeros at the end of a file."""
    size = plain.seek(0, io.SEEK_END)
    plain.seek(max(0, size - _MAX_ZEROS))
    if any(plain.read(_MAX_ZEROS)):
        raise tarfile.SubsequentHeaderError("more follows many zeros in its midst")


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
