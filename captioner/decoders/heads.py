"""The heads of multi-head attention: Vaswani et al., "Attention is all you need" (2017), 3.2.2."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from captioner.errors import UserError


def check_heads(units: int, heads: int) -> None:
    """See that `units` can be shared evenly among `heads`.

    Raises:
        UserError: they can't.
    """
    if units % heads:
        raise UserError(f"{units} units can't be shared among {heads} heads of attention")


def split_heads(values: Any, heads: int) -> Any:
    """[batch, length, units] into [batch, length, heads, units / heads]."""
    batch, length, units = ops.shape(values)
    return ops.reshape(values, (batch, length, heads, units // heads))


def mean_weights(query: Any, key: Any) -> Any:
    """How much each query looks at each key, the mean over the heads.

    Args:
        query: [batch, count, heads, size].
        key: [batch, length, heads, size].

    Returns:
        float32 [batch, count, length]; the sum over the last axis is 1.
    """
    products = ops.cast(ops.einsum("bchs,blhs->bhcl", query, key), "float32")
    return ops.mean(ops.softmax(products / math.sqrt(query.shape[-1])), axis=1)
