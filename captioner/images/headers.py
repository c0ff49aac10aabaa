"""What an image file's headers claim that costs time or memory, before a decoder believes them.

Pure functions of bytes, which read no pixel and trust nothing: whatever the bytes, they end soon
and raise nothing.
"""

from __future__ import annotations

import dataclasses
import re
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

# Counting stops here: a file of more parts is refused anyway.
MOST_PARTS = 100_000


@dataclasses.dataclass
class Claims:
    """What decoding a file may cost.

    Attributes:
        parts: segments, chunks or blocks that its headers are made of, up to `MOST_PARTS` or so.
        scans: passes over the picture that a JPEG is made of.
        tag_bytes: memory for the tags of its TIFF or Exif directory, each counted by itself,
            though in a file made to do harm they share their bytes.
        canvas: width and height of a WebP, which Pillow tells only once it has made room for them.
        buffer: bytes of the strip or tile that a TIFF is decoded by.
        rare: the coding, where it is one whose decoder few files have proved.
    """

    parts: int = 0
    scans: int = 1
    tag_bytes: int = 0
    canvas: tuple[int, int] = (0, 0)
    buffer: int = 0
    rare: str = ""


def claims(data: bytes) -> Claims:
    """What the headers of a file claim, which is told by its first bytes."""
    reader = next((read for start, read in _READERS.items() if data.startswith(start)), None)
    found = Claims()
    if reader:
        try:
            reader(data, found)
        except (struct.error, IndexError):  # it breaks off, as the decoder will find out
            pass
    return found


# JPEG: ITU T.81, annex B

_MARKER = re.compile(rb"\xff+([^\xff\0])")
# Between the scans' coded bytes: no restart marker ends a scan.
_MARKER_AFTER_SCAN = re.compile(rb"\xff+([^\xff\0\xd0-\xd7])")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL_FRAMES = {0xC0, 0xC1}
_COMMON_FRAMES = _SEQUENTIAL_FRAMES | {0xC2}  # with Huffman codes
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_START_OF_SCAN, _END_OF_IMAGE, _APP1 = 0xDA, 0xD9, 0xE1


def _read_jpeg(data: bytes, found: Claims) -> None:
    components, progressive, exif = 0, False, []
    found.scans = 0
    for marker, start, length in _segments(data, found):
        if marker in _FRAMES:
            components = data[start + 5]
            found.rare = "" if marker in _COMMON_FRAMES else f"JPEG process {marker - 0xC0}"
            progressive = marker not in _SEQUENTIAL_FRAMES
        elif marker == _APP1 and data.startswith(b"Exif\0\0", start):
            exif.append(data[start + 6 : start + length])
        elif marker == _START_OF_SCAN:
            found.scans += 1
            if data[start] == components and not progressive:
                break  # one scan is the whole picture, and nothing behind it is looked at
    found.tag_bytes = exif_bytes(b"".join(exif))


def _segments(data: bytes, found: Claims) -> Iterator[tuple[int, int, int]]:
    """Marker, start of the content and its length, of each segment up to the end of the image."""
    at, pattern = 2, _MARKER
    while found.parts <= MOST_PARTS and (match := pattern.search(data, at)):
        marker, start, pattern = match[1][0], match.end(), _MARKER
        if not found.scans:  # Pillow goes over what is between segments byte by byte
            found.parts += start - 2 - at
        found.parts += 1
        if marker == _END_OF_IMAGE:
            return
        if marker in _ALONE:
            at = start
            continue
        (length,) = struct.unpack_from(">H", data, start)
        yield marker, start + 2, length - 2
        at = start + max(2, length)
        if marker == _START_OF_SCAN:
            pattern = _MARKER_AFTER_SCAN


# PNG, third edition, section 5


def _read_png(data: bytes, found: Claims) -> None:
    at = 8
    while at + 8 <= len(data) and found.parts <= MOST_PARTS:
        (length,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        found.parts += 1
        if kind == b"IEND":
            return
        at += 12 + length


# WebP: RFC 9649


def _read_webp(data: bytes, found: Claims) -> None:
    kind = data[12:16]
    if kind == b"VP8X":
        sides = (data[at] | data[at + 1] << 8 | data[at + 2] << 16 for at in (24, 27))
        found.canvas = tuple(1 + side for side in sides)
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        found.canvas = (1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    elif kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        found.canvas = (width & 0x3FFF, height & 0x3FFF)
    at = 12
    while at + 8 <= len(data) and found.parts <= MOST_PARTS:
        (length,) = struct.unpack_from("<I", data, at + 4)
        found.parts += 1
        at += 8 + length + (length & 1)


# GIF 89a: what comes before the first frame


def _read_gif(data: bytes, found: Claims) -> None:
    at = 13 + _colour_table(data[10])
    while found.parts <= MOST_PARTS:
        found.parts += 1
        kind = data[at]
        if kind == 0x21:
            at = _after_blocks(data, at + 2, found)
        elif kind in (0x2C, 0x3B):
            return
        else:  # junk, which Pillow goes over byte by byte
            at += 1


def _colour_table(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_blocks(data: bytes, at: int, found: Claims) -> int:
    while data[at] and found.parts <= MOST_PARTS:
        found.parts += 1
        at += 1 + data[at]
    return at + 1


# TIFF 6.0, its big sister, and Exif, which is a small one


class _Layout(NamedTuple):
    """How a directory is written, as `struct` has it."""

    count: str
    entry: str  # tag, type, count of values, and the values, or where they are
    inline: int  # bytes of values that fit into the entry
    offset: int  # type of the place where values are that do not


_TIFF, _BIG_TIFF = _Layout("H", "HHI4s", 4, 4), _Layout("Q", "HHQ8s", 8, 16)
_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
          16: 8, 17: 8, 18: 8}  # fmt: skip
# None, LZW, JPEG, Deflate by both its numbers, PackBits.
_COMMON_COMPRESSIONS = {1, 5, 7, 8, 32946, 32773}
_COMPRESSION, _ROWS, _TILE_WIDTH, _TILE_LENGTH = 259, 278, 322, 323
_WIDTH, _LENGTH, _BITS, _SAMPLES = 256, 257, 258, 277
# The places and lengths of strips or tiles. Each of their bytes takes 40 as numbers of Python's.
_PLACES, _PLACE_MEMORY = {273, 279, 324, 325}, 40


def exif_bytes(exif: bytes) -> int:
    """What the tags of an Exif block come to, each counted by itself; 0 where it can't be read."""
    while exif.startswith(b"Exif\0\0"):
        exif = exif[6:]
    found = Claims()
    try:
        _directory(exif, found)
    except (struct.error, IndexError):
        pass
    return found.tag_bytes


def _read_tiff(data: bytes, found: Claims) -> None:
    tags: dict[int, int] = {}
    try:
        _directory(data, found, tags)
    finally:
        compression = tags.get(_COMPRESSION, 1)
        if compression not in _COMMON_COMPRESSIONS:
            found.rare = f"TIFF compression {compression}"
        found.buffer = _buffer(tags)


def _buffer(tags: dict[int, int]) -> int:
    width, length = tags.get(_WIDTH, 0), tags.get(_LENGTH, 0)
    pixels = width * min(length, tags.get(_ROWS, length))
    if _TILE_WIDTH in tags:
        pixels = tags[_TILE_WIDTH] * tags.get(_TILE_LENGTH, 0)
    # The bits of several samples are not in the entry; Pillow takes no more than 32 of each.
    bits = 8 if tags.get(_BITS, 0) not in (1, 16, 32) else tags[_BITS]
    return pixels * tags.get(_SAMPLES, 1) * bits // 8


def _directory(data: bytes, found: Claims, tags: dict[int, int] | None = None) -> None:
    """Add up the first directory's tags; `tags` gets the first number of each."""
    order = "<" if data[:1] == b"I" else ">"
    layout, (at,) = _TIFF, struct.unpack_from(order + "I", data, 4)
    if 0x2B in data[2:4]:
        layout, (at,) = _BIG_TIFF, struct.unpack_from(order + "Q", data, 8)
    (count,) = struct.unpack_from(order + layout.count, data, at)
    at += struct.calcsize(order + layout.count)
    for index in range(min(count, MOST_PARTS + 1)):
        place = at + index * struct.calcsize(order + layout.entry)
        tag, kind, length, value = struct.unpack_from(order + layout.entry, data, place)
        size = length * _SIZES.get(kind, 0)
        found.parts += 1
        found.tag_bytes += min(size, len(data)) * (_PLACE_MEMORY if tag in _PLACES else 1)
        if tags is not None and kind in _NUMBERS and length:
            if size > layout.inline:
                (start,) = struct.unpack_from(order + _NUMBERS[layout.offset], value)
                value = data[start : start + size]
            (number,) = struct.unpack_from(order + _NUMBERS[kind], value)
            tags[tag] = max(number, tags.get(tag, 0))  # decoders differ in which of two holds


# BMP


def _read_bmp(data: bytes, found: Claims) -> None:
    if struct.unpack_from("<I", data, 14) != (12,):  # the oldest header knows no compression
        (compression,) = struct.unpack_from("<I", data, 30)
        # Pillow's decoder of run lengths is written in Python, and trusts what it reads.
        found.rare = "BMP run lengths" if compression in (1, 2) else ""


_READERS: dict[bytes | tuple[bytes, ...], Callable[[bytes, Claims], None]] = {
    b"\xff\xd8\xff": _read_jpeg,
    b"\x89PNG": _read_png,
    b"RIFF": _read_webp,
    b"GIF8": _read_gif,
    (b"II", b"MM"): _read_tiff,
    b"BM": _read_bmp,
}
