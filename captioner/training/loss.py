"""The loss of a caption."""

from __future__ import annotations

from typing import Any

from keras import ops


def word_losses(tokens: Any, logits: Any, label_smoothing: float) -> Any:
    """The cross-entropy of each word.

    Args:
        tokens: the true words, int32 [..., length].
        logits: float32 [..., length, vocabulary].
        label_smoothing: the share of the true word's probability that is spread over the whole
            vocabulary (Szegedy et al., "Rethinking the Inception architecture", 2016, section 7).

    Returns:
        float32 [..., length].
    """
    true = ops.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
    smoothed = (1 - label_smoothing) * true + label_smoothing * ops.mean(logits, axis=-1)
    return ops.logsumexp(logits, axis=-1) - smoothed
