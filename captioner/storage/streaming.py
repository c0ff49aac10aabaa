"""Remote files read by TensorFlow itself: ``gs://`` by its own file system, ``s3://`` by that of
tensorflow-io, with the settings that boto3 goes by.
"""

from __future__ import annotations

import ctypes
import importlib
import os
from typing import TYPE_CHECKING

from captioner.errors import UserError

if TYPE_CHECKING:
    from botocore.session import Session

# Where credentials come from that tensorflow-io finds by itself, and renews as they run out.
_RENEWED = {"assume-role-with-web-identity", "container-role", "iam-role"}


def check(uri: str) -> None:
    """Have TensorFlow read a file's first byte.

    Raises:
        UserError: it can't.
    """
    import tensorflow as tf

    try:
        with tf.io.gfile.GFile(uri, "rb") as file:
            file.read(1)
    except tf.errors.OpError as error:
        raise UserError(
            f"{uri}: TensorFlow can't read it ({error.message}), and there is no room for copies: "
            "set TMPDIR to a disk that has twice as much free as the features take"
        ) from error


def enter_s3(session: Session, endpoint: str, region: str) -> None:
    """Have TensorFlow read ``s3://`` URIs.

    Args:
        session, endpoint, region: those of boto3's client.
    """
    os.environ.update(S3_ENDPOINT=endpoint, AWS_REGION=region)
    os.environ.update(_settings(session))
    importlib.import_module("tensorflow_io")
    _end_before_destructors()


def _settings(session: Session) -> dict[str, str]:
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
