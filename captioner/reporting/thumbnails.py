"""Small pictures of images, wherever they are."""

from __future__ import annotations

import base64
import concurrent.futures
import io
from collections.abc import Mapping

from PIL import Image

from captioner import archives, images, storage
from captioner.images import LIGHT, ImageError

SIDE = 256  # pixels along the longer side
_THREADS = 8
_QUALITY = 80


def thumbnails(uris: Mapping[str, str]) -> dict[str, str]:
    """A picture of each image that can be had, as a `data:` URI, by the image's id.

    Images that are gone, broken, heavy to decode or in a compressed archive have none.

    Args:
        uris: of the images, by id.
    """
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as threads:
        made = threads.map(_thumbnail, uris.values())
        return {id: picture for id, picture in zip(uris, made, strict=True) if picture}


def _thumbnail(uri: str) -> str | None:
    try:
        decoded = images.decode(_read(uri), SIDE, LIGHT)
    except (ImageError, OSError):
        return None
    longer = max(decoded.width, decoded.height)
    size = [max(1, round(SIDE * side / longer)) for side in (decoded.width, decoded.height)]
    file = io.BytesIO()
    Image.fromarray(decoded.pixels).resize(size).save(file, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _read(uri: str) -> bytes:
    source, inside, _ = uri.rpartition("#")
    if not (inside and archives.is_archive(source)):
        return storage.read_bytes(uri, LIGHT.bytes + 1)
    if archives.is_streamed(uri, source):
        raise OSError(f"{uri}: all before it would have to be read")
    return archives.read(uri, source, LIGHT.bytes + 1)
