"""Draws a scene: its facts in, a picture out, with everything the facts leave open left to chance.

Coordinates of a thing: its outline lies within the unit circle, x to the right, y down.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from captioner.corpora.scenes.facts import Facts, Thing

Colour = tuple[int, int, int]

# Bright, so that a dark line stands out from every colour alike: what a thing is shows in its
# lines, whatever colour is between them, also one that its kind was never seen in.
PALETTE: dict[str, Colour] = {
    "red": (255, 85, 95),
    "orange": (255, 172, 50),
    "yellow": (255, 248, 120),
    "green": (105, 228, 95),
    "blue": (85, 165, 255),
    "purple": (172, 112, 255),
    "pink": (255, 130, 200),
    "white": (250, 250, 250),
}
# In shorter sides of the picture; two large things with their rims must fit above each other.
RADII = {"large": (0.19, 0.21), "small": (0.135, 0.15)}
LINE = 0.12  # width of the dark lines, in radii of the thing
RIM = 0.12  # width of the pale rim, likewise
SHADE = 0.08  # share of ink in the darker parts
SHORTER_SIDE = (192, 224)  # pixels
LONGER_SIDE = 1.15  # at most, in shorter sides
VARIATION = 10  # levels by which each channel of a thing's colour may differ from the palette's
TILT = math.radians(10)
OVERSAMPLING = 2  # drawn so many times larger, then reduced, for smooth edges

INK: Colour = (34, 34, 48)
PAPER: Colour = (255, 255, 255)


def _ellipse(x: float, y: float, width: float, height: float, tilt: float = 0.0) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    points = np.stack([width * np.cos(angle), height * np.sin(angle)], axis=1)
    return points @ _rotation(tilt) + (x, y)


def _arc(x: float, y: float, radius: float, start: float, stop: float) -> np.ndarray:
    """Points of a circle from one angle to another, in degrees clockwise from the right."""
    angle = np.radians(np.linspace(start, stop, 24))
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)


def _rotation(angle: float) -> np.ndarray:
    return np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])


def _star() -> np.ndarray:
    angle = np.arange(10) * np.pi / 5 - np.pi / 2
    radius = np.where(np.arange(10) % 2, 0.42, 1.0)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _heart() -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    x = 16 * np.sin(angle) ** 3
    y = 13 * np.cos(angle) - 5 * np.cos(2 * angle) - 2 * np.cos(3 * angle) - np.cos(4 * angle)
    return np.stack([x, -y - 2.5], axis=1) / 17


def _canopy() -> np.ndarray:
    """An umbrella's top: half a disc with three scallops cut out of its straight edge."""
    scallops = [_arc(x, 0.05, 0.32, 0, -180) for x in (0.64, 0.0, -0.64)]
    return np.concatenate([_arc(0, 0.05, 0.96, 180, 360), *scallops])


# What each kind is made of, from back to front: outline, and the paint that fills it. "fill" is
# the thing's colour, "shade" a darker one.
THINGS: dict[str, tuple[tuple[np.ndarray, str], ...]] = {
    "boat": (
        (np.array([(-0.02, -0.95), (0.02, -0.95), (0.02, 0.4), (-0.02, 0.4)]), "ink"),
        (np.array([(0.12, -0.85), (0.8, 0.25), (0.12, 0.25)]), "shade"),
        (np.array([(-0.12, -0.7), (-0.12, 0.25), (-0.65, 0.25)]), "fill"),
        (np.array([(-0.95, 0.38), (0.95, 0.38), (0.6, 0.85), (-0.6, 0.85)]), "fill"),
    ),
    "butterfly": (
        (_ellipse(-0.5, -0.35, 0.5, 0.4, 0.6), "fill"),
        (_ellipse(0.5, -0.35, 0.5, 0.4, -0.6), "fill"),
        (_ellipse(-0.4, 0.42, 0.38, 0.3, -0.7), "shade"),
        (_ellipse(0.4, 0.42, 0.38, 0.3, 0.7), "shade"),
        (_ellipse(-0.55, -0.4, 0.15, 0.15), "paper"),
        (_ellipse(0.55, -0.4, 0.15, 0.15), "paper"),
        (_ellipse(0, 0, 0.1, 0.7), "ink"),
    ),
    "car": (
        (np.array([(-0.5, -0.1), (-0.35, -0.6), (0.3, -0.6), (0.55, -0.1)]), "shade"),
        (np.array([(-0.95, -0.1), (0.95, -0.1), (0.95, 0.4), (-0.95, 0.4)]), "fill"),
        (np.array([(-0.3, -0.15), (-0.22, -0.45), (0.2, -0.45), (0.32, -0.15)]), "paper"),
        (_ellipse(-0.5, 0.45, 0.26, 0.26), "ink"),
        (_ellipse(0.5, 0.45, 0.26, 0.26), "ink"),
        (_ellipse(-0.5, 0.45, 0.1, 0.1), "paper"),
        (_ellipse(0.5, 0.45, 0.1, 0.1), "paper"),
    ),
    "fish": (
        (np.array([(0.4, 0.0), (0.98, -0.5), (0.85, 0.0), (0.98, 0.5)]), "shade"),
        (_ellipse(-0.2, 0, 0.76, 0.5), "fill"),
        (np.array([(-0.1, -0.05), (0.25, 0.12), (-0.1, 0.25)]), "shade"),
        (_ellipse(-0.6, -0.12, 0.13, 0.13), "paper"),
        (_ellipse(-0.62, -0.12, 0.02, 0.02), "ink"),
    ),
    "heart": ((_heart(), "fill"),),
    "house": (
        (np.array([(0.35, -0.8), (0.55, -0.8), (0.55, -0.2), (0.35, -0.2)]), "shade"),
        (np.array([(-0.65, -0.1), (0.65, -0.1), (0.65, 0.8), (-0.65, 0.8)]), "fill"),
        (np.array([(-0.9, -0.08), (0.0, -0.9), (0.9, -0.08)]), "shade"),
        (np.array([(-0.45, 0.25), (-0.1, 0.25), (-0.1, 0.8), (-0.45, 0.8)]), "ink"),
        (np.array([(0.12, 0.2), (0.45, 0.2), (0.45, 0.5), (0.12, 0.5)]), "paper"),
    ),
    "star": ((_star(), "fill"),),
    "umbrella": (
        (np.array([(-0.03, -0.98), (0.03, -0.98), (0.03, 0.7), (-0.03, 0.7)]), "ink"),
        (np.concatenate([_arc(0.2, 0.68, 0.25, 180, 0), _arc(0.2, 0.68, 0.13, 0, 180)]), "ink"),
        (_canopy(), "fill"),
    ),
}


def draw_scene(facts: Facts, generator: np.random.Generator) -> Image.Image:
    """Draws a scene as an RGB picture; its size, places, tilts and shades are drawn by chance.

    The relation is plain: the things overlap neither in the direction it names nor stand further
    apart across it than half as far as along it.
    """
    side = int(generator.integers(*SHORTER_SIDE, endpoint=True))
    longer = int(side * generator.uniform(1.0, LONGER_SIDE))
    width, height = generator.permutation([side, longer])
    picture = Image.new("RGB", (width * OVERSAMPLING, height * OVERSAMPLING))
    BACKDROPS[facts.background](picture, generator)
    scale = side * OVERSAMPLING
    radii = [generator.uniform(*RADII[thing.size]) for thing in (facts.first, facts.second)]
    extent = np.array([width, height]) / side
    for thing, radius, place in zip(
        (facts.first, facts.second), radii, _places(facts, radii, extent, generator), strict=True
    ):
        _draw_thing(picture, thing, radius * scale, place * scale, generator)
    return picture.reduce(OVERSAMPLING)


def _places(
    facts: Facts, radii: list[float], extent: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Where the two things' middles are, float64 [2, 2] as (x, y) in shorter sides."""
    along = 0 if facts.relation == "left of" else 1
    reach = np.array(radii)[:, None] * (1 + RIM)
    while True:
        places = generator.uniform(reach, extent - reach)
        distance = places[1] - places[0]
        if distance[along] >= reach.sum() and abs(distance[1 - along]) <= distance[along] / 2:
            return places


def _draw_thing(
    picture: Image.Image,
    thing: Thing,
    radius: float,
    place: np.ndarray,
    generator: np.random.Generator,
) -> None:
    """Draws a thing like a sticker: a pale rim around it, dark lines around its parts."""
    fill = _vary(PALETTE[thing.colour], VARIATION, generator)
    paints = {"fill": fill, "shade": _mix(fill, INK, SHADE), "ink": INK, "paper": PAPER}
    turn = _rotation(generator.uniform(-TILT, TILT)) * radius
    if generator.random() < 0.5:
        turn = np.diag([-1.0, 1.0]) @ turn  # faces the other way
    parts = [
        ([tuple(point) for point in outline @ turn + place], paint)
        for outline, paint in THINGS[thing.kind]
    ]
    canvas = ImageDraw.Draw(picture)
    for points, _ in parts:
        canvas.line([*points, *points[:2]], PAPER, round(2 * radius * RIM), joint="curve")
    for points, paint in parts:
        canvas.polygon(points, paints[paint])
        if paint != "paper":
            canvas.line([*points, *points[:2]], INK, round(radius * LINE), joint="curve")


def _vary(colour: Colour, most: int, generator: np.random.Generator) -> Colour:
    """A colour up to `most` levels away in each channel."""
    varied = np.array(colour) + generator.integers(-most, most, 3, endpoint=True)
    return tuple(np.clip(varied, 0, 255).tolist())


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    """The colour that lies `share` of the way from one to another."""
    mixed = np.array(one) * (1 - share) + np.array(other) * share
    return tuple(np.round(mixed).astype(int).tolist())


def _sky(picture: Image.Image, top: Colour, bottom: Colour) -> None:
    """Fills a picture from its top to its bottom with one colour passing into another."""
    rows = np.array([top, bottom], np.uint8)[:, None, :]
    picture.paste(Image.fromarray(rows).resize(picture.size, Image.Resampling.BILINEAR))


def _ground(
    picture: Image.Image,
    horizon: float,
    swell: float,
    colour: Colour,
    generator: np.random.Generator,
) -> None:
    """Fills the part below a wavy horizon; heights are shares of the picture's, from the top."""
    width, height = picture.size
    x = np.linspace(0, width, 40)
    waves = np.sin(x / width * generator.uniform(4, 9) + generator.uniform(0, 6))
    y = height * (horizon + swell * waves)
    ImageDraw.Draw(picture).polygon([(0, height), *zip(x, y, strict=True), (width, height)], colour)


def _dots(
    picture: Image.Image,
    count: int,
    top: float,
    bottom: float,
    colour: Colour,
    generator: np.random.Generator,
) -> None:
    """Scatters little discs between two heights, shares of the picture's from the top."""
    canvas, (width, height) = ImageDraw.Draw(picture), picture.size
    for _ in range(count):
        x, y = generator.uniform((0, top * height), (width, bottom * height))
        radius = generator.uniform(1, 3)
        canvas.ellipse((x - radius, y - radius, x + radius, y + radius), colour)


def _beach(picture: Image.Image, generator: np.random.Generator) -> None:
    horizon = generator.uniform(0.3, 0.4)
    _sky(picture, (176, 222, 244), (226, 242, 248))
    _ground(picture, horizon, 0.0, (112, 186, 204), generator)
    _ground(picture, horizon + 0.2, 0.02, (236, 214, 168), generator)
    _dots(picture, 25, 0.7, 1.0, (206, 180, 130), generator)


def _meadow(picture: Image.Image, generator: np.random.Generator) -> None:
    horizon = generator.uniform(0.35, 0.5)
    _sky(picture, (190, 226, 246), (236, 246, 250))
    _ground(picture, horizon, 0.06, (184, 216, 150), generator)
    _ground(picture, horizon + 0.2, 0.05, (150, 196, 118), generator)
    _dots(picture, 30, 0.75, 1.0, (250, 250, 240), generator)


def _night(picture: Image.Image, generator: np.random.Generator) -> None:
    _sky(picture, (14, 18, 52), (44, 52, 104))
    _dots(picture, 40, 0.0, 0.75, (236, 236, 214), generator)
    _ground(picture, generator.uniform(0.75, 0.85), 0.03, (10, 14, 34), generator)


def _snow(picture: Image.Image, generator: np.random.Generator) -> None:
    horizon = generator.uniform(0.4, 0.55)
    _sky(picture, (150, 164, 184), (206, 214, 224))
    _ground(picture, horizon, 0.05, (226, 232, 240), generator)
    _ground(picture, horizon + 0.2, 0.04, (246, 249, 253), generator)
    _dots(picture, 60, 0.0, 1.0, (255, 255, 255), generator)


def _sunset(picture: Image.Image, generator: np.random.Generator) -> None:
    horizon = generator.uniform(0.65, 0.75)
    _sky(picture, (120, 84, 128), (255, 190, 140))
    _ground(picture, horizon, 0.04, (112, 78, 104), generator)
    _ground(picture, horizon + 0.14, 0.03, (82, 58, 86), generator)


BACKDROPS: dict[str, Callable[[Image.Image, np.random.Generator], None]] = {
    "beach": _beach,
    "meadow": _meadow,
    "night": _night,
    "snow": _snow,
    "sunset": _sunset,
}
