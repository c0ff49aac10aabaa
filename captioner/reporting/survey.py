"""What a report tells of an output, found in one pass over it."""

from __future__ import annotations

import dataclasses
import hashlib
import heapq
import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from captioner import captions, corpora, shards, storage
from captioner.captions import CaptionRecord
from captioner.errors import UserError
from captioner.shards import Failure

SAMPLE = 60  # captions in the gallery
LEAST_SURE = 12
FREQUENT = 20  # captions, and words
EXAMPLES = 5  # of each reason


@dataclasses.dataclass
class Survey:
    """All that a report shows.

    Attributes:
        output: the directory.
        runs: manifests, oldest first.
        captions: how many images have one.
        lengths: images by the number of words of their captions.
        words: how often each is said.
        texts: how often each caption is given.
        failed: images that have none, by reason.
        examples: some failures of each reason.
        least_sure: the captions the model is least sure of, by their `confidence`.
        sample: captions drawn by a hash, so that a run's report is always the same; each caption
            is as likely as any other, however often it is given, and comes once.
    """

    output: str
    runs: list[dict[str, Any]]
    captions: int = 0
    lengths: Counter[int] = dataclasses.field(default_factory=Counter)
    words: Counter[str] = dataclasses.field(default_factory=Counter)
    texts: Counter[str] = dataclasses.field(default_factory=Counter)
    failed: Counter[str] = dataclasses.field(default_factory=Counter)
    examples: dict[str, list[Failure]] = dataclasses.field(default_factory=dict)
    least_sure: list[CaptionRecord] = dataclasses.field(default_factory=list)
    sample: list[CaptionRecord] = dataclasses.field(default_factory=list)

    @property
    def mean_length(self) -> float:
        """Words a caption."""
        return sum(length * count for length, count in self.lengths.items()) / max(self.captions, 1)

    def figures(self) -> dict[str, Any]:
        """The counts, as JSON has them."""
        return {
            "output": self.output,
            "runs": len(self.runs),
            "captions": self.captions,
            "different_captions": len(self.texts),
            "different_words": len(self.words),
            "mean_length": self.mean_length,
            "failed": dict(self.failed),
        }


def survey(output: str) -> Survey:
    """Look through a caption output.

    Memory grows with the ids and with the different captions, and with nothing else.

    Raises:
        UserError: it is no caption output, or not as it was written.
    """
    newest = captions.outcomes(output)
    found = Survey(output, _runs(output))
    drawn, unsure = Drawn(SAMPLE), Smallest(LEAST_SURE)
    for record in captions.standing(output, newest):
        words = corpora.words(record.caption, record.language)
        found.captions += 1
        found.lengths[len(words)] += 1
        found.words.update(words)
        found.texts[record.caption] += 1
        drawn.offer(record)
        unsure.offer(_per_word(record.log_probability, len(words)), record)
    found.sample, found.least_sure = drawn.records(), unsure.records()
    for failure in failures(output, newest):
        found.failed[failure.reason] += 1
        examples = found.examples.setdefault(failure.reason, [])
        if len(examples) < EXAMPLES:
            examples.append(failure)
    return found


class Smallest:
    """The records with the smallest of all the numbers that were offered."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._heap: list[tuple[float, int, CaptionRecord]] = []
        self._offered = 0

    def offer(self, number: float, record: CaptionRecord) -> None:
        """Keep the record if there are not so many with smaller numbers."""
        self._offered += 1  # of equals the first
        entry = (-number, -self._offered, record)
        if len(self._heap) < self._count:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def records(self) -> list[CaptionRecord]:
        """Smallest first."""
        return [record for *_, record in sorted(self._heap, reverse=True)]


def confidence(record: CaptionRecord) -> float:
    """The geometric mean of the probabilities of a caption's words and its end."""
    return _per_word(record.log_probability, len(corpora.words(record.caption, record.language)))


def _per_word(log_probability: float, words: int) -> float:
    return math.exp(min(log_probability / (words + 1), 0.0))  # its end is a word too


class Drawn:
    """Records of different captions, drawn by the captions' hashes."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._kept: dict[str, tuple[str, CaptionRecord]] = {}
        self._last = ""

    def offer(self, record: CaptionRecord) -> None:
        """Keep the record if it is among those drawn so far."""
        place = _hash(record.caption)
        if len(self._kept) >= self._count and place > self._last:
            return
        own = _hash(record.id)
        if place not in self._kept or own < self._kept[place][0]:
            self._kept[place] = own, record
        if len(self._kept) > self._count:
            del self._kept[max(self._kept)]
        self._last = max(self._kept)

    def records(self) -> list[CaptionRecord]:
        """In the order of their hashes."""
        return [self._kept[place][1] for place in sorted(self._kept)]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _runs(output: str) -> list[dict[str, Any]]:
    files = sorted(entry.uri for entry in storage.walk(storage.join(output, "runs")))
    try:
        return [json.loads(storage.read_bytes(file)) for file in files]
    except ValueError as error:
        raise UserError(f"{output}/runs: not as it was written; see `captioner verify`") from error


def failures(output: str, newest: dict[str, str]) -> Iterator[Failure]:
    """The failures that stand: no newer outcome of the same image is there.

    Args:
        newest: of `captions.outcomes`.

    Raises:
        UserError: they are not as they were written.
    """
    finished = {storage.name(index) for index in shards.finished(output)}
    for entry in storage.walk(storage.join(output, "failures")):
        name = storage.name(entry.uri)
        if name not in finished:
            continue
        for failure in shards.read_failures(entry.uri):
            if newest.get(failure.id) == shards.task_of_index(name):
                yield failure
