"""What a step of training does to a network, under TensorFlow or JAX, whichever Keras runs on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from captioner.errors import UserError
from captioner.training.distribution import Distribution
from captioner.training.loss import word_losses

__all__ = ["AdamW", "Learner", "create", "mean_loss"]


class AdamW(keras.optimizers.AdamW):
    """AdamW of gradients that have been added up over the replicas, so that it clips their sum."""

    def _all_reduce_sum_gradients(self, grads_and_vars: list[Any]) -> list[Any]:
        return grads_and_vars


class Learner:
    """A network and its optimizer, and all that changes as they learn.

    A batch is a tuple: the network's inputs; the tokens it is to say, int32 [batch, captions,
    length]; the weight of each, float32; and "words", by whose number the sum of the weighted
    losses is divided, and "examples": the batch's totals.

    Args:
        network: from a batch's inputs to the logits of the tokens.
        optimizer: built for its trainable variables.
        label_smoothing: see `word_losses`.
    """

    def __init__(self, network: keras.Model, optimizer: AdamW, label_smoothing: float) -> None:
        self.network = network
        self.optimizer = optimizer
        self.label_smoothing = label_smoothing

    def over(self, batches: Any, learn: bool) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Go through batches, learning from each or not.

        Args:
            batches: as of `Distribution.batches`.
            learn: whether to change the network.

        Yields:
            The loss of each, before the step, and its totals: scalars.
        """
        raise NotImplementedError

    @property
    def variables(self) -> list[keras.Variable]:
        """All that changes: weights, what random numbers come next, and the optimizer's."""
        return [*self.network.variables, *self.optimizer.variables]

    def state(self) -> list[np.ndarray]:
        """The values of `variables`."""
        return [np.array(variable) for variable in self.variables]

    def restore(self, state: list[np.ndarray]) -> None:
        """Go on from an earlier `state`."""
        for variable, value in zip(self.variables, state, strict=True):
            variable.assign(value)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """With the average of the weights, where the optimizer keeps one, in their place."""
        if not self.optimizer.use_ema:
            yield
            return
        weights = self.network.trainable_variables
        latest = [np.array(weight) for weight in weights]
        self.optimizer.finalize_variable_values(weights)
        for weight in weights:
            # JAX gives away the memory of a network that predicts: it must not be the average's.
            weight.assign(np.array(weight))
        yield
        for weight, value in zip(weights, latest, strict=True):
            weight.assign(value)


def create(
    network: keras.Model,
    make_optimizer: Callable[[], AdamW],
    label_smoothing: float,
    devices: Distribution,
) -> Learner:
    """A learner for the backend that Keras runs on.

    Args:
        network: made in the scope of the devices' strategy.
        make_optimizer: called once, in that scope.
        label_smoothing: see `word_losses`.
        devices: those to learn on. Under JAX it can be but one.

    Raises:
        UserError: the backend can't train, or not on these devices.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from captioner.training.learners.tensorflow import TensorFlowLearner

        return TensorFlowLearner(network, make_optimizer, label_smoothing, devices.strategy)
    if backend == "jax" and devices.name == "one":
        from captioner.training.learners.jax import JaxLearner

        return JaxLearner(network, make_optimizer(), label_smoothing)
    raise UserError(
        f"with KERAS_BACKEND={backend} training on '{devices.name}' is not possible; "
        "unset it, or use --strategy one with jax"
    )


def mean_loss(
    following: Any, logits: Any, weights: Any, totals: dict[str, Any], label_smoothing: float
) -> Any:
    """What a part of a batch adds to its mean over words: all parts' sum is the mean."""
    losses = word_losses(following, logits, label_smoothing)
    words = keras.ops.maximum(totals["words"], 1.0)
    return keras.ops.sum(losses * weights) / words
