"""Objects in Google Cloud Storage (``gs://``)."""

from __future__ import annotations

import contextlib
import errno
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.api_core import exceptions
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import storage

from captioner.errors import UserError
from captioner.storage.entry import Entry


def _split(uri: str) -> tuple[str, str]:
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    return bucket, name


def _below(uri: str) -> tuple[str, str]:
    bucket, prefix = _split(uri)
    return bucket, prefix.rstrip("/") + "/" if prefix else ""


@contextlib.contextmanager
def _as_os_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except exceptions.NotFound as error:
        raise FileNotFoundError(errno.ENOENT, "not there", uri) from error
    except (exceptions.Forbidden, exceptions.Unauthorized) as error:
        raise PermissionError(errno.EACCES, error.message, uri) from error
    except exceptions.GoogleAPIError as error:
        raise OSError(f"{uri}: {error}") from error


class GoogleStore:
    """The `Store` of ``gs://`` URIs."""

    def __init__(self) -> None:
        try:
            self._client = storage.Client()
        except (DefaultCredentialsError, OSError) as error:
            raise UserError(
                "no Google Cloud credentials or project were found: "
                "run `gcloud auth application-default login` and set GOOGLE_CLOUD_PROJECT"
            ) from error

    def level(self, uri: str) -> Iterator[Entry | str]:
        """See `Store.level`."""
        bucket, prefix = _below(uri)
        with _as_os_errors(uri):
            found = self._client.list_blobs(bucket, prefix=prefix, delimiter="/")
            yield from (_entry(blob) for blob in found if not blob.name.endswith("/"))
            yield from (f"gs://{bucket}/{name.rstrip('/')}" for name in sorted(found.prefixes))

    def walk(self, uri: str) -> Iterator[Entry]:
        """See `Store.walk`."""
        bucket, prefix = _below(uri)
        with _as_os_errors(uri):
            found = self._client.list_blobs(bucket, prefix=prefix)
            yield from (_entry(blob) for blob in found if not blob.name.endswith("/"))

    def entry(self, uri: str) -> Entry | None:
        """See `Store.entry`."""
        bucket, name = _split(uri)
        if not name or name.endswith("/"):
            return None
        with _as_os_errors(uri):
            blob = self._client.bucket(bucket).get_blob(name)
        return _entry(blob) if blob else None

    def is_directory(self, uri: str) -> bool:
        """See `Store.is_directory`."""
        bucket, prefix = _below(uri)
        try:
            with _as_os_errors(uri):
                found = self._client.list_blobs(bucket, prefix=prefix, max_results=1)
                return any(True for _ in found)
        except FileNotFoundError:  # the bucket itself
            return False

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
        with _as_os_errors(uri):
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
        with _as_os_errors(uri):
            self._blob(uri).upload_from_string(data)

    @contextlib.contextmanager
    def local_copy(self, uri: str) -> Iterator[Path]:
        """See `Store.local_copy`."""
        with tempfile.TemporaryDirectory(prefix="captioner-") as directory:
            copy = Path(directory) / (Path(uri).name or "copy")
            with _as_os_errors(uri):
                self._blob(uri).download_to_filename(str(copy))
            yield copy

    def _blob(self, uri: str) -> storage.Blob:
        bucket, name = _split(uri)
        return self._client.bucket(bucket).blob(name)


def _entry(blob: storage.Blob) -> Entry:
    checksum = f"{blob.size}:{blob.md5_hash or blob.crc32c}"
    return Entry(f"gs://{blob.bucket.name}/{blob.name}", blob.size, checksum, checksum)
