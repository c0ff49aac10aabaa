"""The training loop: steps, epochs, and which epoch's weights are kept.

It is ours because Keras' `fit` (3.15) learns something else on several replicas than on one: it
clips each replica's gradient before they are added up, averages the replicas' losses however many
words each of them has, and doesn't run at all with several workers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from captioner.decoders import Decoder
from captioner.training.loss import word_losses
from captioner.training.progress import EpochLog

# A TPU compiles a step for each shape of a batch, of which there are few, and not one for all.
_AS_SHAPED = tf.distribute.RunOptions(experimental_enable_dynamic_batch_size=False)


class AdamW(keras.optimizers.AdamW):
    """AdamW of gradients that have been added up over the replicas, so that it clips their sum."""

    def _all_reduce_sum_gradients(self, grads_and_vars: list[Any]) -> list[Any]:
        return grads_and_vars


class Fitter:
    """Trains a decoder on all replicas.

    Args:
        decoder: made in the scope of `strategy`.
        optimizer: its settings; made in that scope, too.
        label_smoothing: see `word_losses`.
        strategy: of the replicas.
    """

    def __init__(
        self,
        decoder: Decoder,
        optimizer: AdamW,
        label_smoothing: float,
        strategy: tf.distribute.Strategy,
    ) -> None:
        self.decoder = decoder
        self._optimizer = optimizer
        self._label_smoothing = label_smoothing
        self._strategy = strategy
        with strategy.scope():
            optimizer.build(decoder.trainable_variables)
        strategy.run(tf.function(self._draw_apart))

    def fit(
        self, training: Any, development: Any | None, epochs: int, patience: int, log: EpochLog
    ) -> None:
        """Train; the decoder ends with the weights of the best epoch.

        Args:
            training, development: as of `Distribution.batches`.
            epochs: passes over `training`, at most.
            patience: how many epochs without a better loss end it; 0 for never.
            log: told of each step and epoch.
        """
        train = self._pass(self.train_step, training, log.step)
        measure = development and self._pass(self.measure_step, development)
        for epoch in range(1, epochs + 1):
            log.begin()
            log.end(train(), measure and measure())
            if log.best_epoch == epoch:
                best = self.decoder.get_weights()
            elif patience and epoch - log.best_epoch >= patience:
                break
        self.decoder.set_weights(best)

    def train_step(self, *batch: Any) -> tf.Tensor:
        """Learn from a replica's part of a batch; the loss of the whole batch."""
        with tf.GradientTape() as tape:
            loss = self._loss(*batch, training=True)
        variables = self.decoder.trainable_variables
        gradients = [tf.convert_to_tensor(found) for found in tape.gradient(loss, variables)]
        *gradients, loss = _everywhere([*gradients, loss])
        self._optimizer.apply(gradients, variables)
        return loss

    def measure_step(self, *batch: Any) -> tf.Tensor:
        """The loss of the whole batch, from a replica's part of it."""
        return _everywhere([self._loss(*batch, training=False)])[0]

    def _draw_apart(self) -> None:
        """Give each replica a dropout of its own; the first keeps that of a single device."""
        weights = {id(weight) for weight in self.decoder.weights}
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        for seed in self.decoder.variables:
            if id(seed) not in weights:
                seed.assign(seed + tf.stack([tf.cast(replica, seed.dtype), 0]))

    def _loss(
        self, inputs: Any, following: Any, weights: Any, totals: Any, training: bool
    ) -> tf.Tensor:
        """What a part of a batch adds to its mean over words: all parts' sum is the mean."""
        logits = self.decoder(inputs, training=training)
        losses = word_losses(following, logits, self._label_smoothing)
        return tf.math.divide_no_nan(tf.reduce_sum(losses * weights), totals["words"])

    def _pass(
        self,
        step: Callable[..., tf.Tensor],
        batches: Any,
        after_step: Callable[[], None] = lambda: None,
    ) -> Callable[[], float]:
        """A pass over batches: it returns their losses' mean, weighted by their images."""

        @tf.function(input_signature=[batches.element_spec])
        def on_replicas(batch: Any) -> tuple[Any, Any]:
            return self._strategy.run(step, batch, options=_AS_SHAPED), batch[-1]["images"]

        def run() -> float:
            results = []
            for batch in batches:
                local = map(self._strategy.experimental_local_results, on_replicas(batch))
                results.append([values[0] for values in local])
                after_step()
            losses, images = np.array([[float(value) for value in pair] for pair in results]).T
            return float(np.average(losses, weights=images))

        return run


def _everywhere(values: list[tf.Tensor]) -> list[tf.Tensor]:
    """Their sums over all replicas."""
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)
