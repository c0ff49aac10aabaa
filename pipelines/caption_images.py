"""The caption job: images, or features already made, to captions as JSONL or Parquet."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from captioner import captions, listing, records, shards
from captioner.captions import CaptionRecord
from captioner.errors import UserError
from captioner.model import Caption, Captioner
from captioner.records import FeatureDataset
from captioner.search import SearchOptions
from pipelines.inference import HalvingHandler
from pipelines.items import Item
from pipelines.job import Job, JobOptions
from pipelines.jobs import Work


@dataclasses.dataclass(frozen=True)
class LoadCaptioner:
    """Loads the model, or several, on a worker.

    Args:
        models: their directories; several are an ensemble.
        search: how captions are searched for.
        batch_size: images the network takes at once.
        from_features: whether it is given features; the encoder then stays on disk.
        engine: what runs the encoder.
    """

    models: tuple[str, ...]
    search: SearchOptions
    batch_size: int
    from_features: bool
    engine: str

    def __call__(self) -> CaptionerNetwork:
        captioner = Captioner.load(
            *self.models,
            search=self.search,
            batch_size=self.batch_size,
            encoder=not self.from_features,
            engine=self.engine,
        )
        return CaptionerNetwork(captioner, self.from_features)


class CaptionerNetwork:
    """The captioner as a `Network`."""

    def __init__(self, captioner: Captioner, from_features: bool) -> None:
        self._captioner = captioner
        self._infer = captioner.caption_features if from_features else captioner.caption_pixels

    def infer(self, batch: np.ndarray) -> Sequence[Caption]:
        """A caption for each image's pixels or features."""
        # Half a batch, where a whole one doesn't fit, isn't to be filled up again.
        self._captioner.batch_size = len(batch)
        return self._infer(batch)


def to_record(item: Item, language: str, made_by: str, run: str) -> bytes:
    """An item's caption record, as a line."""
    caption: Caption = item.result
    line = CaptionRecord(
        id=item.reference.id,
        uri=item.reference.uri,
        content_hash=item.content_hash,
        width=item.width,
        height=item.height,
        caption=caption.text,
        log_probability=caption.log_probability,
        candidates=caption.candidates,
        language=language,
        made_by=made_by,
        run=run,
        attention=caption.attention,
    ).to_line()
    return line.encode()


def job(
    source: str,
    output: str,
    captioner: Captioner,
    format: str | None = None,
    options: JobOptions | None = None,
    split: str = "",
) -> Job:
    """A run that captions every image of `source` without a caption of this model and search.

    Args:
        source: see `Job.input`.
        output: the caption directory.
        captioner: the model, with its search; it needs no encoder.
        format: of `captions.FORMATS`; by default that of the captions there are, or JSONL.
        options: what the user chose.
        split: of features, only the images of this split; of all where it is empty.

    Raises:
        UserError: the input has no such split, the model doesn't go with the features or lacks its
            encoder's weights, or the output has captions of another format.
    """
    from_features = records.is_dataset(source)
    if from_features:
        features = FeatureDataset.load(source)
        captioner.description.check_encoder(features.encoder)
        if split and not features.counts.get(split):
            raise UserError(f"{source}: no images of the split '{split}'")
    elif split:
        raise UserError(f"{source}: only extracted features know the images' splits")
    else:
        captioner.check_encoder_weights()
    return Job(
        input=source,
        output=output,
        run=shards.new_run(),
        settings=captioner.fingerprint,
        extension=captions.choose_format(output, format),
        options=options or JobOptions(),
        from_features=from_features,
        split=split,
        is_partial=bool(split or listing.failed.output_of(source)),
    )


def work(job: Job, captioner: Captioner, models: Sequence[str], search: SearchOptions) -> Work:
    """What the caption job does.

    Args:
        models: the directories that `captioner` was loaded from, with `search`.
    """
    size = job.options.batch_size
    load = LoadCaptioner(tuple(models), search, size, job.from_features, job.options.engine)
    return Work(
        handler=HalvingHandler(load, size),
        image_size=captioner.description.encoder.image_size,
        open_spool=captions.FORMATS[job.extension].open_spool,
        to_record=functools.partial(
            to_record,
            language=captioner.language,
            made_by=captioner.fingerprint,
            run=job.run,
        ),
    )
