"""A caption as a text beside its image: ``photo.txt`` beside ``photo.jpg``."""

from __future__ import annotations

import os

from captioner import archives, storage
from captioner.captions import CaptionRecord
from captioner.writing_back.refused import Refused

# More than any caption has; what is longer was written for something else.
_LONGEST = 1 << 16


class Texts:
    """Files of one line in UTF-8, in any store.

    Attributes:
        threads: captions that may be written at once.
    """

    threads = 16

    def place(self, record: CaptionRecord) -> str:
        """Where the caption goes: the URI of a file."""
        return _beside(record.uri)

    def read(self, record: CaptionRecord) -> set[str]:
        """The text beside an image, if there is one.

        Raises:
            Refused: the image is gone; or what is there is no text, and so not to be replaced
                either.
        """
        if not archives.is_called_image(record.uri):
            raise Refused("isn't called as an image is: a text beside it would pass for one too")
        if storage.entry(record.uri) is None:
            raise Refused("it is not there")
        file = _beside(record.uri)
        found = storage.entry(file)
        if found is None:
            return set()
        try:
            if found.size > _LONGEST:
                raise ValueError("too long")
            return {storage.read_bytes(file, _LONGEST).decode().strip()}
        except ValueError as error:
            raise Refused(f"{file} is no caption") from error

    def write(self, record: CaptionRecord, is_new: bool, is_ours: bool, dry_run: bool) -> None:
        """Write the text; a file that came in between is left as it is."""
        file, data = _beside(record.uri), f"{record.caption}\n".encode()
        if dry_run:
            return
        if not is_new:
            storage.replace(file, data)
        elif not storage.create(file, data):
            raise Refused(f"{file} has just been written, perhaps for an image of the same name")


def _beside(uri: str) -> str:
    return os.path.splitext(uri)[0] + ".txt"
