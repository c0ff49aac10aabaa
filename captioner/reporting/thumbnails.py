"""Small pictures of images, wherever they are."""

from __future__ import annotations

import base64
import concurrent.futures
import io
from collections.abc import Iterable

from PIL import Image

from captioner import archives, images, storage
from captioner.captions import CaptionRecord
from captioner.images import LIGHT, ImageError

SIDE = 256  # pixels along the longer side
_THREADS = 8
_QUALITY = 80


def thumbnails(records: Iterable[CaptionRecord]) -> dict[str, str]:
    """A picture of each image that can be had, as a `data:` URI, by the image's id.

    Images that are gone, broken, heavy to decode or in a compressed archive have none.
    """
    by_id = {record.id: record for record in records}
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as threads:
        made = threads.map(_thumbnail, by_id.values())
        return {id: picture for id, picture in zip(by_id, made, strict=True) if picture}


def _thumbnail(record: CaptionRecord) -> str | None:
    try:
        decoded = images.decode(_read(record.uri), SIDE, LIGHT)
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
