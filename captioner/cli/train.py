"""`captioner train`."""

from __future__ import annotations

import argparse
import dataclasses

from captioner.cli.arguments import (
    add_captions,
    add_json,
    add_verb,
    given,
    importing,
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
    parser.add_argument(
        "--epochs", type=positive, metavar="N", help="passes over the captions (default: 12)"
    )
    parser.add_argument(
        "--patience",
        type=positive,
        metavar="N",
        help="stop after so many epochs without a better; by default never",
    )
    parser.add_argument(
        "--keep-by",
        choices=("cider_d", "loss"),
        help="which epoch is kept: the one with the best captions of the development split, "
        "or with its lowest loss (default: cider_d)",
    )
    parser.add_argument(
        "--seed", type=int, metavar="S", help="equal seeds, equal models (default: 0)"
    )
    parser.add_argument(
        "--strategy",
        choices=("auto", "one", "mirrored", "multiworker", "tpu"),
        default="auto",
        help="where: one device, all GPUs here (mirrored) or of several machines (multiworker), or "
        "a TPU; the model is the same",
    )
    add_json(parser)
    add_network(parser)
    add_steps(parser)
    add_learning_rate(parser)
    add_regularisation(parser)
    add_self_critical(parser)
    add_pictures(parser)


def add_network(verb: argparse.ArgumentParser) -> None:
    """What is trained."""
    parser = verb.add_argument_group("the network, and the words that it knows")
    parser.add_argument(
        "--decoder",
        choices=("attention", "merge", "transformer"),
        help="the caption network (default: attention)",
    )
    parser.add_argument("--units", type=positive, metavar="N", help="width of the network")
    parser.add_argument("--layers", type=positive, metavar="N", help="of a transformer")
    parser.add_argument(
        "--min-count", type=positive, metavar="N", help="rarer words are left out (default: 4)"
    )
    parser.add_argument(
        "--max-length",
        type=positive,
        metavar="N",
        help="words of a caption, with its start and its end; the rest is cut off (default: 40)",
    )


def add_steps(verb: argparse.ArgumentParser) -> None:
    """How each step goes."""
    parser = verb.add_argument_group("each step")
    parser.add_argument(
        "--batch-size",
        type=positive,
        metavar="N",
        help="images a step, over all devices (default: 32)",
    )
    parser.add_argument(
        "--accumulate",
        type=positive,
        metavar="N",
        help="steps whose gradients are one (default: 1)",
    )
    parser.add_argument(
        "--clip-norm",
        type=float,
        metavar="R",
        help="the largest of a step's gradient (default: 5.0)",
    )
    parser.add_argument(
        "--averaging",
        type=float,
        metavar="P",
        help="keep the moving average of the weights, of which each step leaves this share",
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        help="what is computed in; weights stay float32 (default: float32)",
    )


def add_learning_rate(verb: argparse.ArgumentParser) -> None:
    """How far each step goes."""
    parser = verb.add_argument_group("the learning rate")
    parser.add_argument(
        "--learning-rate",
        type=float,
        metavar="R",
        help="the highest; by default what suits the training: 0.001, 5e-5 if it is self-critical",
    )
    parser.add_argument(
        "--warmup",
        type=float,
        metavar="P",
        help="share of the steps in which the learning rate rises",
    )
    parser.add_argument(
        "--schedule",
        choices=("cosine", "constant"),
        help="what the learning rate does then (default: cosine)",
    )


def add_regularisation(verb: argparse.ArgumentParser) -> None:
    """What keeps a network from knowing its captions by heart."""
    parser = verb.add_argument_group("against overfitting")
    parser.add_argument("--dropout", type=float, metavar="P", help="share of values left out")
    parser.add_argument("--word-dropout", type=float, metavar="P", help="share of words hidden")
    parser.add_argument(
        "--label-smoothing",
        type=float,
        metavar="P",
        help="share of probability spread over all words (default: 0.1)",
    )
    parser.add_argument(
        "--weight-decay",
        type=float,
        metavar="R",
        help="as a share of the learning rate (default: 0.01)",
    )


def add_self_critical(verb: argparse.ArgumentParser) -> None:
    """What a model goes on to learn from rewards for whole captions."""
    parser = verb.add_argument_group("self-critical training; needs --start")
    parser.add_argument(
        "--self-critical",
        action="store_true",
        default=None,
        help="reward whole captions by CIDEr-D, instead of learning people's word by word",
    )
    parser.add_argument(
        "--samples", type=positive, metavar="N", help="captions drawn of an image (default: 5)"
    )
    parser.add_argument(
        "--temperature",
        type=float,
        metavar="T",
        help="below 1 the start model is made surer of its words first (default: 0.6)",
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


def _run(parsed: argparse.Namespace, _: list[str]) -> None:
    if bool(parsed.features) == bool(parsed.images) or bool(parsed.images) != bool(parsed.captions):
        raise UserError("give --features; or, to train the encoder too, --images and --captions")
    make_absolute(parsed, "features", "output", "start", "images", "captions")
    with importing():
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
