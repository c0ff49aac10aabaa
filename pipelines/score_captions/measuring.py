"""SCORE, second step: what each image counts for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import AsSingleton, PCollection
from apache_beam.transforms.combiners import Count

from captioner import scoring
from captioner.evaluation import Comparison, training_words
from captioner.scoring import Bleu, BleuCounts, CiderD, DocumentFrequencies
from pipelines.collection import Captioned
from pipelines.score_captions.comparing import Compared, captioned_image

# id: words of the caption, words of each reference
Words = tuple[str, tuple[list[str], list[list[str]]]]
# name, what is to be added up under it
Number = tuple[str, float]
Ngram = tuple[str, ...]


class CorpusBleu(beam.PTransform):
    """BLEU of all `Words`: one pair of "bleu" and the scores."""

    def expand(self, words: PCollection) -> PCollection:
        return (
            words
            | "Count n-grams" >> beam.Map(lambda found: BleuCounts.of(*found[1]))
            | "Sum" >> beam.CombineGlobally(SumBleu())
            | "Name" >> beam.Map(lambda scores: ("bleu", scores))
        )


class SumBleu(beam.CombineFn):
    """`BleuCounts` to the BLEU of all of them."""

    def create_accumulator(self) -> BleuCounts:
        return BleuCounts()

    def add_input(self, accumulator: BleuCounts, counts: BleuCounts) -> BleuCounts:
        return accumulator + counts

    def merge_accumulators(self, accumulators: Iterable[BleuCounts]) -> BleuCounts:
        return sum(accumulators, BleuCounts())

    def extract_output(self, accumulator: BleuCounts) -> Bleu:
        return accumulator.scores()


class ScoreCiderD(beam.PTransform):
    """CIDEr-D of each of the `Words`, as a `Number`."""

    def expand(self, words: PCollection) -> PCollection:
        documents = words | "Count documents" >> Count.Globally()
        frequencies = (
            words
            | "N-grams" >> beam.FlatMap(ngrams_by_image)
            | "Group by n-gram" >> beam.GroupByKey()
            | "Tell the images" >> beam.FlatMap(frequency_by_image)
        )
        return (
            {"words": words, "frequencies": frequencies}
            | "Join on id" >> beam.CoGroupByKey()
            | "Score" >> beam.Map(cider_d_of, AsSingleton(documents))
        )


class CountVocabulary(beam.PTransform):
    """The different words of counted texts, each as a `Number`."""

    def expand(self, texts: PCollection) -> PCollection:
        words = texts | "Words" >> beam.FlatMap(lambda counted: counted[0].split())
        return words | beam.Distinct() | "One" >> beam.Map(lambda _: ("vocabulary_used", 1))


class CountCopied(beam.PTransform):
    """Counted texts that are training texts too, and the training texts, as `Number`s."""

    def expand(self, parts: dict[str, PCollection]) -> PCollection:
        return parts | "Join on text" >> beam.CoGroupByKey() | beam.FlatMap(copies_of)


def words_of(compared: Compared) -> Words:
    """The words of a caption and its references."""
    Metrics.counter("captioner", "images_scored").inc()
    found = Comparison(*compared)
    return found.id, (found.words, found.reference_words)


def text_of(compared: Compared) -> Iterator[str]:
    """The words of a caption as one text; nothing where there is none."""
    found = Comparison(*compared)
    if found.caption is not None:
        yield " ".join(found.words)


def training_texts(image: Captioned) -> Iterator[tuple[str, None]]:
    """An image's training captions, as `text_of` has them."""
    for words in training_words(captioned_image(image)):
        yield " ".join(words), None


def counts_of(compared: Compared) -> Iterator[Number]:
    """An image as what it counts for."""
    found = Comparison(*compared)
    yield "images", 1
    if found.caption is None:
        yield "failed", 1
    is_right = found.is_right
    if is_right is not None:
        yield "scenes", 1
        yield "right", int(is_right)


def rouge_l_of(words: Words) -> Number:
    """ROUGE-L of one caption."""
    return "rouge_l", scoring.rouge_l_of(*words[1])


def variety_of(counted: tuple[str, int]) -> Iterator[Number]:
    """A text and how many captions it is, as what it counts for."""
    text, count = counted
    yield "captions", count
    yield "words", count * len(text.split())
    yield "distinct", 1


def copies_of(joined: tuple[str, dict[str, Iterable[Any]]]) -> Iterator[Number]:
    """A text as what it counts for, if it is a training text."""
    _, found = joined
    if any(True for _ in found["training"]):
        yield "training", 1
        yield "copied", sum(found["texts"])


def ngrams_by_image(words: Words) -> Iterator[tuple[Ngram, tuple[str, bool]]]:
    """The n-grams of an image, each with its id and whether they are in its references."""
    id, (caption, group) = words
    document = scoring.ngrams_of(group)
    for ngram in document | scoring.ngrams_of([caption]):
        yield ngram, (id, ngram in document)


def frequency_by_image(
    grouped: tuple[Ngram, Iterable[tuple[str, bool]]],
) -> Iterator[tuple[str, tuple[Ngram, int]]]:
    """In how many documents an n-gram is, for each image that has it; nothing if in one or none."""
    ngram, images = grouped
    frequency = sum(is_in_references for _, is_in_references in images)
    if frequency > 1:
        for id, _ in images:
            yield id, (ngram, frequency)


def cider_d_of(joined: tuple[str, dict[str, Iterable[Any]]], documents: int) -> Number:
    """CIDEr-D of one caption, given the frequencies of its image's n-grams."""
    _, found = joined
    ((caption, group),) = found["words"]
    scorer = CiderD(DocumentFrequencies(documents, dict(found["frequencies"])))
    return "cider_d", scorer.score(caption, scorer.references(group))
