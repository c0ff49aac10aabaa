"""Objects in Amazon S3 and what speaks its protocol (``s3://``)."""

from __future__ import annotations

import contextlib
import errno
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from captioner.errors import UserError
from captioner.storage.entry import Entry

_MISSING = {"404", "NoSuchKey", "NoSuchBucket", "NotFound"}
_REFUSED = {"401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
# 409, another conditional write to the same key is under way, is an error: it may yet fail.
_ALREADY_THERE = {"412", "PreconditionFailed"}

_BEHIND_THE_END = {"416", "InvalidRange"}


def _range(limit: int | None, start: int) -> str:
    return f"bytes={start}-{'' if limit is None else start + limit - 1}"


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _below(uri: str) -> tuple[str, str]:
    bucket, prefix = _split(uri)
    return bucket, prefix.rstrip("/") + "/" if prefix else ""


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextlib.contextmanager
def _as_os_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if _code(error) in _MISSING:
            raise FileNotFoundError(errno.ENOENT, "not there", uri) from error
        if _code(error) in _REFUSED:
            raise PermissionError(errno.EACCES, str(error), uri) from error
        raise OSError(f"{uri}: {error}") from error
    except NoCredentialsError as error:
        raise UserError(
            "no AWS credentials were found: run `aws configure` or set AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY"
        ) from error
    except BotoCoreError as error:
        raise OSError(f"{uri}: {error}") from error


class AmazonStore:
    """The `Store` of ``s3://`` URIs."""

    def __init__(self) -> None:
        self._client = boto3.client("s3")

    def level(self, uri: str) -> Iterator[Entry | str]:
        """See `Store.level`."""
        bucket, prefix = _below(uri)
        for page in self._pages(uri, Bucket=bucket, Prefix=prefix, Delimiter="/"):
            yield from _entries(bucket, page)
            for found in page.get("CommonPrefixes", []):
                yield f"s3://{bucket}/{found['Prefix'].rstrip('/')}"

    def walk(self, uri: str) -> Iterator[Entry]:
        """See `Store.walk`."""
        bucket, prefix = _below(uri)
        for page in self._pages(uri, Bucket=bucket, Prefix=prefix):
            yield from _entries(bucket, page)

    def entry(self, uri: str) -> Entry | None:
        """See `Store.entry`."""
        bucket, key = _split(uri)
        if not key or key.endswith("/"):
            return None
        try:
            with _as_os_errors(uri):
                found = self._client.head_object(Bucket=bucket, Key=key)
        except FileNotFoundError:
            return None
        return _entry(uri, found["ContentLength"], found["ETag"])

    def is_directory(self, uri: str) -> bool:
        """See `Store.is_directory`."""
        bucket, prefix = _below(uri)
        try:
            with _as_os_errors(uri):
                page = self._client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
        except FileNotFoundError:  # the bucket itself
            return False
        return page.get("KeyCount", 0) > 0

    def read_bytes(self, uri: str, limit: int | None = None, start: int = 0) -> bytes:
        """See `Store.read_bytes`."""
        bucket, key = _split(uri)
        if limit == 0:
            return b""
        part = {"Range": _range(limit, start)} if start or limit is not None else {}
        with _as_os_errors(uri):
            try:
                return self._client.get_object(Bucket=bucket, Key=key, **part)["Body"].read()
            except ClientError as error:
                if _code(error) in _BEHIND_THE_END:
                    return b""
                raise

    def create(self, uri: str, source: bytes | Path) -> bool:
        """See `Store.create`: a conditional PUT."""
        bucket, key = _split(uri)
        with _as_os_errors(uri), contextlib.ExitStack() as stack:
            path = isinstance(source, Path)
            body = stack.enter_context(open(source, "rb")) if path else source
            try:
                self._client.put_object(Bucket=bucket, Key=key, Body=body, IfNoneMatch="*")
            except ClientError as error:
                if _code(error) in _ALREADY_THERE:
                    return False
                raise
        return True

    def replace(self, uri: str, data: bytes) -> None:
        """See `Store.replace`."""
        bucket, key = _split(uri)
        with _as_os_errors(uri):
            self._client.put_object(Bucket=bucket, Key=key, Body=data)

    @contextlib.contextmanager
    def local_copy(self, uri: str) -> Iterator[Path]:
        """See `Store.local_copy`."""
        bucket, key = _split(uri)
        with tempfile.TemporaryDirectory(prefix="captioner-") as directory:
            copy = Path(directory) / (Path(uri).name or "copy")
            with _as_os_errors(uri):
                self._client.download_file(bucket, key, str(copy))
            yield copy

    def _pages(self, uri: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        with _as_os_errors(uri):
            yield from self._client.get_paginator("list_objects_v2").paginate(**arguments)


def _entries(bucket: str, page: dict[str, Any]) -> Iterator[Entry]:
    for found in page.get("Contents", []):
        if not found["Key"].endswith("/"):
            yield _entry(f"s3://{bucket}/{found['Key']}", found["Size"], found["ETag"])


def _entry(uri: str, size: int, etag: str) -> Entry:
    checksum = f"{size}:{etag.strip(chr(34))}"
    return Entry(uri, size, checksum, checksum)
