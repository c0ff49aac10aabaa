"""The loss of a caption."""

from __future__ import annotations

from typing import Any

from keras import ops


def word_losses(tokens: Any, logits: Any, label_smoothing: float) -> Any:
    """The cross-entropy of each word.

    Its gradient, what the model expects less what was wanted, is spelled out: a processor's
    softmax is several times as fast as what backends derive cross-entropies by.

    Args:
        tokens: the true words, int32 [..., length].
        logits: float32 [..., length, vocabulary].
        label_smoothing: the share of the true word's probability that is spread over the whole
            vocabulary (Szegedy et al., "Rethinking the Inception architecture", 2016, section 7).

    Returns:
        float32 [..., length].
    """

    @ops.custom_gradient
    def losses(logits: Any) -> tuple[Any, Any]:
        expected = ops.softmax(logits)
        # The logarithm of the sum of exponentials: the greatest of them is never lost to rounding.
        total = ops.max(logits, axis=-1) - ops.log(ops.max(expected, axis=-1))
        true = ops.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
        named = (1 - label_smoothing) * true + label_smoothing * ops.mean(logits, axis=-1)

        def gradient(*args: Any, upstream: Any = None) -> Any:
            if upstream is None:  # JAX's way, which Keras leaves to us
                (upstream,) = args
            size = logits.shape[-1]
            wanted = ops.one_hot(tokens, size) * (1 - label_smoothing) + label_smoothing / size
            return (expected - wanted) * upstream[..., None]

        return total - named, gradient

    return losses(logits)
