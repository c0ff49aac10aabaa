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
    size = logits.shape[-1]
    # Of what gives the same, TensorFlow is fastest at this on a CPU: by twice and more.
    wanted = ops.one_hot(tokens, size) * (1 - label_smoothing) + label_smoothing / size
    return ops.categorical_crossentropy(wanted, logits, from_logits=True)
