"""The page's views: of an image, and of a run if there is one."""

from __future__ import annotations

import streamlit as st

from captioner.app import browsing, loading, moving, parts, settings
from captioner.app.looking import Viewer
from captioner.app.run import Run
from captioner.errors import UserError
from captioner.model import Captioner
from captioner.search import SearchOptions


def show(models: tuple[str, ...], output: str | None) -> None:
    """All of the page but its heading.

    Args:
        models: directories.
        output: of a caption run.

    Raises:
        UserError: one of them can't be read.
    """
    captioner = loading.captioner(models)
    run = loading.run(output) if output else None
    no_attention = loading.without_attention(captioner)
    viewer = Viewer(_searching(captioner, not no_attention), no_attention, run, output)
    if run:
        _show_both(viewer, run)
    else:
        viewer.show()


def _searching(captioner: Captioner, attention: bool) -> Captioner:
    """The model with the search that was chosen, or its own where no caption could be like that."""
    try:
        return loading.searching(captioner, settings.settings(captioner, attention))
    except UserError as error:
        with st.sidebar:
            parts.problem("The defaults hold instead", str(error))
        return loading.searching(captioner, SearchOptions(attention=attention))


def _show_both(viewer: Viewer, run: Run) -> None:
    caption, leaf = st.tabs([moving.CAPTION, moving.RUN], key=moving.VIEW, on_change="rerun")
    with caption:
        viewer.show(bool(caption.open))
    with leaf:
        if leaf.open:
            browsing.show(run)
