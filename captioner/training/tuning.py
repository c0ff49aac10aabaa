"""A search for the settings of a training that give the best captions.

It is a Bayesian optimisation (Snoek et al., "Practical Bayesian optimization of machine learning
algorithms", 2012), as KerasTuner does it: the first trials are drawn at random; each further one is
where a Gaussian process, fitted to those so far, expects the most.

The directory of a search holds ``trials/<id>``, the model of each trial, and ``search``, what
KerasTuner remembers. With the same directory and settings a search goes on where it was stopped.
Needs the extra ``[tune]``.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from keras_tuner.errors import FatalError
from rich.console import Console

from captioner import decoders, storage, training
from captioner.errors import UserError
from captioner.records import FeatureDataset
from captioner.training.options import TrainingOptions
from captioner.training.progress import Diverged

# Of the trials, at least so many and at least this share are drawn at random.
_DRAWN = 3
_SHARE_DRAWN = 1 / 3

# What all trials of a search have in common; another search has others.
_COMMON = ("data", "epochs", "seed")


@dataclasses.dataclass(frozen=True)
class TuningOptions:
    """How to search.

    Args:
        trials: how many trainings there are at most, those of an earlier run among them.
        epochs: of each.
        decoder: a key of `decoders.DECODERS`; empty to search among all.
        seed: of what is drawn, and of each training.
    """

    trials: int = 20
    epochs: int = TrainingOptions.epochs
    decoder: str = ""
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Trial:
    """A training that came to its end.

    Attributes:
        model: its directory.
        settings: what was chosen for it, by the names of `TrainingOptions`; "units" are the
            decoder's.
        cider_d: of its best epoch.
    """

    model: str
    settings: dict[str, Any]
    cider_d: float


def tune(
    features: str, output: str, options: TuningOptions, console: Console | None = None
) -> list[Trial]:
    """Train again and again, each time with what promises the best captions.

    Args:
        features: directory of a feature dataset, with captions in its development split.
        output: a local directory.
        options: how to search.
        console: where progress is shown.

    Returns:
        The trials, best first.

    Raises:
        UserError: the seed is none; there is nothing to train on or to score; `output` is remote,
            or has another search in it; or all trials diverged.
    """
    TrainingOptions(seed=options.seed)  # which refuses what is none
    if "://" in output:
        raise UserError(f"{output}: a search is kept on this machine; name a local directory")
    dataset = FeatureDataset.load(features)
    if not dataset.counts.get("dev"):
        raise UserError(f"{features}: no development images, whose captions decide; see --splits")
    tuner = _create(features, output, options, _space(dataset, options), console or Console())
    fault = None
    try:
        tuner.search()
    except FatalError as error:
        fault = error.__cause__ or error
    if fault:  # raised in there, it would be its own cause's cause
        raise fault
    if not (tried := tuner.tried()):
        raise UserError("the loss of each trial was no longer a number at some time")
    return tried


def _space(dataset: FeatureDataset, options: TuningOptions) -> keras_tuner.HyperParameters:
    """What to choose from."""
    space = keras_tuner.HyperParameters()
    for name, value in zip(
        _COMMON, (dataset.fingerprint, options.epochs, options.seed), strict=True
    ):
        space.Fixed(name, value)
    if options.decoder:
        space.Fixed("decoder", options.decoder)
    else:
        space.Choice("decoder", list(decoders.DECODERS))
    space.Choice("units", [128, 256, 512, 1024])
    space.Float("dropout", 0.0, 0.6, step=0.05)
    space.Float("word_dropout", 0.0, 0.3, step=0.05)
    space.Float("label_smoothing", 0.0, 0.2, step=0.05)
    space.Float("learning_rate", 1e-4, 1e-2, sampling="log")
    space.Float("weight_decay", 1e-4, 1e-1, sampling="log")
    space.Choice("averaging", [0.0, 0.99, 0.999])
    space.Choice("batch_size", [16, 32, 64, 128])
    return space


class _Tuner(keras_tuner.BayesianOptimization):
    """Whose trials are our trainings."""

    def __init__(
        self,
        features: str,
        output: str,
        options: TuningOptions,
        space: keras_tuner.HyperParameters,
        console: Console,
    ) -> None:
        self._features = features
        self._output = output
        self._common = {"epochs": options.epochs, "seed": options.seed, "keep_by": "cider_d"}
        self._console = console
        super().__init__(
            objective=keras_tuner.Objective("cider_d", "max"),
            max_trials=options.trials,
            num_initial_points=max(_DRAWN, round(_SHARE_DRAWN * options.trials)),
            seed=options.seed + 1,  # 0 would be a random one
            hyperparameters=space,
            max_consecutive_failed_trials=options.trials + 1,  # which is never
            directory=output,
            project_name="search",
        )
        self.oracle.verbose = 0

    def run_trial(self, trial: Any) -> float:
        """Train; the CIDEr-D of the best epoch, or no number if the loss is none."""
        chosen = _chosen(trial)
        line = f"trial {trial.trial_id}: {_in_words(chosen)}"
        self._console.print(line, highlight=False, soft_wrap=True)
        keras.utils.clear_session()
        sizes = {"units": chosen.pop("units")}
        options = TrainingOptions(settings=sizes, **chosen, **self._common)
        model = self._model(trial)
        try:
            result = training.train(self._features, model, options, console=self._console)
        except Diverged as error:
            self._console.print(error, highlight=False)
            return math.nan
        except Exception as error:
            raise FatalError(str(error)) from error  # or it would go on with the next trial
        return result.history[result.best_epoch - 1]["cider_d"]

    def tried(self) -> list[Trial]:
        """The trials that came to their end, best first."""
        ended = [trial for trial in self.oracle.trials.values() if trial.status == "COMPLETED"]
        ended.sort(key=lambda trial: (-trial.score, trial.trial_id))
        return [Trial(self._model(trial), _chosen(trial), trial.score) for trial in ended]

    def _model(self, trial: Any) -> str:
        return storage.join(self._output, "trials", trial.trial_id)


def _create(
    features: str,
    output: str,
    options: TuningOptions,
    space: keras_tuner.HyperParameters,
    console: Console,
) -> _Tuner:
    """The search, as far as it has got in `output`."""
    wanted = space.get_config()["space"]
    search = Path(output, "search")
    search.mkdir(parents=True, exist_ok=True)
    try:
        tuner = _Tuner(features, output, options, space, console)
    except (ValueError, KeyError, RuntimeError) as error:
        raise UserError(
            f"{search}: not as it was written; delete it, and the models beside it are found again"
        ) from error
    if tuner.oracle.get_space().get_config()["space"] != wanted:
        raise UserError(
            f"{output}: a search on other features, or with another decoder, seed or number of "
            "epochs; name another --output"
        )
    return tuner


def _chosen(trial: Any) -> dict[str, Any]:
    """Numbers have few digits, so that a command line shows them as they are."""
    return {
        name: float(f"{value:.3g}") if isinstance(value, float) else value
        for name, value in trial.hyperparameters.values.items()
        if name not in _COMMON
    }


def _in_words(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items())
