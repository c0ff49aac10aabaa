"""The page's views: of an image, and of a run if there is one."""

from __future__ import annotations

import streamlit as st

from captioner.app import browsing, loading, moving, settings
from captioner.app.looking import Viewer
from captioner.app.run import Run


def show(models: tuple[str, ...], output: str | None) -> None:
    """All of the page but its heading.

    Args:
        models: directories.
        output: of a caption run.

    Raises:
        UserError: one of them can't be read, or no caption could be as it is asked for.
    """
    captioner = loading.captioner(models)
    run = loading.run(output) if output else None
    no_attention = loading.without_attention(captioner)
    search = settings.settings(captioner, attention=not no_attention)
    viewer = Viewer(loading.searching(captioner, search), no_attention, run)
    if run:
        _show_both(viewer, run)
    else:
        viewer.show()


def _show_both(viewer: Viewer, run: Run) -> None:
    caption, leaf = st.tabs([moving.CAPTION, moving.RUN], key=moving.VIEW, on_change="rerun")
    with caption:
        viewer.show(bool(caption.open))
    with leaf:
        if leaf.open:
            browsing.show(run)
