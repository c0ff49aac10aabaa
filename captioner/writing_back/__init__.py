"""The captions of an output, written back to their images: beside them, or into them.

A place that has a text already keeps it, unless the output itself gave the image that text in an
earlier run. What is written is only ever below what a run of the output was given as its input.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from captioner import archives, captions, storage, threads, videos
from captioner.captions import CaptionRecord
from captioner.writing_back.metadata import Metadata
from captioner.writing_back.places import Places
from captioner.writing_back.refused import Refused
from captioner.writing_back.texts import Texts

__all__ = ["INTO", "Written", "write_back"]

# By what the user calls it.
INTO = {"text": Texts, "image": Metadata}


class Written(NamedTuple):
    """What became of one image.

    Args:
        id: the image's.
        is_new: whether its caption is written now, and was not there before.
        problem: why its caption can't be written; empty where it is there.
    """

    id: str
    is_new: bool
    problem: str


def write_back(
    output: str,
    into: str,
    below: str | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
) -> Iterator[Written]:
    """Write the caption of each image that has one to where its image is.

    Args:
        output: a caption output.
        into: of `INTO`.
        below: where images may be, besides the inputs of the output's runs.
        overwrite: whether texts of others are replaced.
        dry_run: only says what would be written.

    Returns:
        What became of each, while it goes on.

    Raises:
        UserError: `output` is no caption output, not as it was written, or a package is missing.
    """
    writer = _Writer(output, INTO[into](), Places.of(output, below), overwrite, dry_run)
    with concurrent.futures.ThreadPoolExecutor(writer.target.threads) as pool:
        jobs = ((writer.write, record) for record in captions.read(output))
        yield from threads.ahead(pool, jobs, 2 * writer.target.threads)


class _Writer:
    """Writes one caption after the other. Safe to call from as many threads as its target."""

    def __init__(
        self,
        output: str,
        target: Texts | Metadata,
        places: Places,
        overwrite: bool,
        dry_run: bool,
    ) -> None:
        self.target = target
        self._output = output
        self._places = places
        self._overwrite = overwrite
        self._dry_run = dry_run
        self._lock = threading.Lock()
        self._given: frozenset[int] | None = None
        self._claimed: dict[int, int] = {}

    def write(self, record: CaptionRecord) -> Written:
        """Write a caption, unless it is there."""
        try:
            return Written(record.id, self._write(record), "")
        except (Refused, OSError) as error:
            return Written(record.id, False, str(error) or type(error).__name__)

    def _write(self, record: CaptionRecord) -> bool:
        caption = record.caption.strip()
        if not caption:
            raise Refused("its caption is empty")
        if archives.archive_of(record.uri):
            raise Refused("it is in an archive, which stays as it is")
        if videos.frame_of(record.uri):
            raise Refused("it is a frame of a film, which stays as it is")
        self._places.check(record.uri)
        there = self.target.read(record)
        others = [text for text in there - {caption} if not self._is_ours(record.id, text)]
        if others and not self._overwrite:
            raise Refused(f"another text is there: {min(others)}")
        is_first = self._claim(self.target.place(record), caption)
        if there == {caption} or not is_first:
            return False
        is_ours = bool(there) and not others
        self.target.write(record, not there, is_ours, self._dry_run)
        return True

    def _is_ours(self, id: str, text: str) -> bool:
        with self._lock:
            if self._given is None:
                self._given = _all_given(self._output)
        return hash((id, text)) in self._given

    def _claim(self, place: str, caption: str) -> bool:
        """Whether no image before went to that place; one with another caption must not have."""
        with self._lock:
            before = self._claimed.get(hash(place))
            self._claimed.setdefault(hash(place), hash(caption))
        if before not in (None, hash(caption)):
            raise Refused(f"{place} has the caption of another image")
        return before is None


def _all_given(output: str) -> frozenset[int]:
    """All captions of an output, also those that newer ones stand before, as hashes."""
    return frozenset(hash((record.id, record.caption.strip())) for record in _all(output))


def _all(output: str) -> Iterable[CaptionRecord]:
    for entry in storage.walk(storage.join(output, "shards")):
        yield from captions.records_in(entry.uri)
