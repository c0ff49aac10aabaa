"""The loop of a search: captions grow word by word, and images leave as theirs have ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

# How often a batch is halved. Each loop of another size is traced for itself.
_HALVINGS = 2
_SMALLEST = 16  # images: of fewer, half take no less time


def grow(
    advance: Callable[[Any, Any, Any], Any],
    is_open: Callable[[Any], Any],
    memory: Any,
    rows: Any,
    length: int,
    index: Any = 0,
    halvings: int = _HALVINGS,
) -> Any:
    """Give captions one word after another until all have ended.

    A batch would take as long as its longest caption. So once half of the images have ended, the
    other half goes on alone. Its size is known beforehand, as compilers like it.

    Args:
        advance: the rows with a word more, by memory, index and rows.
        is_open: by the rows, which images have a caption that can go on: bool [batch].
        memory: what `advance` reads: tensors, nested, with one or more rows for each image, one
            after another.
        rows: what it changes, likewise.
        length: the most words.
        index: how many there are already.
        halvings: how often the batch may still be halved.

    Returns:
        The rows at the end.
    """
    batch = is_open(rows).shape[0]  # None where it is not known beforehand
    half = batch // 2 if batch and halvings and batch >= _SMALLEST else 0

    def going_on(index: Any, rows: Any) -> Any:
        open_images = ops.sum(ops.cast(is_open(rows), "int32"))
        return ops.logical_and(index < length, open_images > half)

    def step(index: Any, rows: Any) -> tuple[Any, Any]:
        return index + 1, advance(memory, index, rows)

    index, rows = ops.while_loop(going_on, step, (ops.convert_to_tensor(index, "int32"), rows))
    if not half:
        return rows
    order = ops.argsort(ops.cast(ops.logical_not(is_open(rows)), "int32"))
    longer = (_of(values, order[:half], batch) for values in (memory, rows))
    longer = grow(advance, is_open, *longer, length, index, halvings - 1)
    ended = _of(rows, order[half:], batch)
    both = keras.tree.map_structure(lambda *parts: ops.concatenate(parts), longer, ended)
    return _of(both, ops.argsort(order), batch)


def _of(rows: Any, images: Any, batch: int) -> Any:
    """The rows of some images."""

    def take(value: Any) -> Any:
        by_image = ops.reshape(value, (batch, -1, *value.shape[1:]))
        return ops.reshape(ops.take(by_image, images, axis=0), (-1, *value.shape[1:]))

    return keras.tree.map_structure(take, rows)
