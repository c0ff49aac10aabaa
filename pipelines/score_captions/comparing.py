"""SCORE, first step: each image's newest caption beside its references."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsSingleton, PBegin, PCollection
from apache_beam.transforms.combiners import ToListCombineFn

from captioner import captions, evaluation, shards, storage
from captioner.corpora import CaptionedImage
from pipelines.collection import Captioned, ReadCollection
from pipelines.score_captions.job import ScoreJob

# id: whether by the settings that count, run, task, caption or None, its language. The greatest is
# the newest.
Outcome = tuple[str, tuple[bool, str, str, str | None, str]]
# A `Comparison`, as a plain tuple, which Beam encodes itself.
Compared = tuple[str, str | None, str, tuple[str, ...]]


@dataclasses.dataclass(eq=False)
class ReadReferences(beam.PTransform):
    """The captioned images of the collection, spread over the workers: `Captioned`."""

    job: ScoreJob

    def expand(self, begin: PBegin) -> PCollection:
        job = self.job
        collection = ReadCollection(job.references, job.references_format, job.splits)
        return begin | collection | "Spread" >> beam.Reshuffle()


@dataclasses.dataclass(eq=False)
class ReadCaptions(beam.PTransform):
    """How each image of a caption directory ended, in each of its shards: `Outcome`."""

    directory: str

    def expand(self, begin: PBegin) -> PCollection:
        settings = shards.latest_settings(self.directory)
        return (
            begin
            | beam.Create([self.directory], reshuffle=False)
            | "List finished shards" >> beam.FlatMap(shards.finished)
            | "One shard each" >> beam.Reshuffle()
            | "Read shards" >> beam.FlatMap(outcomes_in, self.directory, settings)
        )


@dataclasses.dataclass(eq=False)
class Compare(beam.PTransform):
    """Each image's newest caption beside its references.

    Tags of the result: "compared", those of the split that is scored, as `Compared`; "split", it.
    """

    job: ScoreJob

    def expand(self, parts: dict[str, PCollection]) -> dict[str, PCollection]:
        both = parts | "Join on id" >> beam.CoGroupByKey() | "Pair" >> beam.FlatMap(pair)
        split = (
            both
            | "Their splits" >> beam.Keys()
            | beam.Distinct()
            | "Splits" >> beam.CombineGlobally(ToListCombineFn())
            | "Choose split" >> beam.Map(chosen_split, self.job)
        )
        chosen = both | "Of the split" >> beam.Filter(is_of_split, AsSingleton(split))
        compared = chosen | "As compared" >> beam.Values()
        return {"compared": compared, "split": split}


def captioned_image(image: Captioned) -> CaptionedImage:
    """The same for the functions that score."""
    id, (split, texts, languages) = image
    return CaptionedImage(id, texts, split, languages=languages)


def outcomes_in(index: str, directory: str, settings: str) -> Iterator[Outcome]:
    """How the images of a finished shard ended, given its index and the settings that count."""
    summary, outcomes = shards.read_index(index)
    records = captions.records_in(storage.join(directory, summary.file))
    made = {record.id: (record.caption, record.language) for record in records}
    for outcome in outcomes:
        state = (summary.settings == settings, summary.run, summary.task)
        yield outcome.id, (*state, *made.get(outcome.id, (None, "")))


def pair(joined: tuple[str, dict[str, Iterable[Any]]]) -> Iterator[tuple[str, Compared]]:
    """An image's newest caption and its references by their split, if there are both."""
    id, found = joined
    newest = max(found["outcomes"], key=lambda outcome: outcome[:3], default=None)
    if newest:
        for image in found["images"]:
            split, *_ = image
            yield split, tuple(evaluation.compare(captioned_image((id, image)), *newest[3:]))


def chosen_split(found: list[str], job: ScoreJob) -> str:
    """The split to score, of those that have images.

    Raises:
        UserError: it has none.
    """
    split = evaluation.choose_split(found, job.split)
    if not any(split in (evaluation.ALL, name) for name in found):
        raise evaluation.nothing_to_score(job.captions, job.references, split)
    return split


def is_of_split(compared: tuple[str, Compared], split: str) -> bool:
    """Whether an image is of a split, or all are."""
    return split in (evaluation.ALL, compared[0])
