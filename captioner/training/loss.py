"""The loss of a caption."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class CaptionLoss(keras.losses.Loss):
    """Cross-entropy, averaged over all words whose weight is 1 (padding's is 0).

    Args:
        label_smoothing: the share of the true word's probability that is spread over the whole
            vocabulary (Szegedy et al., "Rethinking the Inception architecture", 2016, section 7).
    """

    def __init__(self, label_smoothing: float) -> None:
        super().__init__(reduction="mean_with_sample_weight")
        self.label_smoothing = label_smoothing

    def call(self, tokens: Any, logits: Any) -> Any:
        """Of each word: from int32 [..., length] and float32 [..., length, vocabulary]."""
        true = ops.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
        smoothed = (1 - self.label_smoothing) * true
        smoothed += self.label_smoothing * ops.mean(logits, axis=-1)
        return ops.logsumexp(logits, axis=-1) - smoothed
