"""The `captioner` command.

TensorFlow, Keras and Beam are imported by the verbs that need them, so that help and mistakes
answer at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import errno
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from captioner import __version__, storage
from captioner.errors import UserError

MISTAKE = 2

_DESCRIPTION = "Caption images by the folder or bucket, with a model trained on your own captions."
_PIPELINE_NOTE = (
    "Beam's own flags pass through: --runner, --direct_num_workers, --temp_location ..."
)
# What a user can mend: a full disk, and a path that can't be written or is of the wrong kind.
_MENDABLE = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit status: 0, or 2 for a mistake of the user's, which is said in one line.
    """
    _quieten()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        parsed, others = _parser(arguments).parse_known_args(arguments)
        if others and not parsed.takes_beam_flags:
            raise UserError(f"unknown argument: {others[0]} (see `captioner {parsed.verb} --help`)")
        parsed.run(parsed, others)
    except Exception as error:
        message = _mendable(error)
        if message is None:
            raise
        print(f"error: {' '.join(message.split())}", file=sys.stderr)
        return MISTAKE
    return 0


def _mendable(error: BaseException | None) -> str | None:
    """What a user can mend, if it is that; engines wrap what their workers raise."""
    while error:
        if isinstance(error, UserError):
            return str(error)
        if isinstance(error, OSError) and error.errno in _MENDABLE:
            return f"{error.filename or 'output'}: {os.strerror(error.errno)}"
        error = error.__cause__ or error.__context__
    return None


def _quieten() -> None:
    """Keep libraries' remarks, which no user of ours can act on, off the terminal."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger().setLevel(logging.ERROR)
    # It logs what it raises.
    logging.getLogger("apache_beam.runners.common").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", message="You are using a Python version")


class _HelpFormatter(argparse.HelpFormatter):
    """Shows a default where there is one to show."""

    def _get_help_string(self, action: argparse.Action) -> str:
        shown = action.default not in (None, "", [], argparse.SUPPRESS)
        return f"{action.help} (default: %(default)s)" if shown else action.help or ""


class _Parser(argparse.ArgumentParser):
    """A parser whose mistakes are one line, as all others are."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see `{self.prog} --help`)")


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = _Parser(prog="captioner", description=_DESCRIPTION, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"captioner {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _add_scenes(verbs)
    _add_extract(verbs)
    _add_train(verbs)
    _add_caption(verbs, any(word.split("=")[0] == "--input" for word in arguments))
    _add_evaluate(verbs)
    return parser


def _positive(text: str) -> int:
    """A whole number from 1, for argparse."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


_positive.__name__ = "whole number from 1"  # as argparse calls it when it refuses


def _add_verb(
    verbs: argparse._SubParsersAction,
    name: str,
    summary: str,
    run: Callable[[argparse.Namespace, list[str]], None],
    takes_beam_flags: bool = False,
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=_PIPELINE_NOTE if takes_beam_flags else None,
        allow_abbrev=False,
        formatter_class=_HelpFormatter,
    )
    parser.set_defaults(run=run, takes_beam_flags=takes_beam_flags)
    return parser


def _add_scenes(verbs: argparse._SubParsersAction) -> None:
    parser = _add_verb(verbs, "scenes", "Draw a captioned collection to try things on.", _scenes)
    parser.add_argument("--output", required=True, metavar="DIR", help="where the collection goes")
    parser.add_argument(
        "--count", type=_positive, default=8000, metavar="N", help="pictures to draw"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="draws another collection")


def _scenes(parsed: argparse.Namespace, _: list[str]) -> None:
    from captioner.corpora import scenes

    scenes.draw(parsed.output, parsed.count, parsed.seed)
    print(f"{parsed.count} scenes with their captions are in {parsed.output}")


def _add_captions(parser: argparse.ArgumentParser, name: str, required: bool = False) -> None:
    parser.add_argument(
        f"--{name}", required=required, metavar="FILE", help="captions of the images"
    )
    parser.add_argument(
        f"--{name}-format",
        choices=("flickr8k", "coco", "jsonl", "csv"),
        help="told from the file where it is not given",
    )
    parser.add_argument(
        "--splits", metavar="DIR", help="lists of the images for training, development and test"
    )


def _add_batches(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--batch-size", type=_positive, default=32, metavar="N", help="images at once"
    )
    parser.add_argument(
        "--shard-size", type=_positive, default=256, metavar="N", help="images a shard"
    )


def _add_extract(verbs: argparse._SubParsersAction) -> None:
    summary = "Turn images into features: sharded TFRecords that training reads."
    parser = _add_verb(verbs, "extract", summary, _extract, takes_beam_flags=True)
    parser.add_argument(
        "--input", required=True, metavar="DIR|LIST", help="a directory, gs://, s3://, or a list"
    )
    parser.add_argument("--output", required=True, metavar="OUT", help="where the features go")
    _add_captions(parser, "captions")
    parser.add_argument(
        "--descriptions", metavar="FILE", help="also write the cleaned captions to this file"
    )
    parser.add_argument(
        "--encoder", default="xception", metavar="NAME", help="of keras.applications"
    )
    parser.add_argument(
        "--encoder-weights",
        default="imagenet",
        metavar="imagenet|PATH|none",
        help="downloaded by Keras, your own, or untrained",
    )
    parser.add_argument("--encoder-layer", default="", metavar="NAME", help="instead of the last")
    parser.add_argument(
        "--features", choices=("pooled", "grid"), default="pooled", help="a vector, or one a place"
    )
    parser.add_argument(
        "--image-size", type=_positive, metavar="N", help="pixels; the encoder's own"
    )
    parser.add_argument(
        "--grid-size", type=int, default=0, metavar="N", help="average the grid to N x N; 0 doesn't"
    )
    _add_batches(parser)


def _extract(parsed: argparse.Namespace, flags: list[str]) -> None:
    from pipelines import checking, options

    options.parse(flags)
    _make_absolute(parsed, "input", "output", "captions", "splits")
    checking.check_paths(parsed.input, parsed.output)
    collection = (parsed.captions, parsed.captions_format, parsed.splits)
    if parsed.captions:
        print(checking.report_captions(parsed.input, *collection))
    if parsed.descriptions:
        _write_descriptions(parsed)
    from captioner import encoders
    from pipelines.extract_features import extract

    encoder = encoders.create(
        parsed.encoder,
        parsed.encoder_weights,
        layer=parsed.encoder_layer,
        features=parsed.features,
        image_size=parsed.image_size,
        grid_size=parsed.grid_size,
    )
    checking.check_sample(parsed.input, parsed.output)
    manifest = extract(
        parsed.input,
        parsed.output,
        encoder,
        captions=parsed.captions,
        captions_format=parsed.captions_format,
        splits=parsed.splits,
        batch_size=parsed.batch_size,
        shard_size=parsed.shard_size,
        asked=_asked(parsed),
        flags=flags,
    )
    _print_run(manifest, parsed.output, "features")


def _write_descriptions(parsed: argparse.Namespace) -> None:
    from captioner import corpora

    if not parsed.captions:
        raise UserError("--descriptions needs --captions")
    collection = corpora.read(parsed.captions, parsed.captions_format, parsed.splits)
    corpora.write_descriptions(collection, storage.absolute(parsed.descriptions))


def _add_train(verbs: argparse._SubParsersAction) -> None:
    parser = _add_verb(verbs, "train", "Train a captioner on features.", _train)
    parser.add_argument("--features", required=True, metavar="DIR", help="made by extract")
    parser.add_argument("--output", required=True, metavar="MODEL", help="where the model goes")
    parser.add_argument("--decoder", choices=("attention", "merge"), help="the caption network")
    parser.add_argument("--epochs", type=_positive, metavar="N", help="passes over the captions")
    parser.add_argument("--batch-size", type=_positive, metavar="N", help="images at once")
    parser.add_argument("--learning-rate", type=float, metavar="R", help="at the start")
    parser.add_argument("--units", type=_positive, metavar="N", help="width of the network")
    parser.add_argument("--dropout", type=float, metavar="P", help="share of values left out")
    parser.add_argument("--word-dropout", type=float, metavar="P", help="share of words hidden")
    parser.add_argument(
        "--label-smoothing", type=float, metavar="P", help="share of probability spread evenly"
    )
    parser.add_argument("--min-count", type=_positive, metavar="N", help="rarer words are left out")
    parser.add_argument("--seed", type=int, metavar="S", help="equal seeds, equal models")


def _train(parsed: argparse.Namespace, _: list[str]) -> None:
    _make_absolute(parsed, "features", "output")
    from captioner import training
    from captioner.training import TrainingOptions

    options = _given(parsed, TrainingOptions)
    if parsed.units:
        options = dataclasses.replace(options, settings={"units": parsed.units})
    result = training.train(parsed.features, parsed.output, options)
    print(result)
    print(f"the model is in {parsed.output}")


def _add_caption(verbs: argparse._SubParsersAction, is_job: bool) -> None:
    summary = "Caption one image now, or with --input all images of a directory or bucket."
    parser = _add_verb(verbs, "caption", summary, _caption, takes_beam_flags=is_job)
    # With --input every further word is the value of one of Beam's flags.
    if not is_job:
        parser.add_argument("images", nargs="*", metavar="IMAGE", help="image files")
    parser.add_argument("--model", required=True, metavar="MODEL", help="made by train")
    parser.add_argument(
        "--input", metavar="DIR|LIST|FEATURES", help="a directory, gs://, s3://, list, or features"
    )
    parser.add_argument("--output", metavar="OUT", help="where the captions go")
    parser.add_argument(
        "--width", type=_positive, metavar="N", help="of the beam search; 1 is greedy"
    )
    parser.add_argument(
        "--max-length", type=_positive, metavar="N", help="words of a caption, at most"
    )
    parser.add_argument("--length-penalty", type=float, metavar="A", help="more, longer captions")
    _add_batches(parser)


def _caption(parsed: argparse.Namespace, flags: list[str]) -> None:
    if not parsed.input:
        return _caption_now(parsed)
    if not parsed.output:
        raise UserError("--input needs --output too: where the captions go")
    from pipelines import checking, options

    options.parse(flags)
    _make_absolute(parsed, "input", "output", "model")
    checking.check_paths(parsed.input, parsed.output)
    checking.check_sample(parsed.input, parsed.output)
    from captioner.search import SearchOptions
    from pipelines.caption_images import caption

    manifest = caption(
        parsed.input,
        parsed.output,
        parsed.model,
        _given(parsed, SearchOptions),
        batch_size=parsed.batch_size,
        shard_size=parsed.shard_size,
        asked=_asked(parsed),
        flags=flags,
    )
    _print_run(manifest, parsed.output, "captions")


def _caption_now(parsed: argparse.Namespace) -> None:
    if not parsed.images:
        raise UserError("name an image, or a directory with --input and --output")
    for image in parsed.images:
        if not storage.exists(image):
            raise UserError(f"{image}: no such image")
    from captioner.model import Captioner
    from captioner.search import SearchOptions

    captioner = Captioner.load(parsed.model, _given(parsed, SearchOptions), batch_size=1)
    for image, caption in zip(parsed.images, captioner.caption(parsed.images), strict=True):
        print(f"{image}: {caption.text}" if len(parsed.images) > 1 else caption.text)


def _add_evaluate(verbs: argparse._SubParsersAction) -> None:
    parser = _add_verb(verbs, "evaluate", "Score captions against references.", _evaluate)
    parser.add_argument("--captions", required=True, metavar="OUT", help="made by caption")
    _add_captions(parser, "references", required=True)
    parser.add_argument("--split", choices=("train", "dev", "test"), help="test, else dev")
    parser.add_argument("--show", type=int, default=12, metavar="N", help="captions to print")


def _evaluate(parsed: argparse.Namespace, _: list[str]) -> None:
    from captioner.evaluation import evaluate

    evaluation = evaluate(
        parsed.captions,
        parsed.references,
        parsed.references_format,
        parsed.splits,
        parsed.split,
    )
    print(evaluation.as_text(parsed.show))


def _make_absolute(parsed: argparse.Namespace, *names: str) -> None:
    """Local paths mean the same to every worker, wherever it was started."""
    for name in names:
        value = getattr(parsed, name)
        setattr(parsed, name, value and storage.absolute(value))


def _given(parsed: argparse.Namespace, options: type) -> Any:
    """`options`, a dataclass, with what was given on the command line and its own defaults."""
    names = {field.name for field in dataclasses.fields(options)}
    given = {name: value for name, value in vars(parsed).items() if value is not None}
    return options(**{name: value for name, value in given.items() if name in names})


def _asked(parsed: argparse.Namespace) -> dict[str, object]:
    hidden = {"run", "takes_beam_flags"}
    return {name: value for name, value in vars(parsed).items() if name not in hidden}


def _print_run(manifest: dict, output: str, made: str) -> None:
    images = manifest["images"]
    failed = sum(images["failed"].values())
    print(
        f"{images['seen']} images: {images['done']} done now, {images['skipped']} done before, "
        f"{failed} failed now, {images['failed_before']} failed before "
        f"({manifest['seconds']:.0f} s, {manifest['images_per_second']:.1f} images a second)"
    )
    for reason, number in images["failed"].items():
        print(f"  {number} {reason}: see {storage.join(output, 'failures')}")
    print(f"the {made} are in {output}")
