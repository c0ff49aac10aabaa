"""Why an image has no pixels."""

from __future__ import annotations

import enum


class Reason(enum.StrEnum):
    """Why an image has no pixels."""

    EMPTY = "empty"  # no bytes at all
    NOT_AN_IMAGE = "not_an_image"  # the first bytes are none of a format that is read here
    TRUNCATED = "truncated"  # an image that breaks off
    CORRUPT = "corrupt"  # an image by its first bytes that can't be decoded
    TOO_LARGE = "too_large"  # over a limit, in bytes, in pixels, in memory or in parts
    TIMED_OUT = "timed_out"  # its decoding took too long
    CRASHED = "crashed"  # its decoding ended the process that did it
    MISSING = "missing"  # listed, but gone when it was to be read; also a time behind a film's end
    UNREADABLE = "unreadable"  # the storage failed; it may work the next time

    @property
    def permanent(self) -> bool:
        """Whether trying the same file again can't help."""
        return self not in (Reason.MISSING, Reason.UNREADABLE)


class ImageError(Exception):
    """An image that can't be read: `reason` is for counting, the text for people.

    Args:
        permanent: whether trying the same image again can't help; by default the reason says.
    """

    def __init__(self, reason: Reason, message: str, permanent: bool | None = None) -> None:
        super().__init__(reason, message, permanent)  # all, so that it can be pickled
        self.reason = reason
        self.permanent = reason.permanent if permanent is None else permanent

    def __str__(self) -> str:
        return self.args[1]


class TooHeavy(ImageError):
    """Over a limit of what decoding may cost, which a process of its own may lift."""
