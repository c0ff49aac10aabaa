"""Objects in Amazon S3 and what speaks its protocol (``s3://``)."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from boto3.exceptions import Boto3Error
from botocore import exceptions
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from captioner.errors import UserError
from captioner.storage import buckets, streaming
from captioner.storage.entry import Entry

_MISSING = {"404", "NoSuchKey", "NotFound"}
_NOT_ACCEPTED = {
    "401",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}
_REFUSED = {"403", "AccessDenied", "AllAccessDisabled"}
# 409, another conditional write to the same key is under way, is an error: it may yet fail.
_ALREADY_THERE = {"412", "PreconditionFailed"}
_BEHIND_THE_END = {"416", "InvalidRange"}

# Jobs read in more threads than the ten connections that are kept by default.
_CONFIG = Config(max_pool_connections=64)

_LOG_IN = "run `aws configure` or `aws sso login`, or set AWS_ACCESS_KEY_ID and its secret"
# What ends in there being no credentials.
_WITHOUT_CREDENTIALS = (
    exceptions.CredentialRetrievalError,
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.SSOError,
    exceptions.TokenRetrievalError,
)


def _range(limit: int | None, start: int) -> str:
    return f"bytes={start}-{'' if limit is None else start + limit - 1}"


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _as_os_error(error: ClientError, uri: str) -> OSError:
    code = _code(error)
    if code == "NoSuchBucket":
        return buckets.no_such_bucket(uri)
    if code in _MISSING:
        return FileNotFoundError(errno.ENOENT, "not there", uri)
    if code in _NOT_ACCEPTED:
        message = f"the credentials are not accepted ({error}): {_LOG_IN}"
        return PermissionError(errno.EACCES, message, uri)
    if code in _REFUSED:
        bucket = f"s3://{buckets.split(uri)[0]}"
        message = f"refused ({error}): give these credentials access to {bucket}"
        return PermissionError(errno.EACCES, message, uri)
    return OSError(errno.EIO, str(error), uri)


@contextlib.contextmanager
def _as_os_errors(uri: str) -> Iterator[None]:
    """The client's errors as those that `captioner.storage` promises."""
    try:
        yield
    except ClientError as error:
        raise _as_os_error(error, uri) from error
    except _WITHOUT_CREDENTIALS as error:
        raise UserError(f"no AWS credentials were found ({error}): {_LOG_IN}") from error
    except (BotoCoreError, Boto3Error) as error:
        raise OSError(errno.EIO, str(error), uri) from error


class AmazonStore:
    """The `Store` of ``s3://`` URIs."""

    def __init__(self) -> None:
        try:
            self._session = botocore.session.get_session()
            # Amazon's other clients, TensorFlow's among them, go by this variable, boto3 doesn't.
            region = self._session.get_config_variable("region") or os.environ.get("AWS_REGION")
            client = boto3.Session(botocore_session=self._session).client
            self._client = client("s3", region_name=region, config=_CONFIG)
        except (BotoCoreError, ValueError) as error:
            raise UserError(f"the settings for AWS can't be used: {error}") from error

    def level(self, uri: str) -> Iterator[Entry | str]:
        """See `Store.level`."""
        bucket, prefix = buckets.below(uri)
        for page in self._pages(uri, Bucket=bucket, Prefix=prefix, Delimiter="/"):
            yield from _entries(bucket, page)
            for found in page.get("CommonPrefixes", []):
                yield buckets.directory(f"s3://{bucket}", found["Prefix"])

    def walk(self, uri: str) -> Iterator[Entry]:
        """See `Store.walk`."""
        bucket, prefix = buckets.below(uri)
        for page in self._pages(uri, Bucket=bucket, Prefix=prefix):
            yield from _entries(bucket, page)

    def entry(self, uri: str) -> Entry | None:
        """See `Store.entry`."""
        bucket, key = buckets.split(uri)
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
        bucket, prefix = buckets.below(uri)
        with _as_os_errors(uri):
            page = self._client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
        return page.get("KeyCount", 0) > 0

    def read_bytes(self, uri: str, limit: int | None = None, start: int = 0) -> bytes:
        """See `Store.read_bytes`."""
        bucket, key = buckets.split(uri)
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
        bucket, key = buckets.split(uri)
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
        bucket, key = buckets.split(uri)
        with _as_os_errors(uri):
            self._client.put_object(Bucket=bucket, Key=key, Body=data)

    def remove(self, uri: str) -> None:
        """See `Store.remove`."""
        bucket, key = buckets.split(uri)
        with _as_os_errors(uri):
            self._client.delete_object(Bucket=bucket, Key=key)

    def local_copy(self, uri: str) -> AbstractContextManager[Path]:
        """See `Store.local_copy`."""
        return buckets.copied(uri, functools.partial(self._download, uri))

    def enter_tensorflow(self) -> bool:
        """See `Store.enter_tensorflow`."""
        client = self._client.meta
        streaming.enter_s3(self._session, client.endpoint_url, client.region_name)
        return True

    def _download(self, uri: str, path: str) -> None:
        bucket, key = buckets.split(uri)
        with _as_os_errors(uri):
            self._client.download_file(bucket, key, path)

    def _pages(self, uri: str, **arguments: Any) -> Iterator[dict[str, Any]]:
        with _as_os_errors(uri):
            yield from self._client.get_paginator("list_objects_v2").paginate(**arguments)


def _entries(bucket: str, page: dict[str, Any]) -> Iterator[Entry]:
    """Names that end with a slash are only there for people, to see a directory."""
    for found in page.get("Contents", []):
        if not found["Key"].endswith("/"):
            yield _entry(f"s3://{bucket}/{found['Key']}", found["Size"], found["ETag"])


def _entry(uri: str, size: int, etag: str) -> Entry:
    checksum = f"{size}:{etag.strip(chr(34))}"
    return Entry(uri, size, checksum, checksum)
