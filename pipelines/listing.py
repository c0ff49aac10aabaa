"""PLAN, first step: every image of an input."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from captioner import listing, shards, storage
from captioner.listing import Listed
from captioner.records import FeatureDataset
from captioner.storage import Entry


@dataclasses.dataclass(eq=False)
class ListImages(beam.PTransform):
    """Every image of an input, as `Listed`. The directories below the root are listed in parallel.

    Args:
        input, from_features: see `Job`.
    """

    input: str
    from_features: bool = False

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection:
        root = begin | beam.Create([self.input])
        if self.from_features:
            return (
                root
                | "List feature shards" >> beam.FlatMap(shards.finished)
                | "One worker each" >> beam.Reshuffle()
                | "Read ids" >> beam.FlatMap(in_feature_shard, FeatureDataset.load(self.input))
            )
        if storage.exists(self.input):
            return root | "Read list" >> beam.FlatMap(listing.in_list)
        top = root | "List root" >> beam.ParDo(ListLevel()).with_outputs("below", main="files")
        below = (
            top.below
            | "One directory each" >> beam.Reshuffle()
            | "List directories" >> beam.FlatMap(storage.walk)
        )
        entries = (top.files, below) | beam.Flatten()
        return entries | "Name" >> beam.Map(listing.as_listed, self.input)


class ListLevel(beam.DoFn):
    """What is right below a directory: entries, and under the tag "below" the directories."""

    def process(self, uri: str) -> Iterator[Entry | TaggedOutput]:
        for found in storage.level(uri):
            yield found if isinstance(found, Entry) else TaggedOutput("below", found)


def in_feature_shard(index: str, features: FeatureDataset) -> Iterator[Listed]:
    """The images of the shard that `index` describes; without a URI those that have no features."""
    summary, outcomes = shards.read_index(index)
    data = storage.join(features.directory, summary.file)
    for outcome in outcomes if summary.settings == features.encoder.fingerprint else ():
        uri = "" if outcome.failure else outcome.uri
        yield outcome.id, (uri, f"{summary.run}:{outcome.stamp}", data, data)
