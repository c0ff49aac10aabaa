"""How soon a million images say which of them are like one.

    python -m benchmarks.similar [COUNT]

The captions are made up, of 7 to 13 words of which some are far more frequent than others; hardly
two are the same, which is the worst case: a text that many images share is compared once. So are
the features, of 2,048 channels and 64 hidden causes.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from benchmarks.flat_cost import peak_memory
from benchmarks.speed.inputs import WORDS
from benchmarks.speed.measuring import seconds
from captioner.captions import CaptionRecord
from captioner.shards import Outcome, ShardWriter, Summary, new_run
from captioner.similarity import Similar
from captioner.similarity.dense import DenseVectors

QUERIES = 200
TOP = 10
SHARD = 10_000  # captions
SOME = 50_000  # features that are made and added at once
CHANNELS, CAUSES = 2048, 64


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("count", nargs="?", type=int, default=1_000_000, help="of images")
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as output:
        _captions(output, count)
    _features(count)


def _captions(output: str, count: int) -> None:
    for number, records in enumerate(batches(captioned(count))):
        write(output, number, records)
    before = peak_memory()
    first = seconds(lambda: Similar.of(output))
    print(f"{count:,} captions: an index is made in {first:.0f} s,", end=" ")
    similar = None

    def load() -> None:
        nonlocal similar
        similar = Similar.of(output)

    print(f"loaded in {seconds(load):.1f} s; {peak_memory() - before:.0f} MB")
    asked = [record.caption for record in captioned(QUERIES)]
    for least in (0.9, 0.5):
        _ask(f"by words, at least {least}", asked, lambda text, c=least: similar.like(text, TOP, c))
    write(output, count // SHARD + 1, [*captioned(SHARD, "new/")])
    print(f"{SHARD:,} more: the index is up to date after {seconds(load):.0f} s")


def _features(count: int) -> None:
    before, index = peak_memory(), DenseVectors(np.stack)

    def make() -> None:
        for vectors in features(count):
            index.extend(vectors, count)
        index.hold(np.arange(count))

    print(f"{count:,} features: an index is made in {seconds(make):.0f} s;", end=" ")
    print(f"{peak_memory() - before:.0f} MB")
    asked = next(features(SOME))[:QUERIES]
    _ask("by features", [*asked], lambda one: [*index.near(one[None], TOP, 0)])
    found = [{near.item for near in one} for one in index.near(asked, TOP, 0)]
    pairs = zip(found, nearest(asked, count), strict=True)
    recall = statistics.mean(len(some & {*others}) / TOP for some, others in pairs)
    print(f"of the {TOP} nearest there are {recall:.1%} among the {TOP} found")


def _ask(what: str, queries: list, ask: Callable) -> None:
    times = [1000 * seconds(lambda query=query: ask(query)) for query in queries]
    print(f"a query {what}: {statistics.median(times):.1f} ms, the longest {max(times):.1f} ms")


def batches(records: Iterator[CaptionRecord]) -> Iterator[list[CaptionRecord]]:
    """Records, a shard's at once."""
    while some := [*itertools.islice(records, SHARD)]:
        yield some


def captioned(count: int, directory: str = "") -> Iterator[CaptionRecord]:
    """Made-up captions, always the same."""
    drawn = random.Random(directory)
    weights = [1 / place for place in range(1, len(WORDS) + 1)]
    for number in range(count):
        caption = " ".join(drawn.choices(WORDS, weights, k=drawn.randint(7, 13)))
        id = f"{directory}{number // 1000:04d}/{number:07d}.jpg"
        yield CaptionRecord(id, id, "", 4, 3, caption, -9.0, ((caption, -9.0),), "", "", "")


def write(output: str, number: int, records: Iterable[CaptionRecord]) -> None:
    """A finished shard of captions."""
    task = f"images-{number}"
    summary = Summary(task, f"shards/{task}.jsonl", new_run(), "", "")
    writer = ShardWriter(output, summary, lambda path: open(path, "wb"))
    for one in records:
        outcome = Outcome(one.id, one.uri, "stamp", "", "", False)
        writer.add_result(outcome, one.to_line().encode())
    writer.publish()


def features(count: int) -> Iterator[np.ndarray]:
    """Made-up features, always the same, some at once: float32 [some, channels]."""
    drawn = np.random.default_rng(0)
    causes = drawn.normal(size=(CAUSES, CHANNELS)).astype(np.float32)
    for first in range(0, count, SOME):
        some = drawn.standard_normal((min(SOME, count - first), CAUSES), np.float32)
        noise = drawn.standard_normal((len(some), CHANNELS), np.float32)
        yield np.maximum(0, some @ causes + 2 * noise)


def nearest(asked: np.ndarray, count: int) -> np.ndarray:
    """The vectors that are truly nearest: int64 [asked, TOP]."""
    best = np.zeros((len(asked), 0)), np.zeros((len(asked), 0), np.int64)
    asked = asked / np.linalg.norm(asked, axis=1, keepdims=True)
    for number, vectors in enumerate(features(count)):
        cosines = asked @ (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).T
        numbers = np.broadcast_to(number * SOME + np.arange(len(vectors)), cosines.shape)
        both = [np.concatenate(pair, axis=1) for pair in zip(best, (cosines, numbers), strict=True)]
        order = np.argsort(-both[0], axis=1)[:, :TOP]
        best = [np.take_along_axis(one, order, axis=1) for one in both]
    return best[1]


if __name__ == "__main__":
    main()
