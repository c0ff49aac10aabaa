"""Objects in Google Cloud Storage (``gs://``)."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import requests
from google.api_core import exceptions
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from captioner.errors import UserError
from captioner.storage import buckets
from captioner.storage.entry import Entry

_LOG_IN = "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS"
_ERRORS = (
    exceptions.GoogleAPIError,
    GoogleAuthError,
    requests.RequestException,
    DataCorruption,
    InvalidResponse,
)
# All that an `Entry` needs: a listing is a fifth as long.
_FIELDS = "items(name,size,md5Hash,crc32c),prefixes,nextPageToken"


def _as_os_error(error: Exception, uri: str) -> OSError:
    if isinstance(error, exceptions.NotFound):
        return FileNotFoundError(errno.ENOENT, "not there", uri)
    if isinstance(error, exceptions.Unauthorized) or _is_of_credentials(error):
        message = f"the credentials are not accepted ({error}): {_LOG_IN}"
        return PermissionError(errno.EACCES, message, uri)
    if isinstance(error, exceptions.Forbidden):
        bucket = f"gs://{buckets.split(uri)[0]}"
        message = f"refused ({error.message}): give these credentials access to {bucket}"
        return PermissionError(errno.EACCES, message, uri)
    return OSError(errno.EIO, f"{type(error).__name__}: {error}", uri)


def _is_of_credentials(error: Exception) -> bool:
    """Whether it is of the credentials themselves, and not of asking for their tokens."""
    may_pass = isinstance(error, TransportError) or getattr(error, "retryable", False)
    return isinstance(error, GoogleAuthError) and not may_pass


@contextlib.contextmanager
def _as_os_errors(uri: str) -> Iterator[None]:
    """The client's errors as those that `captioner.storage` promises.

    The client has tried again for two minutes, where that may help, before it raises any.
    """
    try:
        yield
    except _ERRORS as error:
        raise _as_os_error(error, uri) from error


@contextlib.contextmanager
def _needing_the_bucket(uri: str) -> Iterator[None]:
    """The same where all that can be missing is the bucket: in listings, and in writing."""
    try:
        with _as_os_errors(uri):
            yield
    except FileNotFoundError as error:
        if isinstance(error.__cause__, exceptions.NotFound):
            raise buckets.no_such_bucket(uri) from error
        raise


class GoogleStore:
    """The `Store` of ``gs://`` URIs.

    An emulator that STORAGE_EMULATOR_HOST names is asked without credentials.
    """

    def __init__(self) -> None:
        try:
            self._client = storage.Client(project=None)  # which only making buckets needs
        except (DefaultCredentialsError, OSError) as error:
            raise UserError(
                f"no Google Cloud credentials were found ({error}): {_LOG_IN}"
            ) from error

    def level(self, uri: str) -> Iterator[Entry | str]:
        """See `Store.level`."""
        bucket, prefix = buckets.below(uri)
        with _needing_the_bucket(uri):
            found = self._client.list_blobs(bucket, prefix=prefix, delimiter="/", fields=_FIELDS)
            yield from _entries(found)
            for name in sorted(found.prefixes):
                yield buckets.directory(f"gs://{bucket}", name)

    def walk(self, uri: str) -> Iterator[Entry]:
        """See `Store.walk`."""
        bucket, prefix = buckets.below(uri)
        with _needing_the_bucket(uri):
            yield from _entries(self._client.list_blobs(bucket, prefix=prefix, fields=_FIELDS))

    def entry(self, uri: str) -> Entry | None:
        """See `Store.entry`."""
        bucket, name = buckets.split(uri)
        if not name or name.endswith("/"):
            return None
        with _as_os_errors(uri):
            blob = self._client.bucket(bucket).get_blob(name)
        return _entry(blob) if blob else None

    def is_directory(self, uri: str) -> bool:
        """See `Store.is_directory`."""
        bucket, prefix = buckets.below(uri)
        with _needing_the_bucket(uri):
            found = self._client.list_blobs(bucket, prefix=prefix, max_results=1, fields=_FIELDS)
            return any(True for _ in found)

    def read_bytes(self, uri: str, limit: int | None = None, start: int = 0) -> bytes:
        """See `Store.read_bytes`."""
        if limit == 0:
            return b""
        end = None if limit is None else start + limit - 1
        with _as_os_errors(uri):
            try:
                return self._blob(uri).download_as_bytes(start=start or None, end=end)
            except exceptions.RequestRangeNotSatisfiable:  # it ends before
                return b""

    def create(self, uri: str, source: bytes | Path) -> bool:
        """See `Store.create`: generation 0 is Google's way to say 'not there yet'."""
        with _needing_the_bucket(uri):
            try:
                if isinstance(source, bytes):
                    self._blob(uri).upload_from_string(source, if_generation_match=0)
                else:
                    self._blob(uri).upload_from_filename(str(source), if_generation_match=0)
            except exceptions.PreconditionFailed:
                return False
        return True

    def replace(self, uri: str, data: bytes) -> None:
        """See `Store.replace`."""
        with _needing_the_bucket(uri):
            self._blob(uri).upload_from_string(data)

    def remove(self, uri: str) -> None:
        """See `Store.remove`."""
        with contextlib.suppress(FileNotFoundError), _as_os_errors(uri):
            self._blob(uri).delete()

    def local_copy(self, uri: str) -> AbstractContextManager[Path]:
        """See `Store.local_copy`."""
        return buckets.copied(uri, functools.partial(self._download, uri))

    def enter_tensorflow(self) -> bool:
        """See `Store.enter_tensorflow`: it knows ``gs://`` by itself, but no emulator."""
        return not os.environ.get("STORAGE_EMULATOR_HOST")

    def _download(self, uri: str, path: str) -> None:
        with _as_os_errors(uri):
            self._blob(uri).download_to_filename(path)

    def _blob(self, uri: str) -> storage.Blob:
        bucket, name = buckets.split(uri)
        return self._client.bucket(bucket).blob(name)


def _entries(found: Iterator[storage.Blob]) -> Iterator[Entry]:
    """Names that end with a slash are only there for people, to see a directory."""
    return (_entry(blob) for blob in found if not blob.name.endswith("/"))


def _entry(blob: storage.Blob) -> Entry:
    checksum = f"{blob.size}:{blob.md5_hash or blob.crc32c}"  # what is composed has no MD5
    return Entry(f"gs://{blob.bucket.name}/{blob.name}", blob.size, checksum, checksum)
