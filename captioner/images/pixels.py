"""From a picture as Pillow has it to an upright RGB square."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin

from captioner.images import headers
from captioner.images.errors import ImageError, Reason

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
REDUCING_GAP = 2
# Metadata that comes to more than this is made to do harm; a photo has some kilobytes.
_MOST_METADATA = 1 << 24


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


def square(image: Image.Image, header_size: tuple[int, int], size: int) -> DecodedImage:
    """A picture made upright, squashed and RGB.

    Args:
        image: the picture; it isn't changed, but for being loaded.
        header_size: its width and height as the file has them.
        size: pixels along each side of the result.
    """
    image.load()
    width, height = header_size
    orientation = _orientation(image)
    if orientation in _ON_ITS_SIDE:
        width, height = height, width
    pixels = _to_rgb(image).resize(
        (size, size), Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP
    )
    if orientation in _UPRIGHT:
        pixels = pixels.transpose(_UPRIGHT[orientation])
    return DecodedImage(np.asarray(pixels), width, height)


def _orientation(image: Image.Image) -> int:
    """Exif's orientation, from 1 (upright) to 8; metadata that can't be read costs no image."""
    with contextlib.suppress(Exception):
        if headers.exif_bytes(_exif(image)) <= _MOST_METADATA:
            return image.getexif().get(ExifTags.Base.Orientation, 1)
    return 1


def _exif(image: Image.Image) -> bytes:
    """What `getexif` would take apart: PNGs of before 2017 have it as a text of digits."""
    if "exif" in image.info or "Raw profile type exif" not in image.info:
        return image.info.get("exif", b"")
    return bytes.fromhex("".join(image.info["Raw profile type exif"].split("\n")[3:]))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = _from_16_bit(image)
    elif image.mode in ("I", "F"):
        image = _stretched(image)
    elif image.mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, lab, rgb, outputMode="RGB")
    if image.has_transparency_data:
        return _onto_white(image if image.mode == "RGBA" else image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it


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
