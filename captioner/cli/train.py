"""`captioner train`."""

from __future__ import annotations

import argparse
import dataclasses

from captioner.cli.arguments import (
    add_captions,
    add_json,
    add_verb,
    given,
    make_absolute,
    positive,
    tell,
)
from captioner.errors import UserError


def add(verbs: argparse._SubParsersAction) -> None:
    example = (
        "captioner train --features features/ --output model/\n"
        "captioner train --features features/ --start model/ --self-critical --output better/"
    )
    parser = add_verb(verbs, "train", "Train a captioner on features.", _run, example=example)
    parser.add_argument("--features", metavar="DIR", help="made by extract")
    parser.add_argument("--output", required=True, metavar="MODEL", help="where the model goes")
    parser.add_argument("--start", metavar="MODEL", help="a model to go on from")
    parser.add_argument("--epochs", type=positive, metavar="N", help="passes over the captions")
    parser.add_argument(
        "--patience", type=positive, metavar="N", help="stop after so many epochs without a better"
    )
    parser.add_argument(
        "--keep-by",
        choices=("cider_d", "loss"),
        help="which epoch is kept: the one with the best captions of the development split, "
        "or with its lowest loss",
    )
    parser.add_argument("--seed", type=int, metavar="S", help="equal seeds, equal models")
    parser.add_argument(
        "--strategy",
        choices=("auto", "one", "mirrored", "multiworker", "tpu"),
        default="auto",
        help="where: one device, all GPUs here (mirrored) or of several machines (multiworker), or "
        "a TPU; the model is the same",
    )
    add_json(parser)
    add_recipe(parser)
    add_self_critical(parser)
    add_pictures(parser)


def add_self_critical(verb: argparse.ArgumentParser) -> None:
    """What a model goes on to learn from rewards for whole captions."""
    parser = verb.add_argument_group("self-critical training; needs --start")
    parser.add_argument(
        "--self-critical",
        action="store_true",
        default=None,
        help="reward whole captions by CIDEr-D, instead of learning people's word by word",
    )
    parser.add_argument("--samples", type=positive, metavar="N", help="captions an image for that")
    parser.add_argument(
        "--temperature", type=float, metavar="T", help="of the start model's words, before that"
    )


def add_pictures(verb: argparse.ArgumentParser) -> None:
    """What a model goes on to learn from images, its encoder with it."""
    parser = verb.add_argument_group("training the encoder too; needs --start")
    parser.add_argument(
        "--images",
        metavar="DIR",
        help="train the encoder too, on images instead of features; needs --captions and --start",
    )
    add_captions(parser, "captions")
    parser.add_argument(
        "--from-layer", default="", metavar="NAME", help="the encoder's first layer to learn"
    )
    parser.add_argument(
        "--no-augment",
        dest="augment",
        action="store_false",
        help="show the images as they are, and not cut, mirrored and lit at random",
    )


def add_recipe(verb: argparse.ArgumentParser) -> None:
    """What is trained and how each step goes."""
    parser = verb.add_argument_group("the network, and how each step goes")
    parser.add_argument(
        "--decoder", choices=("attention", "merge", "transformer"), help="the caption network"
    )
    parser.add_argument("--units", type=positive, metavar="N", help="width of the network")
    parser.add_argument("--layers", type=positive, metavar="N", help="of a transformer")
    parser.add_argument("--dropout", type=float, metavar="P", help="share of values left out")
    parser.add_argument("--word-dropout", type=float, metavar="P", help="share of words hidden")
    parser.add_argument(
        "--label-smoothing", type=float, metavar="P", help="share of probability spread evenly"
    )
    parser.add_argument(
        "--batch-size", type=positive, metavar="N", help="images a step, over all devices"
    )
    parser.add_argument(
        "--accumulate", type=positive, metavar="N", help="steps whose gradients are one"
    )
    parser.add_argument("--learning-rate", type=float, metavar="R", help="the highest; what suits")
    parser.add_argument("--warmup", type=float, metavar="P", help="share of the steps it rises for")
    parser.add_argument("--schedule", choices=("cosine", "constant"), help="what it does then")
    parser.add_argument("--weight-decay", type=float, metavar="R", help="as a share of it")
    parser.add_argument("--clip-norm", type=float, metavar="R", help="of a step's gradient")
    parser.add_argument(
        "--averaging", type=float, metavar="P", help="keep the moving average of the weights"
    )
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16"), help="what is computed in; weights aren't"
    )
    parser.add_argument("--min-count", type=positive, metavar="N", help="rarer words are left out")
    parser.add_argument(
        "--max-length", type=positive, metavar="N", help="words of a caption, the rest is cut off"
    )


def _run(parsed: argparse.Namespace, _: list[str]) -> None:
    if bool(parsed.features) == bool(parsed.images) or bool(parsed.images) != bool(parsed.captions):
        raise UserError("give --features; or, to train the encoder too, --images and --captions")
    make_absolute(parsed, "features", "output", "start", "images", "captions")
    from captioner import training
    from captioner.training import Pictures, TrainingOptions

    options = given(parsed, TrainingOptions)
    sizes = {name: getattr(parsed, name) for name in ("units", "layers")}
    settings = {name: size for name, size in sizes.items() if size}
    options = dataclasses.replace(options, settings=settings)
    data = given(parsed, Pictures) if parsed.images else parsed.features
    result = training.train(data, parsed.output, options, strategy=parsed.strategy)
    if result:  # only the chief of several workers has one
        print(result)
        print(f"the model is in {parsed.output}")
        tell(parsed, {"model": parsed.output, **dataclasses.asdict(result)})
