"""Calls that are tried again: stores fail in passing, and a job of hours must not end on that."""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

ATTEMPTS = 8
_FIRST_PAUSE = 0.05  # seconds; doubled each time
_PATIENCE = 60.0  # seconds after which a failure is the last, as clients of clouds retry too

# What the next attempt would meet again.
_FINAL = (
    FileNotFoundError,
    FileExistsError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
)
_FINAL_NUMBERS = {
    errno.EDQUOT,
    errno.EINVAL,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.ENXIO,
    errno.EROFS,
}


def retrying(
    call: Callable[_Arguments, _Result], *arguments: _Arguments.args, **named: _Arguments.kwargs
) -> _Result:
    """The result of a call that is tried again, with growing pauses, while it may still help.

    The pauses are drawn at random below a bound that doubles ("full jitter", Brooker 2015,
    Exponential Backoff and Jitter), so that many workers don't come back at the same moment.

    Raises:
        OSError: that of the last attempt.
    """
    started = time.monotonic()
    for attempt in range(1, ATTEMPTS):
        try:
            return call(*arguments, **named)
        except OSError as error:
            if _is_final(error) or time.monotonic() - started > _PATIENCE:
                raise
        time.sleep(random.uniform(0, _FIRST_PAUSE * 2**attempt))
    return call(*arguments, **named)


def _is_final(error: OSError) -> bool:
    return isinstance(error, _FINAL) or error.errno in _FINAL_NUMBERS
