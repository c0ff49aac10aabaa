"""The scoring job: captions held against references, where one machine takes too long.

The figures are those of `captioner.evaluation.evaluate`, but for METEOR, which this job leaves out.

No step holds all captions, all words or all n-grams: what belongs together meets by key. CIDEr-D
needs to know in how many documents an n-gram is, a table that grows with the collection. So no
worker is given it: each n-gram is told the images that have it, counts them, and tells them; and
each image is scored with what it was told. An n-gram of one document weighs as much as one of none,
so most of them have nothing to tell.

Two limits. One worker reads the references' file, and so has it in memory. And an n-gram like "a"
is one key with the ids of most images: an engine that holds all values of a key in memory, as Spark
does, needs room for those.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PBegin, PCollection
from apache_beam.transforms.combiners import Count, ToDictCombineFn

from captioner import storage
from captioner.evaluation import Scores
from pipelines import options
from pipelines.score_captions import measuring
from pipelines.score_captions.comparing import Compare, ReadCaptions, ReadReferences
from pipelines.score_captions.job import ScoreJob
from pipelines.score_captions.measuring import CorpusBleu, CountCopied, CountVocabulary, ScoreCiderD

__all__ = ["ScoreCaptions", "ScoreJob", "run"]


def run(job: ScoreJob, flags: Sequence[str]) -> Scores:
    """Run the job to its end.

    Args:
        flags: Beam's own.

    Returns:
        The scores, which are in the job's output too.

    Raises:
        UserError: there are no captions, no references, or none of the split.
    """
    chosen = options.parse(flags)
    job.check()
    with beam.Pipeline(options=chosen) as pipeline:
        pipeline | "Score captions" >> ScoreCaptions(job)
    return Scores.from_json(storage.read_bytes(job.output))


@dataclasses.dataclass(eq=False)
class ScoreCaptions(beam.PTransform):
    """Read, compare, score and publish.

    Args:
        job: what is held against what.
    """

    job: ScoreJob

    def expand(self, begin: PBegin) -> PCollection:
        collection = begin | "Read references" >> ReadReferences(self.job)
        outcomes = begin | "Read captions" >> ReadCaptions(self.job.captions)
        found = {"outcomes": outcomes, "images": collection} | "Compare" >> Compare(self.job)
        compared = found["compared"]
        words = compared | "Words" >> beam.Map(measuring.words_of)
        texts = (
            compared
            | "Texts" >> beam.FlatMap(measuring.text_of)
            | "Count equals" >> Count.PerElement()
        )
        training = collection | "Training texts" >> beam.FlatMap(measuring.training_texts)
        numbers = (
            compared | "Count images" >> beam.FlatMap(measuring.counts_of),
            words | "ROUGE-L" >> beam.Map(measuring.rouge_l_of),
            words | "CIDEr-D" >> ScoreCiderD(),
            texts | "Variety" >> beam.FlatMap(measuring.variety_of),
            texts | "Vocabulary" >> CountVocabulary(),
            {"texts": texts, "training": training} | "Copied" >> CountCopied(),
        )
        parts = (
            numbers | beam.Flatten() | "Sum" >> beam.CombinePerKey(sum),
            words | "BLEU" >> CorpusBleu(),
            found["split"] | "As split" >> beam.Map(lambda split: ("split", split)),
        )
        collected = parts | "All" >> beam.Flatten() | beam.CombineGlobally(ToDictCombineFn())
        return collected | "Publish" >> beam.Map(publish, self.job)


def publish(parts: dict[str, Any], job: ScoreJob) -> str:
    """Write the scores, and return where."""
    text = scores_of(parts).to_json(job.captions, job.references)
    storage.replace(job.output, text.encode())
    return job.output


def scores_of(parts: dict[str, Any]) -> Scores:
    """What was added up, divided."""
    images, made = parts["images"], parts.get("captions", 0)
    are_scenes = parts.get("scenes") == images
    return Scores(
        split=parts["split"],
        images=images,
        failed=parts.get("failed", 0),
        bleu=parts["bleu"],
        rouge_l=parts["rouge_l"] / images,
        cider_d=parts["cider_d"] / images,
        meteor=None,
        vocabulary_used=parts.get("vocabulary_used", 0),
        mean_length=parts.get("words", 0) / (made or 1),
        distinct=parts.get("distinct", 0) / (made or 1),
        copied=parts.get("copied", 0) / (made or 1) if parts.get("training") else None,
        right=parts["right"] / images if are_scenes else None,
    )
