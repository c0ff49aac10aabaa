"""The page. Streamlit runs this script anew at each interaction: see `captioner.app`."""

from __future__ import annotations

import argparse

import streamlit as st
from starlette.formparsers import MultiPartParser

from captioner.app import parts
from captioner.errors import UserError
from captioner.images import LIMITS


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--captions")
    return parser.parse_args()


# An upload's bytes are never in a file: Starlette would write the larger ones to one without name.
MultiPartParser.spool_max_size = 2 * LIMITS.bytes
st.set_page_config("Captioner", layout="wide")
parts.style()
asked = _arguments()
parts.heading("Captioner", " + ".join(asked.model))
with st.spinner("Starting …"):  # TensorFlow takes some seconds
    from captioner.app import views
try:
    views.show(tuple(asked.model), asked.captions)
except UserError as error:
    parts.problem("This can't be done", str(error))
