"""What is loaded once, and what is kept of it: by the process, or by a session and with its end."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence

import streamlit as st

from captioner import corpora, shards
from captioner.app import pictures
from captioner.app.run import Entry, Run
from captioner.errors import UserError
from captioner.images import ImageError
from captioner.model import Caption, Captioner
from captioner.reporting.thumbnails import SIDE, data_uri, thumbnails, unsquashed
from captioner.search import SearchOptions
from captioner.search.attention import AttentionMaps
from captioner.similarity import WORDS, Image, Similar

# Sessions are threads, and the networks are one each.
_CAPTIONING = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a model says of an image.

    Attributes:
        picture, small: `data:` URIs.
        width, height: pixels, upright.
        caption: with its candidates.
        words: of the caption.
        maps: where the model looked for each of them, `data:` URIs; none where it can't tell.
    """

    picture: str
    small: str
    width: int
    height: int
    caption: Caption
    words: list[str]
    maps: list[str]


@st.cache_resource(show_spinner="Loading the model …")
def captioner(models: tuple[str, ...]) -> Captioner:
    """The model of some directories."""
    # For an image at a time another engine isn't worth compiling the network for.
    return Captioner.load(*models, batch_size=1, engine="tensorflow")


def run(output: str) -> Run:
    """The run in a directory, read again once another has come to its end there."""
    return _run(output, _latest(output))


def similar(output: str) -> Similar:
    """The captions of a run, to be asked which are alike; made again likewise."""
    return _similar(output, _latest(output))


# A page asks at each click, and a bucket takes its time.
@st.cache_data(ttl=10, max_entries=1, show_spinner=False)
def _latest(output: str) -> str | None:
    return shards.latest_manifest(output)


@st.cache_resource(max_entries=1, show_spinner="Reading the run …")
def _run(output: str, latest: str | None) -> Run:
    return Run(output)


@st.cache_resource(max_entries=1, show_spinner="Comparing the run's captions …")
def _similar(output: str, latest: str | None) -> Similar:
    return Similar.of(output, WORDS)


def without_attention(captioner: Captioner) -> str:
    """Why a model can't tell where it looks; empty where it can."""
    try:
        AttentionMaps(captioner.decoder)
    except UserError as error:
        return str(error)
    return ""


@st.cache_resource(max_entries=8, show_spinner=False)
def searching(_captioner: Captioner, search: SearchOptions) -> Captioner:
    """The model with another search."""
    return _captioner.searching(search)


@st.cache_data(scope="session", max_entries=64, show_spinner=False)
def look(source: str | bytes, fingerprint: str, _captioner: Captioner) -> Seen | ImageError:
    """What a model says of an image, or why it can't be looked at.

    Args:
        source: the bytes of a file, or the URI in a record.
        fingerprint: of the model and its search.
    """
    try:
        size = _captioner.description.encoder.image_size
        shown, asked = pictures.decode(source, pictures.SIDE, size)
    except ImageError as error:
        return error
    with _CAPTIONING:
        (caption,) = _captioner.caption_pixels(asked.pixels[None])
    picture = unsquashed(shown)
    maps = pictures.maps(picture, caption.attention or ())
    small = picture.copy()
    small.thumbnail((SIDE, SIDE))
    uris = map(data_uri, (picture, small))
    words = corpora.words(caption.text, _captioner.language)
    return Seen(*uris, shown.width, shown.height, caption, words, maps)


@st.cache_data(max_entries=100, show_spinner=False)
def small_pictures(images: Sequence[Entry | Image]) -> dict[str, str]:
    """Of the images of a page of a run, by id."""
    return thumbnails({image.id: image.uri for image in images})
