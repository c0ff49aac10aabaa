"""Steps under JAX, on one device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import keras

from captioner.training.learners import AdamW, Learner, mean_loss


class JaxLearner(Learner):
    """Trains a network with compiled steps; see `Learner`."""

    def __init__(self, network: keras.Model, optimizer: AdamW, label_smoothing: float) -> None:
        optimizer.build(network.trainable_variables)
        super().__init__(network, optimizer, label_smoothing)
        self._train = jax.jit(self._train_step)
        self._measure = jax.jit(self._measure_step)

    def over(self, batches: Any, learn: bool) -> Iterator[tuple[Any, dict[str, Any]]]:
        """See `Learner.over`."""
        for batch in batches.as_numpy_iterator():
            yield (self._learn(batch) if learn else self._loss_of(batch)), batch[-1]

    def _learn(self, batch: Any) -> Any:
        groups = self._groups()
        loss, values = self._train([_values(group) for group in groups], batch)
        for group, new in zip(groups, values, strict=True):
            for variable, value in zip(group, new, strict=True):
                variable.assign(value)
        return loss

    def _loss_of(self, batch: Any) -> Any:
        trainable, fixed, _ = (_values(group) for group in self._groups())
        return self._measure(trainable, fixed, batch)

    def _groups(self) -> tuple[list[keras.Variable], ...]:
        network = self.network
        return (
            network.trainable_variables,
            network.non_trainable_variables,
            self.optimizer.variables,
        )

    def _train_step(self, values: Any, batch: Any) -> tuple[Any, Any]:
        trainable, fixed, optimizer = values
        compute = jax.value_and_grad(self._loss, has_aux=True)
        (loss, fixed), gradients = compute(trainable, fixed, batch, True)
        trainable, optimizer = self.optimizer.stateless_apply(optimizer, gradients, trainable)
        return loss, (trainable, fixed, optimizer)

    def _measure_step(self, trainable: Any, fixed: Any, batch: Any) -> Any:
        return self._loss(trainable, fixed, batch, False)[0]

    def _loss(self, trainable: Any, fixed: Any, batch: Any, training: bool) -> tuple[Any, Any]:
        """The loss, and what it leaves in the variables that are not trained."""
        inputs, following, weights, totals = batch
        learned, others, _ = self._groups()
        pairs = zip([*learned, *others], [*trainable, *fixed], strict=True)
        with keras.StatelessScope(list(pairs)) as scope:
            logits = self.network(inputs, training=training)
        after = [scope.get_current_value(variable) for variable in others]
        return mean_loss(following, logits, weights, totals, self.label_smoothing), [
            value if new is None else new for value, new in zip(fixed, after, strict=True)
        ]


def _values(variables: list[keras.Variable]) -> list[Any]:
    return [variable.value for variable in variables]
