"""`captioner train`."""

from __future__ import annotations

import argparse
import dataclasses

from captioner.cli.arguments import add_verb, given, make_absolute, positive


def add(verbs: argparse._SubParsersAction) -> None:
    parser = add_verb(verbs, "train", "Train a captioner on features.", _run)
    parser.add_argument("--features", required=True, metavar="DIR", help="made by extract")
    parser.add_argument("--output", required=True, metavar="MODEL", help="where the model goes")
    parser.add_argument("--decoder", choices=("attention", "merge"), help="the caption network")
    parser.add_argument("--epochs", type=positive, metavar="N", help="passes over the captions")
    parser.add_argument(
        "--batch-size", type=positive, metavar="N", help="images at once, over all devices"
    )
    parser.add_argument("--learning-rate", type=float, metavar="R", help="at the start")
    parser.add_argument("--units", type=positive, metavar="N", help="width of the network")
    parser.add_argument("--dropout", type=float, metavar="P", help="share of values left out")
    parser.add_argument("--word-dropout", type=float, metavar="P", help="share of words hidden")
    parser.add_argument(
        "--label-smoothing", type=float, metavar="P", help="share of probability spread evenly"
    )
    parser.add_argument("--min-count", type=positive, metavar="N", help="rarer words are left out")
    parser.add_argument("--seed", type=int, metavar="S", help="equal seeds, equal models")
    parser.add_argument(
        "--strategy",
        choices=("auto", "one", "mirrored", "multiworker", "tpu"),
        default="auto",
        help="where: one device, all GPUs here (mirrored) or of several machines (multiworker), or "
        "a TPU; the model is the same",
    )


def _run(parsed: argparse.Namespace, _: list[str]) -> None:
    make_absolute(parsed, "features", "output")
    from captioner import training
    from captioner.training import TrainingOptions

    options = given(parsed, TrainingOptions)
    if parsed.units:
        options = dataclasses.replace(options, settings={"units": parsed.units})
    result = training.train(parsed.features, parsed.output, options, strategy=parsed.strategy)
    if result:  # only the chief of several workers has one
        print(result)
        print(f"the model is in {parsed.output}")
