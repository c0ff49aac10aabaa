"""Steps under TensorFlow, on one device or many.

The loop is ours because Keras' `fit` (3.15) learns something else on several replicas than on one:
it clips each replica's gradient before they are added up, averages the replicas' losses however
many words each of them has, and doesn't run at all with several workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from captioner.training.learners import AdamW, Learner, mean_loss

# A TPU compiles a step for each shape of a batch, of which there are few, and not one for all.
_AS_SHAPED = tf.distribute.RunOptions(experimental_enable_dynamic_batch_size=False)


class TensorFlowLearner(Learner):
    """Trains a network on all replicas; see `Learner`."""

    def __init__(
        self,
        network: keras.Model,
        make_optimizer: Callable[[], AdamW],
        label_smoothing: float,
        strategy: tf.distribute.Strategy,
    ) -> None:
        with strategy.scope():
            optimizer = make_optimizer()
            optimizer.build(network.trainable_variables)
        super().__init__(network, optimizer, label_smoothing)
        self._strategy = strategy
        self._steps: dict[bool, Callable[..., Any]] = {}
        self._draw_apart()

    def over(self, batches: Any, learn: bool) -> Iterator[tuple[Any, dict[str, Any]]]:
        """See `Learner.over`."""
        if learn not in self._steps:
            self._steps[learn] = self._compiled(batches.element_spec, learn)
        for batch in batches:
            results = self._steps[learn](batch)
            yield tf.nest.map_structure(self._first, results)

    def restore(self, state: list[np.ndarray]) -> None:
        """See `Learner.restore`."""
        super().restore(state)
        self._draw_apart()

    def train_step(self, *batch: Any) -> tf.Tensor:
        """Learn from a replica's part of a batch; the loss of the whole batch."""
        with tf.GradientTape() as tape:
            loss = self._loss(*batch, training=True)
        variables = self.network.trainable_variables
        gradients = [tf.convert_to_tensor(found) for found in tape.gradient(loss, variables)]
        *gradients, loss = _everywhere([*gradients, loss])
        self.optimizer.apply(gradients, variables)
        return loss

    def measure_step(self, *batch: Any) -> tf.Tensor:
        """The loss of the whole batch, from a replica's part of it."""
        return _everywhere([self._loss(*batch, training=False)])[0]

    def _first(self, values: Any) -> Any:
        """Of what each replica here has, the same for all, one."""
        return self._strategy.experimental_local_results(values)[0]

    def _compiled(self, element_spec: Any, learn: bool) -> Callable[..., Any]:
        step = self.train_step if learn else self.measure_step

        @tf.function(input_signature=[element_spec])
        def on_replicas(batch: Any) -> tuple[Any, Any]:
            return self._strategy.run(step, batch, options=_AS_SHAPED), batch[-1]

        return on_replicas

    def _loss(
        self, inputs: Any, following: Any, weights: Any, totals: Any, training: bool
    ) -> tf.Tensor:
        logits = self.network(inputs, training=training)
        return mean_loss(following, logits, weights, totals, self.label_smoothing)

    def _draw_apart(self) -> None:
        """Give each replica a dropout of its own; the first keeps that of a single device."""
        self._strategy.run(tf.function(self._draw_apart_here))

    def _draw_apart_here(self) -> None:
        weights = {id(weight) for weight in self.network.weights}
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        for seed in self.network.variables:
            if id(seed) not in weights:
                seed.assign(seed + tf.stack([tf.cast(replica, seed.dtype), 0]))


def _everywhere(values: list[tf.Tensor]) -> list[tf.Tensor]:
    """Their sums over all replicas."""
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)
