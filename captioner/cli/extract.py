"""`captioner extract`."""

from __future__ import annotations

import argparse
import functools
import tempfile

from captioner import storage
from captioner.cli.arguments import (
    add_captions,
    add_every,
    add_job,
    add_verb,
    given,
    importing,
    make_absolute,
    positive,
    run_job,
    show,
    within,
)
from captioner.errors import UserError


def add(verbs: argparse._SubParsersAction) -> None:
    summary = "Turn images into features: sharded TFRecords that training reads."
    example = "captioner extract --input photos/ --captions captions.csv --output features/"
    parser = add_verb(verbs, "extract", summary, _run, takes_beam_flags=True, example=example)
    parser.add_argument(
        "--input", required=True, metavar="DIR|LIST", help="a directory, gs://, s3://, or a list"
    )
    parser.add_argument("--output", required=True, metavar="OUT", help="where the features go")
    add_captions(parser, "captions")
    parser.add_argument(
        "--descriptions", metavar="FILE", help="also write the cleaned captions to this file"
    )
    add_encoder(parser)
    add_every(parser)
    add_job(parser)


def add_encoder(verb: argparse.ArgumentParser) -> None:
    """What turns images into features."""
    parser = verb.add_argument_group("the encoder")
    parser.add_argument(
        "--encoder",
        default="xception",
        metavar="NAME[+NAME]",
        help="of keras.applications; with a + what several of them see, side by side",
    )
    parser.add_argument(
        "--encoder-weights",
        default="imagenet",
        metavar="imagenet|PATH|none",
        help="downloaded by Keras, your own, or untrained; of each encoder with a + between",
    )
    parser.add_argument(
        "--encoder-layer",
        default="",
        metavar="NAME",
        help="instead of the last; of each encoder with a + between",
    )
    parser.add_argument(
        "--features", choices=("pooled", "grid"), default="pooled", help="a vector, or one a place"
    )
    parser.add_argument(
        "--image-size", type=positive, metavar="N", help="pixels; by default each encoder's own"
    )
    parser.add_argument(
        "--grid-size",
        type=functools.partial(within, least=0, most=1000, kind=int),
        default=0,
        metavar="N",
        help="average the grid to N x N; 0 doesn't",
    )
    parser.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="that of the features there are, or what the engine is fastest in here",
    )


def _run(parsed: argparse.Namespace, flags: list[str]) -> None:
    if parsed.descriptions and not parsed.captions:
        raise UserError("--descriptions needs --captions")
    make_absolute(parsed, "input", "output", "captions", "splits")
    from captioner.listing import paths

    paths.check(parsed.input, parsed.output)
    with importing():
        from captioner import encoders
        from pipelines import checking, extract_features
        from pipelines.job import JobOptions

    collection = (parsed.captions, parsed.captions_format, parsed.splits)
    if parsed.captions:
        show(str(checking.report_captions(parsed.input, *collection, parsed.every)))
    encoder = encoders.create(
        parsed.encoder,
        parsed.encoder_weights,
        layer=parsed.encoder_layer,
        features=parsed.features,
        image_size=parsed.image_size,
        grid_size=parsed.grid_size,
        precision=_precision(parsed),
    )
    checking.check_sample(parsed.input, parsed.output)
    if parsed.descriptions and not parsed.dry_run:
        _write_descriptions(parsed)
    chosen = given(parsed, JobOptions)
    job = extract_features.job(parsed.input, parsed.output, encoder, *collection, chosen)
    with tempfile.TemporaryDirectory(prefix="captioner-") as elsewhere:
        directory = elsewhere if parsed.dry_run else parsed.output
        work = extract_features.work(encoder, directory, chosen)
        run_job(parsed, job, work, "features", flags)


def _precision(parsed: argparse.Namespace) -> str:
    if parsed.precision != "auto":
        return parsed.precision
    from captioner import records
    from captioner.encoders import engines

    if records.is_dataset(parsed.output):
        return records.FeatureDataset.load(parsed.output).encoder.precision
    return engines.best_precision(parsed.engine)


def _write_descriptions(parsed: argparse.Namespace) -> None:
    from captioner import corpora

    collection = corpora.read(parsed.captions, parsed.captions_format, parsed.splits)
    corpora.write_descriptions(collection, storage.absolute(parsed.descriptions))
