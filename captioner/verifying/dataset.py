"""The check of ``dataset.json`` and of the encoder's weights beside it."""

from __future__ import annotations

import collections
import contextlib
from collections import Counter
from collections.abc import Iterator

from captioner import shards, storage
from captioner.encoders import Encoder
from captioner.errors import UserError
from captioner.records import FeatureDataset, read_shard
from captioner.verifying.report import Files, Problem, relative, said

_REMEDY = "run the job's command again, which makes it anew"


def check_dataset(files: Files, is_sound: bool) -> Iterator[Problem]:
    """What is wrong with ``dataset.json``; if the shards are sound, by what they say too."""
    file = "dataset.json"
    if not storage.exists(storage.join(files.output, file)):
        # Before the first run's end it has never been there.
        if files.manifests:
            yield Problem(file, "missing", _REMEDY)
        return
    try:
        dataset = FeatureDataset.load(files.output)
    except (UserError, *shards.UNREADABLE) as error:
        yield Problem(file, "unreadable", f"{said(error)}; {_REMEDY}")
        return
    named = {shard for split in dataset.shards.values() for shard in split}
    for shard in sorted(named - files.data):
        yield Problem(shard, "missing", f"{file} names it; {_REMEDY}")
    if is_sound and not _is_current(dataset):
        yield Problem(file, "stale", f"not what the shards say; {_REMEDY}")
    elif is_sound and named and _shape_of(dataset, min(named)) != dataset.feature_shape:
        detail = f"its feature_shape is not that of the features in {min(named)}"
        yield Problem(file, "altered", f"{detail}; {_REMEDY}")
    yield from _check_encoder(dataset)


def _shape_of(dataset: FeatureDataset, shard: str) -> tuple[int, ...]:
    """The shape of the features of a shard's first record: one encoder made them all."""
    uri = storage.join(dataset.directory, shard)
    with contextlib.closing(read_shard(uri)) as found:
        return next(found).features.shape


def _is_current(dataset: FeatureDataset) -> bool:
    """Whether a dataset says what its shards say."""
    summaries, counts = shards.recount(dataset.directory, dataset.encoder.fingerprint)
    holding: dict[str, set[str]] = collections.defaultdict(set)
    for summary in summaries:
        if summary.done:
            holding[summary.split].add(summary.file)
    superseded = sum(summary.done for summary in summaries) - counts.total()
    return (
        Counter(dataset.counts) == counts
        and {split: {*named} for split, named in dataset.shards.items()} == holding
        and dataset.superseded == superseded
    )


def _check_encoder(dataset: FeatureDataset) -> Iterator[Problem]:
    file = relative(dataset.encoder_weights, dataset.directory)
    if not storage.exists(dataset.encoder_weights):
        yield Problem(file, "missing", f"dataset.json names it; {_REMEDY}")
        return
    try:
        Encoder.load(dataset.encoder, dataset.encoder_weights)
    except UserError as error:
        yield Problem(file, "altered", f"{said(error)}; delete it and {_REMEDY}")
