"""Small pictures of images, wherever they are."""

from __future__ import annotations

import base64
import concurrent.futures
import errno
import io
from collections.abc import Mapping

from PIL import Image

from captioner import archives, images, isolation, storage, videos
from captioner.images import LIGHT, LIMITS, DecodedImage, ImageError

SIDE = 256  # pixels along the longer side
_THREADS = 8
_QUALITY = 80


def thumbnails(uris: Mapping[str, str]) -> dict[str, str]:
    """A picture of each image that can be had, as a `data:` URI, by the image's id.

    Images that are gone, broken, heavy to decode or in a compressed archive have none. Frames of
    films are decoded in a process of their own, one after the other.

    Args:
        uris: of the images, by id.
    """
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as threads:
        made = threads.map(_thumbnail, uris.values())
        return {id: picture for id, picture in zip(uris, made, strict=True) if picture}


def _thumbnail(uri: str) -> str | None:
    try:
        decoded = frame(uri, SIDE) or images.decode(read(uri), SIDE, LIGHT)
    except (ImageError, OSError):
        return None
    return data_uri(unsquashed(decoded))


def frame(uri: str, size: int) -> DecodedImage | None:
    """A frame of a film by the URI in its record; None for the URI of anything else.

    Raises:
        ImageError: it can't be decoded.
        OSError: the film can't be read.
    """
    found = videos.frame_of(uri)
    if found is None:
        return None
    film, seconds = found
    _check_file(film)
    # Others wait for the one child too: nobody looks for minutes at one that is far to come to.
    return isolation.shared().decode_frame(film, seconds, size, within=LIMITS.seconds)


def unsquashed(decoded: DecodedImage) -> Image.Image:
    """A decoded picture in its own proportions again, its longer side as it is."""
    longer = max(decoded.width, decoded.height)
    side = len(decoded.pixels)
    size = [max(1, round(side * length / longer)) for length in (decoded.width, decoded.height)]
    return Image.fromarray(decoded.pixels).resize(size)


def data_uri(picture: Image.Image) -> str:
    """An RGB picture as a JPEG in a `data:` URI."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def read(uri: str) -> bytes:
    """The bytes of an image by the URI in its record, or as many as show that it is too large.

    Raises:
        ImageError: it is in an archive, which is broken.
        OSError: it can't be read, or only with all that is before it in a compressed archive.
    """
    archive = archives.archive_of(uri)
    _check_file(archive or uri)
    if not archive:
        return storage.read_bytes(uri, LIMITS.bytes + 1)
    if archives.is_streamed(uri, archive):
        raise OSError(f"{uri}: all before it would have to be read")
    return archives.read(uri, archive, LIMITS.bytes + 1)


def _check_file(uri: str) -> None:
    if not storage.exists(uri):  # what is no file may be without end
        raise FileNotFoundError(errno.ENOENT, "not there", uri)
