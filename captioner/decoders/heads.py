"""The heads of multi-head attention: Vaswani et al., "Attention is all you need" (2017), 3.2.2."""

from __future__ import annotations

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
