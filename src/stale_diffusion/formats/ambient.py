"""Light for the room from the picture's edges, and water and fog from the scene: what a screening has beside a seat.

Shapes: T samples at RATE, H rows, W columns.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from stale_diffusion import scene
from stale_diffusion.movie import RGB, Movie
from stale_diffusion.scene import Stage

RATE = Fraction(2)  # samples a second
EDGE = 0.15  # of the width, at each side
SMALL = (64, 36)  # pixels that are looked at when the picture has to be read for this alone
SMOOTH = 2  # samples to each side that a light is averaged over: a room must not flicker
Array = NDArray[np.float64]

# Places under the open sky, where haze is fog and the rain is wet
OUTDOORS = ("shore", "forest stream", "campfire", "thunderstorm", "snowfall", "aurora", "meadow", "lighthouse")
FOG = 0.55  # haze from which air is fog


def edges(frame: RGB) -> NDArray[np.uint8]:
    """Mean colour of the left and the right edge, (2, 3), of a picture (H, W, 3)."""
    width = max(1, round(EDGE * frame.shape[1]))
    sides = (frame[:, :width], frame[:, -width:])
    return np.stack([side.reshape(-1, 3).mean(0) for side in sides]).round().astype(np.uint8)


def light(movie: Movie) -> Array:
    """Colour of the left and the right edge, (T, 2, 3) in [0, 1], smoothed over two seconds; T = 0 without a picture.

    Seen while the movie was written, or else read from its picture, which takes a while.
    """
    if movie.edges is None:
        frames: Iterator[RGB] = movie.screen.frames(SMALL, RATE) if movie.screen else iter(())
        movie.edges = np.array([edges(frame) for frame in frames], np.uint8).reshape(-1, 2, 3)
    seen = movie.edges[: round(movie.seconds * RATE)] / 255.0
    if not len(seen):
        return np.zeros((0, 2, 3))
    padded = np.pad(seen, ((SMOOTH, SMOOTH), (0, 0), (0, 0)), "edge")
    weights = np.array([1, *[2] * (2 * SMOOTH - 1), 1]) / (4 * SMOOTH)  # what goes on and off at every sample is steady
    return np.asarray(sum(weights[k] * padded[k : k + len(seen)] for k in range(len(weights))))


def weather(movie: Movie) -> tuple[Array, Array]:
    """Water in the air that wets, and fog, (T,) each in [0, 1]; T = 0 where the scene is not known.

    Rain counts under the open sky; a wave as it breaks close by in the wind; a splash of a stream beside one. A clip
    that was filmed has no scene that anybody knows, only one that the network supposes.
    """
    if movie.scene is None or movie.described().picture not in ("performed", "painted"):
        return np.zeros(0), np.zeros(0)
    stage = Stage(scene.decode(movie.scene))
    t = np.arange(int(min(movie.seconds, stage.end) * RATE)) / float(RATE)
    outside = np.array([stage.segment(time).place in OUTDOORS for time in t.tolist()], bool)
    haze = np.array([stage.static("haze", time) for time in t.tolist()])
    storm = np.array([stage.segment(time).place == "thunderstorm" for time in t.tolist()], bool)
    water = stage.values("rain", t) * storm + _splashes(stage, t, "wave", 2.0) * stage.values("wind", t)
    water = np.where(outside, np.clip(water + 0.6 * _splashes(stage, t, "splash", 1.0), 0, 1), 0)
    return water, np.where(outside, np.clip((haze - FOG) / (1 - FOG), 0, 1), 0)


def _splashes(stage: Stage, t: Array, kind: str, seconds: float) -> Array:
    """Events of a kind, each as strong as it is near, for so many seconds."""
    out = np.zeros(len(t))
    for event in stage.events(kind, 0.0, stage.end):
        first, last = np.searchsorted(t, (event.time, event.time + seconds))
        out[first:last] = np.maximum(out[first:last], event.strength * (1 - event.distance))
    return out


# ------------------------------------------------------------------------------------------------------- colours

COLOUR_CS = "urn:mpeg:mpeg-v:01-SI-ColorCS-NS:"  # ISO/IEC 23005-6, A.2.1; players look a colour up by its name
COLOURS = {
    "white": (255, 255, 255), "linen": (250, 240, 230), "peach": (255, 229, 180), "flax": (238, 220, 130),
    "saffron": (244, 196, 48), "yellow": (255, 255, 0), "tangerine": (242, 133, 0), "pumpkin": (255, 117, 24),
    "salmon": (255, 140, 105), "tomato": (255, 99, 71), "scarlet": (255, 36, 0), "red": (255, 0, 0),
    "pink": (255, 192, 203), "rose": (255, 0, 127), "fuchsia": (255, 0, 255), "orchid": (218, 112, 214),
    "violet": (139, 0, 255), "blue": (0, 0, 255), "royal_blue": (65, 105, 225), "dodger_blue": (30, 144, 255),
    "steel_blue": (70, 130, 180), "maya_blue": (115, 194, 251), "sky_blue": (135, 206, 235),
    "lavender_blue": (204, 204, 255), "electric_blue": (125, 249, 255), "turquoise": (48, 213, 200),
    "spring_green": (0, 255, 127), "mint_green": (152, 255, 152), "emerald": (80, 200, 120),
    "lawn_green": (124, 252, 0), "spring_bud": (167, 252, 0),
}  # fmt: skip
_NAMES = tuple(COLOURS)
_FULL = np.array([COLOURS[name] for name in _NAMES], np.float64)
_FULL = _FULL / _FULL.max(axis=1, keepdims=True)  # at full brightness: how bright a light is, its intensity says


def named(colour: Array) -> str:
    """The name in the ColorCS that is nearest in hue and saturation to a colour (3,)."""
    full = colour / max(float(colour.max()), 1e-9)
    return _NAMES[int(((_FULL - full) ** 2).sum(axis=1).argmin())]


def hexadecimal(colour: Array) -> str:
    """#rrggbb at full brightness."""
    hue, saturation, _ = colorsys.rgb_to_hsv(*(float(v) for v in colour))
    return "#" + "".join(f"{round(255 * v):02x}" for v in colorsys.hsv_to_rgb(hue, saturation, 1.0))
