"""`captioner tune`."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import shlex
from importlib import util
from typing import TYPE_CHECKING

from captioner.cli.arguments import (
    add_json,
    add_verb,
    given,
    importing,
    make_absolute,
    positive,
    tell,
)
from captioner.errors import UserError

if TYPE_CHECKING:
    from captioner.training.tuning import Trial, TuningOptions


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command."""
    summary = "Train with different settings, in search of those that give the best captions."
    example = "captioner tune --features features/ --output trials/ --trials 20 --epochs 10"
    parser = add_verb(verbs, "tune", summary, _run, example=example)
    parser.add_argument("--features", required=True, metavar="DIR", help="made by extract")
    parser.add_argument("--output", required=True, metavar="DIR", help="where the models go")
    parser.add_argument("--trials", type=positive, default=20, metavar="N", help="trainings")
    parser.add_argument("--epochs", type=positive, metavar="N", help="of each")
    parser.add_argument(
        "--decoder", choices=("attention", "merge", "transformer"), help="else any of them"
    )
    parser.add_argument("--seed", type=int, metavar="S", help="equal seeds, equal trials")
    add_json(parser)


def _run(parsed: argparse.Namespace, _: list[str]) -> None:
    if not (util.find_spec("keras_tuner") and util.find_spec("sklearn")):
        raise UserError("a search needs KerasTuner: pip install 'captioner[tune]'")
    make_absolute(parsed, "features", "output")
    with importing():
        from captioner.training import tuning

    options = given(parsed, tuning.TuningOptions)
    trials = tuning.tune(parsed.features, parsed.output, options)
    print(_table(trials))
    print(f"the best model is in {trials[0].model}; it was made by:")
    print(_command(parsed.features, trials[0], options))
    tell(parsed, {"trials": [dataclasses.asdict(trial) for trial in trials]})


def _table(trials: list[Trial]) -> str:
    """A line a trial, in columns."""
    names = ["CIDEr-D", "trial", *(name.replace("_", " ") for name in trials[0].settings)]
    rows = [
        [f"{trial.cider_d:.3f}", trial.model.rpartition("/")[2], *map(str, trial.settings.values())]
        for trial in trials
    ]
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    return "\n".join(
        "  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True))
        for row in (names, *rows)
    )


def _command(features: str, trial: Trial, options: TuningOptions) -> str:
    """The command that trains a trial's model."""
    common = {"epochs": options.epochs, "seed": options.seed}
    flags = {"features": features, "output": trial.model, **trial.settings, **common}
    words = ((f"--{name.replace('_', '-')}", str(value)) for name, value in flags.items())
    return shlex.join(["captioner", "train", *itertools.chain(*words)])
