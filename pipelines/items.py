"""One image on its way through EXECUTE, with its pixels or the problem with it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from captioner import images, videos
from captioner.images import DecodedImage, ImageError, Reason
from captioner.tasks import Reference, Task

Found = TypeVar("Found", bytes, DecodedImage, videos.Frame)
Value = TypeVar("Value")


@dataclasses.dataclass
class Problem:
    """Why an image has no result: the stage it failed in, and the parts of a `shards.Failure`."""

    stage: str
    reason: str
    message: str
    permanent: bool


@dataclasses.dataclass
class Item:
    """One image on its way through the fused stage. It never leaves the process.

    Args:
        task: the task it belongs to.
        reference: the image; None makes the item stand for a whole task that is finished already.
        pixels_or_features: what inference takes; None once taken, and where there is a problem.
        content_hash, width, height: of the image; the size is the upright one.
        repeats: whether an image of the task not long before has the same bytes; it ends as that.
        problem: why there is no result.
        result: what inference gave.
        model: name of the loaded model that it went through, see `inference.LoadedWhenNeeded`.
        seconds: spent on the image, by stage.
    """

    task: Task
    reference: Reference | None
    pixels_or_features: np.ndarray | None = None
    content_hash: str = ""
    width: int = 0
    height: int = 0
    repeats: bool = False
    problem: Problem | None = None
    result: object = None
    model: str = ""
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)


def remember(known: dict[str, Value], item: Item, value: Value, most: int) -> None:
    """Keep a value by an image's bytes, so that the next images of these bytes share it.

    Of more than `most` the oldest is forgotten, so that memory stays flat. What is forgotten where
    images are read is so where they are written, as they come there in the same order.
    """
    known[item.content_hash] = value
    if len(known) > most:
        del known[next(iter(known))]


def to_item(task: Task, reference: Reference, decode: Callable[[Item], DecodedImage]) -> Item:
    """An image's pixels, or the problem with it.

    Args:
        decode: gives the pixels, and where it has the file's bytes tells the item their hash; else
            that of the pixels stands for it.
    """
    started = time.perf_counter()
    item = Item(task, reference)
    try:
        decoded = decode(item)
        item.content_hash = item.content_hash or images.content_hash(decoded.pixels.tobytes())
        item.pixels_or_features = decoded.pixels
        item.width, item.height = decoded.width, decoded.height
    except ImageError as error:
        item.problem = Problem("decode", error.reason, str(error), error.permanent)
    except FileNotFoundError as error:
        item.problem = Problem("read", Reason.MISSING, str(error), Reason.MISSING.permanent)
    except Exception as error:  # a store's own errors are many; none may stop the other images
        message = f"{type(error).__name__}: {error}"
        item.problem = Problem("read", Reason.UNREADABLE, message, Reason.UNREADABLE.permanent)
    item.seconds["read"] = time.perf_counter() - started
    return item


def given(found: Found | Exception) -> Found:
    """Bytes, a frame of a film, or a decoded image, as they are.

    Raises:
        Exception: that which is there in their place.
    """
    if isinstance(found, Exception):
        raise found
    return found
