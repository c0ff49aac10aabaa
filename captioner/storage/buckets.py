"""What the stores of buckets have in common: URIs, errors, and copies of their files."""

from __future__ import annotations

import contextlib
import errno
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from captioner.storage.retrying import retrying

# Narrower than what Amazon once allowed, wider than what either store allows today.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")


def split(uri: str) -> tuple[str, str]:
    """The bucket of a URI, and the name in it.

    Raises:
        OSError: no bucket can be called that.
    """
    bucket, _, name = uri.partition("://")[2].partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise OSError(errno.ENXIO, f"'{bucket}' can't be the name of a bucket", uri)
    return bucket, name


def below(uri: str) -> tuple[str, str]:
    """The bucket of a directory's URI, and what the names of all that is below it begin with."""
    bucket, name = split(uri)
    return bucket, name if not name or name.endswith("/") else f"{name}/"


def directory(bucket_uri: str, prefix: str) -> str:
    """The URI of the directory whose names begin with `prefix`: the inverse of `below`.

    Its last slash is left out, but where another is before it: a part of a name may be empty.
    """
    name = prefix.removesuffix("/")
    return f"{bucket_uri}/{name if name and not name.endswith('/') else prefix}"


def no_such_bucket(uri: str) -> OSError:
    """The error for a bucket that isn't there. A number of its own, as no file is missing."""
    scheme, _, rest = uri.partition("://")
    bucket = rest.partition("/")[0]
    return OSError(
        errno.ENXIO,
        "there is no such bucket: check its name, or make it first",
        f"{scheme}://{bucket}",
    )


@contextlib.contextmanager
def copied(uri: str, download: Callable[[str], None]) -> Iterator[Path]:
    """The file that `download` puts at a local path, for the length of a `with` block."""
    with tempfile.TemporaryDirectory(prefix="captioner-") as place:
        copy = Path(place) / (Path(uri).name or "copy")
        retrying(download, str(copy))
        yield copy
