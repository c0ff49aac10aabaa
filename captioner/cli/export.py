"""`captioner export`."""

from __future__ import annotations

import argparse

from captioner import storage
from captioner.cli.arguments import add_verb, given, make_absolute
from captioner.cli.caption import add_model, add_search


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command."""
    summary = "Write a model as a TensorFlow SavedModel: pixels in, captions out, without our code."
    example = "captioner export --model model/ --output saved/"
    parser = add_verb(verbs, "export", summary, _run, example=example)
    add_model(parser)
    parser.add_argument("--output", required=True, metavar="DIR", help="where the SavedModel goes")
    add_search(parser)


def _run(parsed: argparse.Namespace, _: list[str]) -> None:
    make_absolute(parsed, "output")
    import tensorflow as tf

    # Or the graph has the LSTM of GPUs in it, which runs on nothing else.
    tf.config.set_visible_devices([], "GPU")
    from captioner import exporting
    from captioner.model import Captioner
    from captioner.search import SearchOptions

    models = map(storage.absolute, parsed.model)
    captioner = Captioner.load(*models, search=given(parsed, SearchOptions))
    exporting.export(captioner, parsed.output)
    print(f"the SavedModel is in {parsed.output}")
