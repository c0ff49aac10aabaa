"""A captioned collection, read in a job: what planning goes by, and what is scored against."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import apache_beam as beam
from apache_beam.pvalue import PBegin, PCollection

from captioner import corpora

# id: split, captions, languages
Captioned = tuple[str, tuple[str, tuple[str, ...], tuple[str, ...]]]


@dataclasses.dataclass(eq=False)
class ReadCollection(beam.PTransform):
    """The captioned images of a collection: `Captioned`. One worker reads it.

    Args:
        file: the collection; None for none, of which nothing comes.
        format, splits: see `corpora.read`.
    """

    file: str | None
    format: str | None
    splits: str | None

    def expand(self, begin: PBegin) -> PCollection:
        files = [self.file] if self.file else []
        return (
            begin
            | beam.Create(files, reshuffle=False)
            | "Read collection" >> beam.FlatMap(captioned, self.format, self.splits)
        )


def captioned(file: str, format: str | None, splits: str | None) -> Iterator[Captioned]:
    """The captioned images of a collection, one after the other."""
    for image in corpora.read(file, format, splits):
        yield image.id, (image.split, image.captions, image.languages)
