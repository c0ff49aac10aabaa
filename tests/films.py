"""Films for the tests: scenes of one colour each, made with PyAV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from PIL import Image

RED, GREEN, BLUE, GREY = (230, 10, 10), (10, 220, 10), (10, 10, 230), (128, 128, 128)
SIZE = (64, 48)
RATE = 10


def write(
    path: Path,
    scenes: Sequence[tuple[tuple[int, int, int], float]],
    codec: str = "mpeg4",
    rotation: int | None = None,
    size: tuple[int, int] = SIZE,
    **container_options: str,
) -> Path:
    """A film of scenes, each a colour and how many seconds it is shown."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = [colour for colour, seconds in scenes for _ in range(round(seconds * RATE))]
    pictures = [Image.new("RGB", size, colour) for colour in colours]
    return write_pictures(path, pictures, range(len(pictures)), codec, rotation, container_options)


def write_pictures(
    path: Path,
    pictures: Sequence[Image.Image],
    times: Sequence[int],
    codec: str = "mpeg4",
    rotation: int | None = None,
    container_options: dict[str, str] | None = None,
    **coder: object,
) -> Path:
    """A film of pictures, each from its time on, in units of 1 / `RATE` seconds.

    Args:
        coder: attributes of FFmpeg's encoder.
    """
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height = pictures[0].size if pictures else SIZE
        stream.pix_fmt = "yuv420p"
        for name, value in {"gop_size": RATE, **coder}.items():
            setattr(stream.codec_context, name, value)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        container.start_encoding()
        for picture, time in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_image(picture)
            frame.pts, frame.time_base = time, stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_with_silence(path: Path, colour: tuple[int, int, int], seconds: float) -> Path:
    """A film of one picture, which ends while there is still something to be heard."""
    with av.open(str(path), "w") as container:
        pictures, sound = container.add_stream("mpeg4", rate=RATE), container.add_stream("aac")
        pictures.width, pictures.height = SIZE
        pictures.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_image(Image.new("RGB", SIZE, colour))
        container.mux([*pictures.encode(frame), *pictures.encode()])
        samples = av.AudioFrame.from_ndarray(
            np.zeros((1, round(seconds * sound.rate)), np.float32), "fltp", "mono"
        )
        samples.rate = sound.rate
        container.mux([*sound.encode(samples), *sound.encode()])
    return path


def of_one_keyframe(path: Path) -> Path:
    """Ten seconds of noise, half a megabyte, that can be decoded from the beginning alone."""
    noise = np.random.default_rng(0)
    pictures = [
        Image.fromarray(noise.integers(0, 255, (48, 64, 3), np.uint8), "RGB")
        for _ in range(10 * RATE)
    ]
    one = {"gop_size": 1000, "bit_rate": 1_000_000, "options": {"sc_threshold": "1000000000"}}
    return write_pictures(path, pictures, range(len(pictures)), **one)


def colour_of(pixels: np.ndarray) -> tuple[int, int, int] | None:
    """Which of the colours pixels are of, all of them; None if they are of none."""
    for colour in (RED, GREEN, BLUE, GREY):
        if np.abs(pixels.astype(int) - colour).max() < 30:
            return colour
    return None
