"""A caption as metadata of its image: XMP's description.

Where IPTC's caption or EXIF's description is there too, it says the same afterwards, as the
Metadata Working Group has it ("Guidelines for Handling Image Metadata", 2.0, section 5.5).
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from importlib import util
from typing import Any

from PIL import Image, ImageSequence

from captioner import images, storage
from captioner.captions import CaptionRecord
from captioner.errors import UserError
from captioner.images import LIMITS
from captioner.writing_back.refused import Refused

# Those that Exiv2 writes without loss. Cameras' raw files, which may look like TIFF, are not.
_WRITTEN = {"image/jpeg", "image/png", "image/webp", "image/tiff"}

# JPEG's markers APP0 to APP15; EXIF and XMP are in the segments of APP1, IPTC is in APP13's.
_HEADERS = {bytes([0xFF, kind]) for kind in range(0xE0, 0xF0)}
_METADATA = {b"\xff\xe1", b"\xff\xed"}

_XMP = "Xmp.dc.description"
_IPTC = "Iptc.Application2.Caption"
_EXIF = "Exif.Image.ImageDescription"
_DEFAULT = 'lang="x-default"'


class Metadata:
    """Descriptions inside of image files on this machine.

    Attributes:
        threads: captions that may be written at once: Exiv2 has a state of its own.

    Raises:
        UserError: pyexiv2 is not installed.
    """

    threads = 1

    def __init__(self) -> None:
        if not util.find_spec("pyexiv2"):
            raise UserError("writing into images needs pyexiv2: pip install 'captioner[metadata]'")

    def place(self, record: CaptionRecord) -> str:
        """Where the caption goes: the image itself."""
        return record.uri

    def read(self, record: CaptionRecord) -> set[str]:
        """What an image says of itself: no, one or several descriptions.

        Raises:
            Refused: it can't be read, or not be written.
        """
        path = storage.local_path(record.uri)
        if path is None:
            raise Refused("it is in a bucket; only texts are written there")
        if os.path.islink(path):
            raise Refused("it is a link; the file that it leads to has its own name")
        found = storage.entry(record.uri)
        if found is None or found.size > LIMITS.bytes:
            raise Refused("it is too large" if found else "it is not there")
        if not os.access(path, os.W_OK):
            raise Refused("it is protected against writing")
        with _opened(storage.read_bytes(record.uri)) as image:
            return _descriptions(image)

    def write(self, record: CaptionRecord, is_new: bool, is_ours: bool, dry_run: bool) -> None:
        """Write the description, and nothing but metadata; a dry run does all but put it there.

        An image with our description needn't be the very file that was captioned, which had none.

        Raises:
            Refused: the image is no longer the one that was captioned, or would be harmed.
        """
        found = storage.entry(record.uri)
        before = storage.read_bytes(record.uri)
        if (
            record.content_hash
            and not is_ours
            and images.content_hash(before) != record.content_hash
        ):
            raise Refused("it has changed since it was captioned; caption it again")
        after = _described(before, record)
        with _opened(after) as image:
            if _descriptions(image) != {record.caption.strip()}:
                raise Refused("its metadata can't say this caption")
        if _pixels(before) != _pixels(after):
            raise Refused("its pixels would not stay as they are")
        if storage.entry(record.uri) != found:
            raise Refused("it is being changed")
        if not dry_run:
            storage.replace(record.uri, after)


def _opened(data: bytes) -> Any:
    import pyexiv2

    pyexiv2.set_log_level(4)  # it prints
    try:
        image = pyexiv2.ImageData(data)
        kind = image.get_mime_type()
    except (RuntimeError, ValueError) as error:
        raise Refused(f"its metadata can't be read: {error}") from error
    if kind not in _WRITTEN:
        raise Refused(f"{kind} can't have a caption inside")
    return image


def _descriptions(image: Any) -> set[str]:
    try:
        xmp, iptc, exif = image.read_xmp(), image.read_iptc(), image.read_exif()
    except (RuntimeError, ValueError) as error:
        raise Refused(f"its metadata can't be read: {error}") from error
    described = xmp.get(_XMP, {})
    found = [*(described.values() if isinstance(described, dict) else [described])]
    found += [iptc.get(_IPTC, ""), exif.get(_EXIF, "")]
    return {text.strip() for text in found} - {""}


def _described(data: bytes, record: CaptionRecord) -> bytes:
    """The image file with the caption in it."""
    with _opened(data) as image:
        tag = f'lang="{record.language}"'
        texts = {_DEFAULT: record.caption, **({tag: record.caption} if record.language else {})}
        try:
            image.modify_xmp({_XMP: None})
            image.modify_xmp({_XMP: texts})
            if _IPTC in image.read_iptc():
                image.modify_iptc({_IPTC: record.caption})
            if _EXIF in image.read_exif():
                image.modify_exif({_EXIF: record.caption})
            return image.get_bytes()
        except (RuntimeError, ValueError) as error:
            raise Refused(f"its metadata can't be written: {error}") from error


def _pixels(data: bytes) -> list[Any]:
    """What is the same if and only if the picture is: of JPEG the coded data, else all frames."""
    if data.startswith(b"\xff\xd8"):
        return list(_segments(data))
    try:
        with Image.open(io.BytesIO(data)) as image:
            return [
                (frame.mode, frame.size, images.content_hash(frame.tobytes()))
                for frame in ImageSequence.Iterator(image)
            ]
    except Exception as error:  # Pillow's plugins raise some twenty kinds on broken files
        raise Refused(f"its pixels can't be read: {error}") from error


def _segments(data: bytes) -> Iterator[bytes]:
    """The segments that a JPEG begins with but those of metadata; at last all from its tables on.

    ITU-T T.81, annex B: a segment is a marker, and its length in two bytes with these.
    """
    place = 2
    while (marker := data[place : place + 2]) in _HEADERS:
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4])
        if marker not in _METADATA:
            yield data[place:end]
        place = end
    yield data[place:]
