"""What is refused before it is decoded, and what decoding would cost."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, WebPImagePlugin

from captioner.images.errors import ImageError, Reason, TooHeavy
from captioner.images.headers import MOST_PARTS, Claims

# Bytes of memory for each pixel that is decoded, by Pillow's mode of it: measured at the peak.
_MEMORY = {"1": 6, "L": 6, "P": 6, "RGB": 5, "LA": 5, "I": 22, "F": 22}
_OTHER_MEMORY = 10
_TRANSPARENCY_MEMORY = 9  # on top
_WEBP_MEMORY = 18  # all in all
_ROW_MEMORY = 32  # bytes for each row, whatever its length


@dataclass(frozen=True)
class Limits:
    """What is refused, by its headers, before it is decoded.

    Args:
        bytes: of the file.
        pixels: of the picture; telephones take 200-megapixel photos.
        memory: bytes that decoding it takes, about.
        scans: passes over a JPEG's picture; 500 is what libjpeg-turbo recommends.
        parts: segments, chunks or blocks that its headers are made of.
        rare: whether codings are read whose decoders few files have proved.
        seconds: for decoding it, where something can end it: `isolation.IsolatedDecoder`.
    """

    bytes: int = 100_000_000
    pixels: int = 200_000_000
    memory: int = 2 << 30
    scans: int = 500
    parts: int = MOST_PARTS
    rare: bool = True
    seconds: float = 60.0

    def check_size(self, width: int, height: int) -> None:
        """See that a picture isn't too large.

        Raises:
            ImageError: it is.
        """
        if width * height > self.pixels:
            message = f"{width:,} x {height:,} pixels, over {self.pixels:,}"
            raise ImageError(Reason.TOO_LARGE, message)

    def check_claims(self, claims: Claims) -> None:
        """See that a file may be opened.

        Raises:
            ImageError: it may not; a `TooHeavy`, where that isn't because of its pixels.
        """
        width, height = claims.canvas
        self.check_size(width, height)
        self._check_memory(_WEBP_MEMORY * width * height + claims.tag_bytes)
        if claims.scans > self.scans:
            raise TooHeavy(Reason.TOO_LARGE, f"{claims.scans:,} scans, over {self.scans:,}")
        if claims.parts > self.parts:
            raise TooHeavy(Reason.TOO_LARGE, f"its headers are of more than {self.parts:,} parts")
        if claims.rare and not self.rare:
            raise TooHeavy(Reason.TOO_LARGE, f"coded in a way that is rare: {claims.rare}")

    def check_memory(
        self, image: Image.Image, header_size: tuple[int, int], claims: Claims
    ) -> None:
        """See that an opened image may be decoded.

        Args:
            header_size: its width and height, before `draft` has shrunk them.

        Raises:
            TooHeavy: it may not.
        """
        needed = _needed(image) + claims.buffer + claims.tag_bytes
        if claims.scans > 1:  # a JPEG's coefficients are all kept, 16 bits each
            needed += 2 * header_size[0] * header_size[1] * len(image.getbands())
        self._check_memory(needed)

    def _check_memory(self, needed: int) -> None:
        if needed > self.memory:
            message = f"decoding takes {needed:,} bytes of memory, over {self.memory:,}"
            raise TooHeavy(Reason.TOO_LARGE, message)


def _needed(image: Image.Image) -> int:
    """Bytes that the pixels of an opened image take, about and rather too many."""
    width, height = image.size
    per_pixel = _MEMORY.get(image.mode, _OTHER_MEMORY)
    if isinstance(image, WebPImagePlugin.WebPImageFile):
        per_pixel = _WEBP_MEMORY
    elif image.has_transparency_data and image.mode != "RGBA":
        per_pixel += _TRANSPARENCY_MEMORY
    return width * height * per_pixel + height * _ROW_MEMORY


LIMITS = Limits()
# For decoding in one of many threads, where nothing can end it and all share the memory.
LIGHT = Limits(memory=256 << 20, scans=50, parts=10_000, rare=False)
