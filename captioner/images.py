"""Bytes in, upright RGB pixels out, or a named reason why not.

Reads JPEG, PNG, WebP, GIF (first frame), TIFF (first page) and BMP, told apart by their first
bytes, never by their names. Whatever the bytes, the outcome is a picture or an `ImageError`: a
file that breaks off is never filled up with black. Safe to call from many threads.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import io
import operator
import re
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageCms,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

# Pillow warns of broken metadata and large pictures, once for each wording: noise in a long job.
# Set once here, since `warnings.catch_warnings` isn't safe among threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


class Reason(enum.StrEnum):
    """Why an image has no pixels."""

    EMPTY = "empty"  # no bytes at all
    NOT_AN_IMAGE = "not_an_image"  # the first bytes are none of a format that is read here
    TRUNCATED = "truncated"  # an image that breaks off
    CORRUPT = "corrupt"  # an image by its first bytes that can't be decoded
    TOO_LARGE = "too_large"  # over a limit, in bytes or in pixels
    MISSING = "missing"  # listed, but gone when it was to be read
    UNREADABLE = "unreadable"  # the storage failed; it may work the next time

    @property
    def permanent(self) -> bool:
        """Whether trying the same file again can't help."""
        return self not in (Reason.MISSING, Reason.UNREADABLE)


class ImageError(Exception):
    """An image that can't be read: `reason` is for counting, the text for people."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(reason, message)  # both, so that it can be pickled
        self.reason = reason

    def __str__(self) -> str:
        return self.args[1]


@dataclass(frozen=True)
class Limits:
    """What is refused as too large before it is decoded; telephones take 200-megapixel photos."""

    bytes: int = 100_000_000
    pixels: int = 200_000_000


LIMITS = Limits()


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """An upright picture squashed to a square, and how large it was.

    Attributes:
        pixels: uint8 [size, size, 3], RGB.
        width: pixels across, upright, before resizing.
        height: pixels down, upright, before resizing.
    """

    pixels: np.ndarray
    width: int
    height: int


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

_UPRIGHT = {  # Exif 2.32, table 6, tag 274
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = (5, 6, 7, 8)

# Before the exact resize an image is shrunk by a whole factor to no less than this many times
# the size asked for: several times faster, and not visibly different.
_REDUCING_GAP = 2


def content_hash(data: bytes) -> str:
    """SHA-256 of the file's bytes, in hexadecimal: equal for equal files."""
    return hashlib.sha256(data).hexdigest()


def decode(data: bytes, size: int, limits: Limits = LIMITS) -> DecodedImage:
    """Decode an image file to `size` x `size` pixels.

    Args:
        data: the whole file.
        size: pixels along each side of the result; the picture is squashed, not cropped.
        limits: what is too large; both are known before anything is decoded.

    Raises:
        ImageError: and nothing else, whatever the bytes.
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
        _check_canvas(data, limits)
        image = plugin(source)
        _check_pixels(*image.size, limits)
        source.opened = True
        header_size = image.size  # `draft` shrinks it
        image.draft(None, (_REDUCING_GAP * size, _REDUCING_GAP * size))
        return _square(image, header_size, size)
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
        return _square(image, image.size, size)
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


def _check_pixels(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.pixels:
        raise ImageError(Reason.TOO_LARGE, f"{width:,} x {height:,} pixels, over {limits.pixels:,}")


def _check_canvas(data: bytes, limits: Limits) -> None:
    """An extended WebP's size, which Pillow tells only once it has made room for the pixels."""
    if data[8:16] == b"WEBPVP8X":
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        _check_pixels(width, height, limits)


def _square(image: Image.Image, header_size: tuple[int, int], size: int) -> DecodedImage:
    image.load()
    width, height = header_size
    orientation = _orientation(image)
    if orientation in _ON_ITS_SIDE:
        width, height = height, width
    square = _to_rgb(image).resize(
        (size, size), Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP
    )
    if orientation in _UPRIGHT:
        square = square.transpose(_UPRIGHT[orientation])
    return DecodedImage(np.array(square), width, height)


def _orientation(image: Image.Image) -> int:
    """Exif's orientation, from 1 (upright) to 8; metadata that can't be read costs no image."""
    with contextlib.suppress(Exception):
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = _from_16_bit(image)
    elif image.mode in ("I", "F"):
        image = _stretched(image)
    elif image.mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, lab, rgb, outputMode="RGB")
    if image.has_transparency_data:
        return _onto_white(image.convert("RGBA"))
    return image.convert("RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    """The eight high bits, as Pillow does in colour; of 12-bit TIFFs too, which come as 16."""
    bits = getattr(image, "tag_v2", {}).get(TiffImagePlugin.BITSPERSAMPLE, (16,))[0]
    return Image.fromarray((np.asarray(image) >> (bits - 8)).astype(np.uint8))


def _stretched(image: Image.Image) -> Image.Image:
    """32-bit values have no agreed white: the smallest becomes black and the largest white."""
    values = np.asarray(image, np.float32)
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise ImageError(Reason.CORRUPT, "none of its values is a number")
    low, high = finite.min(), finite.max()
    values = (np.clip(np.nan_to_num(values, nan=low), low, high) - low) / (high - low or 1)
    return Image.fromarray((values * 255).round().astype(np.uint8))


def _onto_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


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
