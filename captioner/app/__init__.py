"""A page in the browser: caption an image with a model, and leaf through a run.

Streamlit runs `page`, a script, again at each interaction; this module says how it is started. The
page shows what strangers wrote: captions, names and messages are put on it by `parts` alone, as
texts that are never markup. What is uploaded stays in memory, and in that of its session.
"""

from __future__ import annotations

import importlib.util
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from captioner.errors import UserError
from captioner.images import LIMITS

_PAGE = Path(__file__).with_name("page.py")
_MEGABYTE = 1_000_000  # to Streamlit's page; to its server some more
_OPTIONS = {
    "server.headless": "true",  # opens no browser by itself, and asks for no address
    "server.fileWatcherType": "none",
    # What is between this and the limit in bytes is refused by name, as in the pipeline.
    "server.maxUploadSize": str(LIMITS.bytes // _MEGABYTE + 1),
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",  # they are in the terminal
    "runner.magicEnabled": "false",
    "theme.primaryColor": "#4c7dc7",
}


def command(models: Sequence[str], captions: str | None, address: str, port: int) -> list[str]:
    """The command that serves the page.

    Args:
        models: directories; several caption together.
        captions: a caption output to leaf through, or None.
        address: of this machine, to listen at.
        port: to listen at.

    Raises:
        UserError: Streamlit is not installed, or nothing can listen there.
    """
    if importlib.util.find_spec("streamlit") is None:
        raise UserError("Streamlit is not here: pip install 'captioner[app]'")
    _check_address(address, port)
    options = {**_OPTIONS, "server.address": address, "server.port": str(port)}
    flags = [f"--{name}={value}" for name, value in options.items()]
    own = [
        *(f"--model={model}" for model in models),
        *([f"--captions={captions}"] * bool(captions)),
    ]
    return [sys.executable, "-m", "streamlit", "run", str(_PAGE), *flags, "--", *own]


def _check_address(address: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        socket.create_server((address, port), family=family).close()
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"{address}, port {port}: {reason}; choose another --port or --address"
        ) from error
    except OverflowError as error:
        raise UserError(f"there is no port {port}: the greatest is 65535") from error
