"""The extract job: images to feature TFRecords."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import numpy as np

from captioner import datafiles, listing, records, shards, storage
from captioner.encoders import Encoder, EncoderSpec
from captioner.records import FeatureDataset, FeatureRecord
from captioner.shards import Summary
from pipelines.inference import HalvingHandler
from pipelines.items import Item
from pipelines.job import Job, JobOptions
from pipelines.jobs import Work


@dataclasses.dataclass(frozen=True)
class LoadEncoder:
    """Loads the encoder on a worker.

    Args:
        spec: the encoder.
        weights_file: URI of its weights.
        engine: what runs it.
    """

    spec: EncoderSpec
    weights_file: str
    engine: str

    def __call__(self) -> EncoderNetwork:
        return EncoderNetwork(Encoder.load(self.spec, self.weights_file, self.engine))


class EncoderNetwork:
    """The encoder as a `Network`."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def infer(self, batch: np.ndarray) -> np.ndarray:
        """Features, float32 [N, *feature_shape], of uint8 pixels [N, size, size, 3]."""
        return self._encoder.encode(batch)


def to_record(item: Item) -> bytes:
    """An item's feature record."""
    reference = item.reference
    return FeatureRecord(
        id=reference.id,
        uri=reference.uri,
        content_hash=item.content_hash,
        width=item.width,
        height=item.height,
        features=item.result,
        captions=reference.captions,
        languages=reference.languages,
        split=reference.split,
    ).to_bytes()


@dataclasses.dataclass(frozen=True)
class SaveDataset:
    """Derives ``dataset.json`` from the shards, at the commit.

    Args:
        directory: the output directory.
        encoder, encoder_weights, feature_shape: see `FeatureDataset`.
    """

    directory: str
    encoder: EncoderSpec
    encoder_weights: str
    feature_shape: tuple[int, ...]

    def __call__(self, manifest: dict[str, Any], summaries: list[Summary]) -> None:
        made = {summary["task"] for summary in manifest["shards"]}
        counts = Counter(manifest["current"])
        for summary in summaries:
            counts[summary.split] += summary.done if summary.task in made else 0
        self._save(summaries, counts)
        # Another run may finish shards meanwhile: whoever writes last has seen them all.
        known = {summary.task for summary in summaries}
        while others := shards.other_than(self.directory, known):
            known |= {summary.task for summary in others}
            if any(other.settings == self.encoder.fingerprint for other in others):
                self._save(*shards.recount(self.directory, self.encoder.fingerprint))

    def _save(self, summaries: list[Summary], counts: Counter[str]) -> None:
        files: dict[str, list[str]] = {}
        for summary in sorted(summaries, key=lambda summary: summary.file):
            if summary.done:
                files.setdefault(summary.split, []).append(summary.file)
        superseded = sum(summary.done for summary in summaries) - counts.total()
        FeatureDataset(
            counts={split: number for split, number in sorted(counts.items()) if number},
            shards={split: tuple(found) for split, found in files.items()},
            superseded=superseded,
            **vars(self),
        ).save()


def work(encoder: Encoder, directory: str, options: JobOptions) -> Work:
    """What the extract job does, with the encoder's weights saved where workers find them."""
    spec = encoder.spec
    weights_file = storage.join(directory, "encoders", f"{spec.weights}.weights.h5")
    encoder.save_weights(weights_file)
    return Work(
        handler=HalvingHandler(LoadEncoder(spec, weights_file, options.engine), options.batch_size),
        image_size=spec.image_size,
        open_spool=records.open_spool,
        to_record=to_record,
        finish=SaveDataset(directory, spec, weights_file, encoder.feature_shape),
    )


def job(
    source: str,
    output: str,
    encoder: Encoder,
    captions: str | None = None,
    captions_format: str | None = None,
    splits: str | None = None,
    options: JobOptions | None = None,
) -> Job:
    """A run that extracts the features of every image of `source` that has none yet.

    Args:
        source: see `Job.input`.
        output: the feature directory.
        captions, captions_format, splits: the captioned collection, see `corpora.read`.
        options: what the user chose.
    """
    return Job(
        input=source,
        output=output,
        run=shards.new_run(),
        settings=encoder.spec.fingerprint,
        extension=datafiles.FEATURES,
        options=options or JobOptions(),
        is_partial=bool(listing.failed.output_of(source)),
        captions=captions,
        captions_format=captions_format,
        splits=splits,
    )
