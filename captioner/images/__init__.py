"""Bytes in, upright RGB pixels out, or a named reason why not.

Reads JPEG, PNG, WebP, GIF (first frame), TIFF (first page) and BMP, told apart by their first
bytes, never by their names. Whatever the bytes, the outcome is a picture or an `ImageError`: a
file that breaks off is never filled up with black. Safe to call from many threads.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import io
import logging
import operator
import re
import warnings

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from captioner.images import headers
from captioner.images.errors import ImageError, Reason, TooHeavy
from captioner.images.limits import LIGHT, LIMITS, Limits
from captioner.images.pixels import REDUCING_GAP, DecodedImage, square

__all__ = [
    "LIGHT",
    "LIMITS",
    "DecodedImage",
    "ImageError",
    "Limits",
    "Reason",
    "TooHeavy",
    "content_hash",
    "decode",
    "from_array",
    "from_pil",
]

# Pillow warns of broken metadata and large pictures, once for each wording: noise in a long job.
# Set once here, since `warnings.catch_warnings` isn't safe among threads.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)
with contextlib.suppress(Exception):  # libtiff prints what it finds wrong, by itself
    ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)


# The plugin is called directly, not through `Image.open`, whose own limit on pixels is global.
# The size of its second header belongs to BMP's signature, as many a text begins with "BM".
_PLUGINS: tuple[tuple[re.Pattern[bytes], type[ImageFile.ImageFile]], ...] = (
    (re.compile(rb"\xff\xd8\xff"), JpegImagePlugin.JpegImageFile),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), PngImagePlugin.PngImageFile),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), WebPImagePlugin.WebPImageFile),
    (re.compile(rb"GIF8[79]a"), GifImagePlugin.GifImageFile),
    (re.compile(rb"(II|MM)(\0[*+]|[*+]\0)"), TiffImagePlugin.TiffImageFile),
    (re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0{3}", re.DOTALL),
     BmpImagePlugin.BmpImageFile),
)  # fmt: skip


def content_hash(data: bytes) -> str:
    """SHA-256 of the file's bytes, in hexadecimal: equal for equal files."""
    return hashlib.sha256(data).hexdigest()


def decode(data: bytes, size: int, limits: Limits = LIMITS) -> DecodedImage:
    """Decode an image file to `size` x `size` pixels.

    Args:
        data: the whole file.
        size: pixels along each side of the result; the picture is squashed, not cropped.
        limits: what is too large, which is known before anything is decoded.

    Raises:
        ImageError: and nothing else, whatever the bytes; a `TooHeavy`, where it isn't the bytes
            or pixels that are over the limit but what decoding it would cost.
    """
    if not data:
        raise ImageError(Reason.EMPTY, "the file is empty")
    if len(data) > limits.bytes:
        raise ImageError(Reason.TOO_LARGE, f"{len(data):,} bytes, over {limits.bytes:,}")
    plugin = next((plugin for pattern, plugin in _PLUGINS if pattern.match(data)), None)
    if plugin is None:
        raise ImageError(Reason.NOT_AN_IMAGE, "not a JPEG, PNG, WebP, GIF, TIFF or BMP image")
    source, image = _Source(data), None
    try:
        claims = headers.claims(data)
        limits.check_claims(claims)
        image = plugin(source)
        limits.check_size(*image.size)
        source.opened = True
        header_size = image.size  # `draft` shrinks it
        if not claims.rare:
            image.draft(None, (REDUCING_GAP * size, REDUCING_GAP * size))
        limits.check_memory(image, header_size, claims)
        return square(image, header_size, size)
    except ImageError:
        raise
    except Exception as error:  # Pillow's plugins raise some twenty kinds on broken files
        raise _named(error, _breaks_off(source, image)) from error


def from_pil(image: Image.Image, size: int) -> DecodedImage:
    """The same for a picture already opened with Pillow, in any mode; it isn't changed.

    Raises:
        ImageError: its pixels can't be read or turned into RGB.
    """
    try:
        image.load()
        return square(image, image.size, size)
    except ImageError:
        raise
    except Exception as error:
        raise _named(error) from error


def from_array(array: np.ndarray, size: int) -> DecodedImage:
    """The same for pixels: uint8 [height, width] grey, or [height, width, 3 or 4] RGB or RGBA.

    Raises:
        ValueError: the array has another type or shape.
    """
    grey, colour = array.ndim == 2, array.ndim == 3 and array.shape[-1] in (3, 4)
    if array.dtype != np.uint8 or not (grey or colour) or array.size == 0:
        raise ValueError(
            "expected uint8 pixels of shape [height, width], [height, width, 3] or "
            f"[height, width, 4], got {array.dtype} {list(array.shape)}"
        )
    return from_pil(Image.fromarray(array), size)


class _Source(io.BytesIO):
    """A file that notices when more is asked of its headers than there is."""

    opened = False
    ran_out = False

    def read(self, count: int | None = -1) -> bytes:
        found = super().read(count)
        if not self.opened and count is not None and len(found) < count:
            self.ran_out = True
        return found


def _named(error: Exception, breaks_off: bool = False) -> ImageError:
    message = str(error) or type(error).__name__
    if isinstance(error, (MemoryError, Image.DecompressionBombError)):
        return ImageError(Reason.TOO_LARGE, message)
    if breaks_off or "truncated" in message.lower():
        return ImageError(Reason.TRUNCATED, f"the file breaks off: {message}")
    return ImageError(Reason.CORRUPT, f"can't be decoded: {message}")


def _breaks_off(source: _Source, image: Image.Image | None) -> bool:
    """Whether the file ends within its headers, or before where they say that it ends."""
    data, end = source.getvalue(), 0
    if data.startswith(b"RIFF"):
        end = 8 + int.from_bytes(data[4:8], "little")
    elif isinstance(image, TiffImagePlugin.TiffImageFile):
        end = _last_strip_end(image)
    return source.ran_out or len(data) < end


def _last_strip_end(image: TiffImagePlugin.TiffImageFile) -> int:
    tags = image.tag_v2
    starts = tags.get(TiffImagePlugin.STRIPOFFSETS, tags.get(TiffImagePlugin.TILEOFFSETS))
    lengths = tags.get(TiffImagePlugin.STRIPBYTECOUNTS, tags.get(TiffImagePlugin.TILEBYTECOUNTS))
    try:
        return max(map(operator.add, starts, lengths))
    except (TypeError, ValueError):  # the tags are missing or broken
        return 0
