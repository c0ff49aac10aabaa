"""One frame of a film: when it is shown, and its pixels, upright."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from captioner import images
from captioner.images import DecodedImage, ImageError, Reason

if TYPE_CHECKING:
    import av

# By the degrees, counterclockwise, that a film says its frames are to be turned by.
_TURNED = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}
_BINS = 4  # of a histogram, for each of the three colours
_SMALL = (64, 36)  # pixels that a histogram is counted over


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame.

    Attributes:
        start, end: seconds from the film's start between which it is shown.
        picture: as the decoder has it; not yet turned upright.
    """

    start: float
    end: float
    picture: av.VideoFrame

    def decode(self, size: int) -> DecodedImage:
        """Its pixels, as `images.decode` has those of an image.

        Raises:
            ImageError: they can't be turned into RGB.
        """
        try:
            image = self.picture.to_image()
        except Exception as error:  # of FFmpeg or PyAV, for what they have no conversion for
            raise ImageError(Reason.CORRUPT, f"a frame can't be shown: {error}") from error
        turn = _TURNED.get(self.picture.rotation % 360)
        return images.from_pil(image if turn is None else image.transpose(turn), size)

    def histogram(self) -> np.ndarray:
        """How often each of 64 colours comes in it: float64 [64], of sum 1.

        Raises:
            ImageError: its pixels can't be turned into RGB.
        """
        width, height = _SMALL
        try:
            small = self.picture.reformat(width, height, "rgb24", interpolation="FAST_BILINEAR")
        except Exception as error:
            raise ImageError(Reason.CORRUPT, f"a frame can't be shown: {error}") from error
        red, green, blue = np.moveaxis(small.to_ndarray() // (256 // _BINS), -1, 0).astype(int)
        colours = (red * _BINS + green) * _BINS + blue
        return np.bincount(colours.ravel(), minlength=_BINS**3) / colours.size
