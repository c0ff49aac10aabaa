"""The caption job: images, or features already made, to JSONL captions."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from captioner import captions, records
from captioner.captions import CaptionRecord
from captioner.model import Caption, Captioner
from captioner.records import FeatureDataset
from captioner.search import SearchOptions
from pipelines import jobs
from pipelines.inference import HalvingHandler
from pipelines.jobs import Work
from pipelines.planning import Job
from pipelines.reading import Item


@dataclasses.dataclass(frozen=True)
class LoadCaptioner:
    """Loads the model on a worker.

    Args:
        model: its directory.
        search: how captions are searched for.
        batch_size: images the network takes at once.
        from_features: whether it is given features; the encoder then stays on disk.
    """

    model: str
    search: SearchOptions
    batch_size: int
    from_features: bool

    def __call__(self) -> CaptionerNetwork:
        captioner = Captioner.load(
            self.model,
            self.search,
            batch_size=self.batch_size,
            encoder=not self.from_features,
        )
        return CaptionerNetwork(captioner, self.from_features)


class CaptionerNetwork:
    """The captioner as a `Network`."""

    def __init__(self, captioner: Captioner, from_features: bool) -> None:
        self._infer = captioner.caption_features if from_features else captioner.caption_pixels

    def infer(self, batch: np.ndarray) -> Sequence[Caption]:
        """A caption for each image's pixels or features."""
        return self._infer(batch)


def to_record(item: Item, made_by: str, run: str) -> bytes:
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
        language="",
        made_by=made_by,
        run=run,
    ).to_line()
    return line.encode()


def caption(
    source: str,
    output: str,
    model: str,
    search: SearchOptions,
    *,
    batch_size: int = 32,
    shard_size: int = 256,
    asked: dict[str, Any] | None = None,
    flags: Sequence[str] = (),
) -> dict[str, Any]:
    """Caption every image of `source` that has no caption of this model and search yet.

    Args:
        source: a directory or prefix of images, a list of them, or a feature directory.
        output: the caption directory.
        model: the model directory.
        batch_size, shard_size, asked, flags: as for `extract_features.extract`.

    Returns:
        The run's manifest.
    """
    from_features = records.is_dataset(source)
    captioner = Captioner.load(model, search, encoder=False)
    if from_features:
        captioner.check_encoder(FeatureDataset.load(source).encoder)
    else:
        captioner.check_encoder_weights()
    job = Job(
        input=source,
        output=output,
        run=jobs.new_run(),
        settings=captioner.fingerprint,
        extension=captions.EXTENSION,
        shard_size=shard_size,
        from_features=from_features,
    )
    work = Work(
        handler=HalvingHandler(LoadCaptioner(model, search, batch_size, from_features), batch_size),
        image_size=captioner.description.encoder.image_size,
        open_spool=functools.partial(open, mode="wb"),
        to_record=functools.partial(to_record, made_by=captioner.fingerprint, run=job.run),
    )
    return jobs.run(job, work, asked or {}, flags)
