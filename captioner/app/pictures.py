"""What is shown of an image: itself, and where a model looked for each word."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from captioner import isolation, videos
from captioner.images import DecodedImage, ImageError, Reason
from captioner.reporting.thumbnails import data_uri, frame, read

SIDE = 640  # pixels along the longer side of what is looked at
_HEAT_SIDE = 160
_MOST_MAPS = 60  # as many words as a page can show
_WARM = Image.new("RGB", (1, 1), (255, 140, 40))


def decode(source: str | bytes, *sizes: int) -> list[DecodedImage]:
    """An image that was given, or one by the URI in its record, in each of some sizes.

    As `images.decode`, in a process of its own: a stranger's file may cost that, and no more.

    Raises:
        ImageError: it can't be read, or not be decoded within the limits of the pipelines.
    """
    try:
        return [*map(_decoder(source), sizes)]
    except FileNotFoundError as error:
        raise ImageError(Reason.MISSING, "the file is no longer there") from error
    except OSError as error:
        raise ImageError(Reason.UNREADABLE, str(error)) from error


def _decoder(source: str | bytes) -> Callable[[int], DecodedImage]:
    if not isinstance(source, bytes) and videos.frame_of(source):
        return functools.partial(frame, source)
    data = source if isinstance(source, bytes) else read(source)
    return functools.partial(isolation.shared().decode, data)


def maps(picture: Image.Image, attention: Sequence[Sequence[Sequence[float]]]) -> list[str]:
    """Small pictures, as `data:` URIs, that are warm where a model looked and dark elsewhere.

    Args:
        picture: RGB, as `unsquashed` gives it.
        attention: of each word the weights of the grid's places, by row and column.
    """
    small = picture.copy()
    small.thumbnail((_HEAT_SIDE, _HEAT_SIDE))
    dark = small.convert("L").point(lambda value: 2 * value // 5).convert("RGB")
    warm = Image.blend(small, _WARM.resize(small.size), 0.25)
    made = []
    for weights in attention[:_MOST_MAPS]:
        grid = np.asarray(weights, np.float32)
        mask = Image.fromarray(np.uint8(255 * grid / (grid.max() or 1)))
        mask = mask.resize(small.size, Image.Resampling.BICUBIC)
        made.append(data_uri(Image.composite(warm, dark, mask)))
    return made
