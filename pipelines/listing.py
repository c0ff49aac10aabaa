"""PLAN, first step: every image of an input."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from captioner import isolation, listing, shards, storage
from captioner.listing import Listed, failed, lists
from captioner.records import FeatureDataset
from captioner.storage import Entry
from pipelines.mapping import MapInThreads


@dataclasses.dataclass(eq=False)
class ListImages(beam.PTransform):
    """Every image of an input, as `Listed`: in parallel, wherever there is something to part.

    Args:
        input, from_features, split: see `Job`.
        every: see `JobOptions`.
    """

    input: str
    from_features: bool = False
    split: str = ""
    every: float | None = None

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection:
        if self.from_features:
            return begin | "List features" >> ListFeatures(self.input, self.split)
        if output := failed.output_of(self.input):
            return begin | "List failures" >> ListFailures(self.input, output, self.every)
        if listing.is_archive(self.input):
            files = begin | beam.Create([listing.archive(self.input)])
        elif listing.is_list(self.input):
            files = begin | "Read list" >> ReadList(self.input)
        else:
            files = begin | "List directory" >> ListDirectory(self.input)
        return files | "Enter archives" >> EnterArchives(self.every)


@dataclasses.dataclass(eq=False)
class ListFeatures(beam.PTransform):
    """The images of a directory of feature shards, of one split or, where it is empty, of all."""

    directory: str
    split: str

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection:
        features = FeatureDataset.load(self.directory)
        return (
            begin
            | beam.Create([self.directory])
            | "List feature shards" >> beam.FlatMap(shards.finished)
            | "One worker each" >> beam.Reshuffle()
            | "Read ids" >> beam.FlatMap(in_feature_shard, features, self.split)
        )


@dataclasses.dataclass(eq=False)
class ListDirectory(beam.PTransform):
    """The files of a directory; those right below it are listed in parallel."""

    directory: str

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection:
        root = begin | beam.Create([self.directory])
        level = ListLevel(self.directory)
        top = root | "List root" >> beam.ParDo(level).with_outputs("below", main="files")
        below = (
            top.below
            | "One directory each" >> beam.Reshuffle()
            | "List directories" >> beam.FlatMap(listing.below, self.directory)
        )
        return (top.files, below) | beam.Flatten()


@dataclasses.dataclass(eq=False)
class ReadList(beam.PTransform):
    """The files that a list or an inventory names; what it doesn't tell of them is looked up."""

    file: str

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection:
        named = (
            begin
            | beam.Create([self.file])
            | "Its files" >> beam.FlatMap(lists.parts)
            | "One file each" >> beam.Reshuffle()
            | "Read rows" >> beam.FlatMap(lists.read)
            | "Sort out" >> beam.ParDo(by_stamp).with_outputs("unknown", main="known")
        )
        looked_up = named.unknown | "Look up" >> LookUp()
        return (named.known, looked_up) | beam.Flatten()


@dataclasses.dataclass(eq=False)
class ListFailures(beam.PTransform):
    """The images of an output whose newest outcome is a failure. See `captioner.listing.failed`."""

    source: str
    output: str
    every: float | None

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection:
        ids = failed.ids_in(self.source, self.output)
        found = (
            begin
            | beam.Create([self.output])
            | "List finished shards" >> beam.FlatMap(shards.finished)
            | "One index each" >> beam.Reshuffle()
            | "Read outcomes" >> beam.FlatMap(failed.outcomes)
            | "Newest of each" >> beam.CombinePerKey(max)
            | "What failed" >> beam.FlatMap(failed.to_retry, ids)
            | "Sort out" >> beam.ParDo(by_place).with_outputs("members", main="files")
        )
        enter = EnterArchives(self.every)
        files = found.files | "Look up" >> LookUp() | "Enter archives" >> enter
        members = (
            found.members
            | "Group by archive" >> beam.GroupByKey()
            | "List archives" >> beam.ParDo(Enter(failed.in_archive, self.every))
        )
        return (files, members) | beam.Flatten()


class LookUp(beam.PTransform):
    """`Listed` files with their stamps, many asked for at once; see `listing.look_up`."""

    def expand(self, files: beam.PCollection) -> beam.PCollection:
        return files | "Ask" >> MapInThreads(listing.look_up, least=16, per_core=4)


@dataclasses.dataclass(eq=False)
class EnterArchives(beam.PTransform):
    """`Listed` files, and instead of archives their members and of films their frames."""

    every: float | None

    def expand(self, files: beam.PCollection) -> beam.PCollection:
        found = files | "Sort out archives" >> beam.ParDo(by_name).with_outputs(
            "archives", main="images"
        )
        members = (
            found.archives
            | "One archive each" >> beam.Reshuffle()
            | "List members" >> beam.ParDo(Enter(listing.enter, self.every))
        )
        return (found.images, members) | beam.Flatten()


class Enter(beam.DoFn):
    """What an archive holds, or a film, which is opened in a child process.

    Args:
        function: `listing.enter`, or `failed.in_archive`.
        every: see `JobOptions`.
    """

    def __init__(self, function: Callable[..., Iterator[Listed]], every: float | None) -> None:
        self._function = function
        self._every = every

    def process(self, whole: tuple) -> Iterator[Listed]:
        return self._function(whole, self._every)

    def teardown(self) -> None:
        isolation.shared().close()


@dataclasses.dataclass(eq=False)
class ListLevel(beam.DoFn):
    """What is right below a directory: files, and under the tag "below" the directories.

    Args:
        root: that files are named relative to.
    """

    root: str

    def process(self, uri: str) -> Iterator[Listed | TaggedOutput]:
        for found in listing.without_texts(storage.level(uri)):
            is_file = isinstance(found, Entry)
            yield listing.as_listed(found, self.root) if is_file else TaggedOutput("below", found)


def by_stamp(listed: Listed) -> Iterator[Listed | TaggedOutput]:
    """A file, under the tag "unknown" where its stamp is."""
    yield listed if listed[1][1] else TaggedOutput("unknown", listed)


def by_name(listed: Listed) -> Iterator[Listed | TaggedOutput]:
    """A file, under the tag "archives" where it is one, or a film."""
    yield TaggedOutput("archives", listed) if listing.holds_images(listed[1][0]) else listed


def by_place(found: Listed | failed.Member) -> Iterator[Listed | TaggedOutput]:
    """An image that failed, under the tag "members" where it is in an archive or a film."""
    yield TaggedOutput("members", found) if isinstance(found[0], tuple) else found


def in_feature_shard(index: str, features: FeatureDataset, split: str = "") -> Iterator[Listed]:
    """The images of the shard that `index` describes; without a URI those that have no features.

    Of another split than the one asked for none counts: the newest features of an image tell its.
    """
    summary, outcomes = shards.read_index(index)
    others = split not in ("", summary.split)
    data = storage.join(features.directory, summary.file)
    # Features come once from each run that made them: the group tells which are the newest.
    group = f"{summary.run}:{data}"
    for outcome in outcomes if summary.settings == features.encoder.fingerprint else ():
        uri = "" if outcome.failure or others else outcome.uri
        yield outcome.id, (uri, outcome.content_hash, data, group)
