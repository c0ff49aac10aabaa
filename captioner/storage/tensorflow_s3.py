"""``s3://`` in TensorFlow: tensorflow-io's file system, with the settings that boto3 goes by."""

from __future__ import annotations

import ctypes
import functools
import importlib
import os

import botocore.session

# Where credentials come from that tensorflow-io finds by itself, and renews as they run out.
_RENEWED = {"assume-role-with-web-identity", "container-role", "iam-role"}


@functools.cache
def enter(endpoint: str, region: str) -> None:
    """Have TensorFlow read ``s3://`` URIs.

    Args:
        endpoint, region: those of boto3's client.
    """
    os.environ.update(S3_ENDPOINT=endpoint, AWS_REGION=region)
    os.environ.update(_settings(botocore.session.get_session()))
    importlib.import_module("tensorflow_io")
    _end_before_destructors()


def _settings(session: botocore.session.Session) -> dict[str, str]:
    """What boto3 finds in profiles and files, as variables that tensorflow-io reads."""
    found = {"S3_CA_FILE": session.get_config_variable("ca_bundle")}
    credentials = session.get_credentials()
    if credentials and credentials.method not in _RENEWED:
        fixed = credentials.get_frozen_credentials()
        found["AWS_ACCESS_KEY_ID"] = fixed.access_key
        found["AWS_SECRET_ACCESS_KEY"] = fixed.secret_key
        found["AWS_SESSION_TOKEN"] = fixed.token
    return {name: value for name, value in found.items() if value}


def _end_before_destructors() -> None:
    """End the process, with its status, as soon as Python has ended and written everything.

    What libraries loaded so far would do then is left out: tensorflow-io's aborts the process
    ("pure virtual method called") once it has read from S3. The C library calls what was given to
    `on_exit` in the reverse order, and passes the status.
    """
    library = ctypes.CDLL(None)
    library.on_exit(library._exit, None)
