"""`captioner app`."""

from __future__ import annotations

import argparse
import os
import sys

from captioner.cli.arguments import add_verb, importing, make_absolute, positive
from captioner.cli.caption import add_model


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command."""
    summary = "Serve a page to caption images on, and to leaf through a run."
    example = "captioner app --model model/ --captions captions/"
    parser = add_verb(verbs, "app", summary, _run, example=example)
    add_model(parser)
    parser.add_argument("--captions", metavar="OUT", help="a run to leaf through, made by caption")
    parser.add_argument(
        "--address", default="127.0.0.1", help="where to listen; by default to this machine alone"
    )
    parser.add_argument("--port", type=positive, default=8501, help="where to listen")


def _run(parsed: argparse.Namespace, _: list[str]) -> None:
    make_absolute(parsed, "captions")
    from captioner import app, captions
    from captioner.storage import absolute

    models = [*map(absolute, parsed.model)]
    command = app.command(models, parsed.captions, parsed.address, parsed.port)
    if parsed.captions:
        captions.check(parsed.captions)
    with importing():
        from captioner.model import Captioner

    Captioner.load(*models, encoder=False).check_encoder_weights()
    sys.stdout.flush()
    os.execv(command[0], command)  # so that it is Streamlit that gets the signals
