"""Light out of doors: the hour, the sun and moon, the sky with its clouds and stars.

Directions are slopes (x, y) of a ray (x, y, 1): x to the right, y up, z ahead; y = 0 is the horizon. A camera turns the
picture plane into slopes, so the sky is the same picture at every size.

Shapes: H rows, W columns; x is (1, W), y is (H, 1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stale_diffusion.dreamscapes.noise import blank, sample, smoothstep, texture, tint
from stale_diffusion.dreamscapes.place import View
from stale_diffusion.scene import Stage

Colour = tuple[float, float, float]


def elevation(hour: float) -> float:
    """Degrees of the sun above the horizon; hour 0 is midnight, 0.25 sunrise, 0.5 noon (58 degrees), 0.75 sunset."""
    return float(-58 * np.cos(2 * np.pi * hour))


def sun_height(hour: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Height of the sun without a season: -1 at midnight, 0 at 6 and 18 h, 1 at noon."""
    return np.asarray(-np.cos(2 * np.pi * np.asarray(hour, float)))


def daylight(hour: float) -> float:
    """How much of the day there is at an hour in [0, 1): 0 at night, 1 by day, between them at dawn and dusk."""
    s = np.clip((-np.cos(2 * np.pi * hour) + 0.12) / 0.6, 0, 1)
    return float(s * s * (3 - 2 * s))


def quarter_of_day(hour: float) -> str:
    """One of night, dawn, day, dusk."""
    sun = float(sun_height(hour))
    return "night" if sun < -0.32 else "day" if sun > 0.3 else "dawn" if hour < 0.5 else "dusk"


def part_of_day(hour: float) -> str:
    """One of night, dawn, morning, noon, afternoon, dusk."""
    hour %= 1
    for end, name in ((0.22, "night"), (0.29, "dawn"), (0.44, "morning"), (0.56, "noon"), (0.70, "afternoon")):
        if hour < end:
            return name
    return "dusk" if hour < 0.78 else "night"


def draw_hour(rng: np.random.Generator) -> float:
    """An hour of a climate in which night, dawn, dusk and day all occur often."""
    ranges = ((-0.2, 0.2), (0.22, 0.29), (0.29, 0.70), (0.70, 0.78))
    low, high = ranges[int(rng.choice(4, p=(0.28, 0.16, 0.36, 0.2)))]
    return float(rng.uniform(low, high) % 1)


def draw_sun(rng: np.random.Generator) -> float:
    """The static `sun`: where the sun or moon stands; more often in the picture (0.5 is straight ahead) than not."""
    return float((0.5 + rng.normal(0, 0.05) if rng.random() < 0.65 else rng.random()) % 1)


def over_time(stage: Stage, name: str, t: NDArray[np.float64]) -> NDArray[np.float64]:
    """A static value at many times, from a grid of quarter seconds of the movie's clock."""
    grid = np.arange(np.floor(t[0] * 4), np.ceil(t[-1] * 4) + 1) / 4
    values = np.array([stage.static(name, float(s)) for s in grid])
    if name in ("hour", "sun"):
        values = np.unwrap(values, period=1.0)
    return np.asarray(np.interp(t, grid, values))


@dataclass(frozen=True)
class Camera:
    """A camera with a shift lens: verticals stay vertical, the horizon is level.

    Args:
        height: metres above the ground.
        focal: focal length; the picture plane is 2 high.
        tilt: v of the horizon.
        turn: slope of the ray through the middle of the picture, to the right.
    """

    height: float
    focal: float
    tilt: float
    turn: float

    @classmethod
    def of(cls, stage: Stage, t: float, heights: tuple[float, float], tilt: float) -> Camera:
        """The camera of a stage's statics: height within `heights`, focal 1.6-3.2, pan, and a slow hand-held drift."""
        height, focal, pan, sway = (stage.static(name, t) for name in ("height", "focal", "pan", "drift"))
        phase = float(stage.rng("camera", t).uniform(0, 6.28))
        slow = np.sin(0.11 * t + phase) + 0.4 * np.sin(0.27 * t + 2 * phase)
        bob = np.sin(0.17 * t + 1.7 * phase)
        return cls(
            heights[0] * (heights[1] / heights[0]) ** height,
            1.6 * 2.0**focal,
            tilt + 0.012 * sway * bob,
            float((pan - 0.5) * 0.35 + 0.03 * sway * slow),
        )

    def slopes(self, view: View) -> tuple[Tensor, Tensor]:
        """The rays of a view: x (1, W), y (H, 1)."""
        return view.u / self.focal + self.turn, (view.v - self.tilt) / self.focal

    def at_horizon(self, view: View, above: Callable[[View], Tensor], below: Callable[[View], Tensor]) -> Tensor:
        """A picture whose rows above and below the horizon are shaded apart, (rows, W, 3); both share its own row."""
        edge = (1 - self.tilt) / view.pixel - view.top
        row = int(np.floor(edge))
        if row < 0:
            return below(view)
        if row >= view.rows:
            return above(view)
        top = above(replace(view, rows=row + 1))
        bottom = below(replace(view, top=view.top + row, rows=view.rows - row))
        out = blank(view.rows, view.width, top.shape[-1], view.device)
        out[:row], out[row + 1 :] = top[:-1], bottom[1:]
        out[row : row + 1] = torch.lerp(bottom[:1], top[-1:], edge - row)
        return out


# Linear colours by the sun's elevation in degrees, exposed as a photographer would: zenith, horizon, the horizon on the
# sun's side, and the sun's light on a surface that faces it (white paper at noon is about 1).
_KEYS: tuple[tuple[float, Colour, Colour, Colour, Colour], ...] = (
    (-18, (0.005, 0.009, 0.022), (0.013, 0.019, 0.034), (0.013, 0.019, 0.034), (0, 0, 0)),
    (-12, (0.007, 0.014, 0.040), (0.022, 0.032, 0.062), (0.050, 0.044, 0.060), (0, 0, 0)),
    (-6, (0.024, 0.045, 0.125), (0.085, 0.095, 0.165), (0.46, 0.20, 0.105), (0, 0, 0)),
    (-2, (0.060, 0.100, 0.235), (0.23, 0.205, 0.27), (0.98, 0.42, 0.16), (0.10, 0.025, 0.006)),
    (1, (0.085, 0.150, 0.320), (0.37, 0.32, 0.34), (1.15, 0.58, 0.22), (0.75, 0.29, 0.075)),
    (6, (0.090, 0.185, 0.410), (0.46, 0.46, 0.47), (1.05, 0.72, 0.40), (0.95, 0.57, 0.26)),
    (15, (0.075, 0.185, 0.430), (0.46, 0.56, 0.66), (0.84, 0.79, 0.66), (1.00, 0.80, 0.56)),
    (35, (0.055, 0.155, 0.400), (0.38, 0.53, 0.70), (0.58, 0.67, 0.76), (1.00, 0.91, 0.77)),
    (60, (0.045, 0.135, 0.370), (0.35, 0.50, 0.69), (0.45, 0.58, 0.73), (1.00, 0.93, 0.82)),
)
_MOON = (0.105, 0.130, 0.185)


@dataclass(frozen=True)
class Light:
    """What lights a scene: directions are unit vectors (right, up, ahead), colours linear.

    Args:
        elevation: of the sun, degrees.
        toward: where the sun stands, or by night the moon.
        key: light of the sun or moon on a surface that faces it, clouds aside.
        ambient: light of the whole sky on a surface that faces up.
        zenith, horizon, glow: the clear sky above, at the horizon, and at the horizon on the sun's side.
        night: 0 by day, 1 when stars are out.
        cloud, haze: [0, 1].
    """

    elevation: float
    toward: Colour
    key: Colour
    ambient: Colour
    zenith: Colour
    horizon: Colour
    glow: Colour
    night: float
    cloud: float
    haze: float


def _triple(c: NDArray[np.float64]) -> Colour:
    return (float(c[0]), float(c[1]), float(c[2]))


def _grey(c: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """A colour with a share of it replaced by grey of the same luminance, a little bluish."""
    return np.asarray(c + share * (c @ np.array([0.21, 0.72, 0.07]) * np.array([0.96, 1.0, 1.05]) - c))


def light_at(hour: float, sun: float, cloud: float, haze: float) -> Light:
    """The light of an hour.

    Args:
        hour: 0 is midnight, 0.5 noon.
        sun: azimuth of the sun or moon in turns, 0.5 straight ahead, 0.75 to the right.
        cloud: cover, [0, 1]; above about 0.8 the sun does not come through.
        haze: [0, 1]; greys and lifts the horizon.
    """
    high = elevation(hour)
    heights, *tables = zip(*_KEYS, strict=True)
    zenith, horizon, glow, key = (
        np.array([np.interp(high, heights, channel) for channel in np.array(table).T]) for table in tables
    )
    night = float(np.clip((-high - 5) / 9, 0, 1))
    angle = np.radians(high if high > -5 else 7 + 22 * np.clip((-high - 5) / 53, 0, 1))
    key = key if high > -5 else np.array(_MOON) * np.clip((-high - 7) / 7, 0, 1)
    cover = float(np.clip((cloud - 0.35) / 0.6, 0, 1))
    grey = 0.85 * cover
    zenith = _grey(zenith + 0.25 * haze * (horizon - zenith), grey) * (1 + 0.5 * cover)
    horizon, glow = (
        _grey(horizon, max(grey, 0.6 * haze)),
        _grey(glow + cover * (horizon - glow), max(0.8 * grey, 0.25 * haze)),
    )
    ambient = (0.55 * zenith + 0.30 * horizon + 0.10 * glow) * (1 + 0.8 * night)  # a longer exposure by night
    azimuth = 2 * np.pi * (sun - 0.5)
    toward = np.array([np.sin(azimuth) * np.cos(angle), np.sin(angle), np.cos(azimuth) * np.cos(angle)])
    key = key * (1 - 0.35 * haze)
    horizon, glow = horizon * (1 - 0.22 * haze), glow * (1 - 0.12 * haze)
    return Light(
        elevation=high,
        toward=_triple(toward),
        key=_triple(key),
        ambient=_triple(ambient),
        zenith=_triple(zenith),
        horizon=_triple(horizon),
        glow=_triple(glow),
        night=night,
        cloud=cloud,
        haze=haze,
    )


def stage_light(stage: Stage, t: float) -> Light:
    """The light of a stage's hour, sun, cloud and haze at time t."""
    return light_at(*(stage.static(name, t) for name in ("hour", "sun", "cloud", "haze")))


def colour(c: Colour, like: Tensor) -> Tensor:
    """A colour as a tensor (3,) that broadcasts against (H, W, 3)."""
    return torch.tensor(c, dtype=torch.float32, device=like.device)


def tile(seed: int, size: int, slope: float, like: Tensor) -> Tensor:
    """A tile of noise on the device of another tensor (`noise.texture`)."""
    return texture(seed, size, slope, device=str(like.device))


def _toward_sun(light: Light, x: Tensor, y: Tensor) -> Tensor:
    """One minus the cosine between a ray and the sun (or moon), (H, W)."""
    sx, sy, sz = light.toward
    return 1 - (x * sx + y * sy + sz) * torch.rsqrt(x * x + y * y + 1)


def clear_sky(light: Light, x: Tensor, y: Tensor) -> Tensor:
    """The sky without clouds, sun and stars, (H, W, 3); below the horizon it is the horizon's colour."""
    rise = y.clamp(min=0)
    rise = rise * torch.rsqrt(1 + rise * rise)
    sx, _, sz = light.toward
    side = (x * sx + sz) * torch.rsqrt(1 + x * x) / max(float(np.hypot(sx, sz)), 1e-3)
    side = ((1 + side) / 2).clamp(min=0) ** 2
    low = torch.exp(rise * -(5.5 - 2.5 * light.haze))
    lower = torch.exp(rise * -(8.0 - 3.0 * light.haze))
    zenith, horizon, glow = (colour(c, y) for c in (light.zenith, light.horizon, light.glow))
    return zenith + tint(low, horizon - zenith) + tint(lower * (side * side), glow - horizon)


def body(light: Light, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The disc of the sun or moon, and the halo about it, each (H, W), to be multiplied by the key light."""
    d = _toward_sun(light, x, y)
    shown = 1 - float(np.clip((light.cloud - 0.6) / 0.3, 0, 1))
    low = float(np.clip(1 - abs(light.elevation - 3) / 9, 0, 1))
    wide = 0.10 + 0.25 * light.haze + 0.30 * low
    halo = wide / (1 + 90 * d) + (0.55 + 0.9 * low) / (1 + 1200 * d) + 0.06 / (1 + 8 * d)
    if light.night > 0:
        return 8 * shown * smoothstep(6.4e-5, 5.2e-5, d), (0.12 + 0.4 * shown) * halo
    return 40 * shown * smoothstep(5e-5, 2.5e-5, d), (0.25 + 0.75 * shown) * halo


@lru_cache(maxsize=8)
def _catalogue(seed: int, count: int) -> tuple[NDArray[np.float64], ...]:
    """Stars: azimuth, sine of the elevation, flux, and rate and phase of the twinkle, each (count,)."""
    rng = np.random.default_rng([seed, 77])
    azimuth, sine, flux = rng.uniform(-1.2, 1.2, count), rng.uniform(0, 0.95, count), rng.random(count)
    return azimuth, sine, 0.035 * flux**-0.8, rng.uniform(2, 7, count), rng.uniform(0, 6.28, count)


def stars(x: Tensor, y: Tensor, t: float, seed: int, count: int = 1500) -> Tensor:
    """Stars with their twinkle, (H, W): points splatted between four pixels, so that they do not crawl or flicker."""
    step = float(x[0, 1] - x[0, 0])
    size = max(1.0, 0.0016 / step)  # on large pictures stars grow with the picture
    azimuth, sine, flux, rate, phase = _catalogue(seed, count)
    azimuth = azimuth + 4e-5 * t
    row = (float(y[0, 0]) - sine / np.sqrt(1 - sine**2) / np.cos(azimuth)) / step
    near = np.abs(row - len(y) / 2) < len(y) / 2 + size + 1
    azimuth, sine, flux, rate, phase, row = (a[near] for a in (azimuth, sine, flux, rate, phase, row))
    column = (np.tan(azimuth) - float(x[0, 0])) / step
    twinkle = 1 + 0.35 * np.sin(t * rate + phase) * (1 - sine)
    extinction = np.exp(-0.12 / (sine + 0.03))
    light = np.minimum(flux * twinkle * extinction, 1.2) * min(1.0, (0.0031 / step) ** 2)
    out = torch.zeros(y.shape[0], x.shape[1], device=x.device)
    reach = int(np.ceil(size))
    for dy in range(-reach + 1, reach + 1):
        for dx in range(-reach + 1, reach + 1):
            r, c = np.floor(row) + dy, np.floor(column) + dx
            weight = np.clip(1 - np.abs(r - row) / size, 0, 1) * np.clip(1 - np.abs(c - column) / size, 0, 1)
            inside = (r >= 0) & (r < out.shape[0]) & (c >= 0) & (c < out.shape[1]) & (weight > 0)
            index = tuple(torch.from_numpy(i[inside].astype(np.int64)).to(x.device) for i in (r, c))
            out.index_put_(index, torch.from_numpy((light * weight)[inside]).float().to(x.device), accumulate=True)
    return out


def clouds(light: Light, x: Tensor, y: Tensor, t: float, wind: float, seed: int) -> tuple[Tensor, Tensor]:
    """A deck of clouds seen from below: how dense, (H, W), and its light, (H, W, 3).

    Args:
        wind: how far the clouds have drifted, in seconds of a fresh wind.
        seed: another seed is another sky.
    """
    rng = np.random.default_rng([seed, 5])
    ox, oz, scale = rng.random(), rng.random(), rng.uniform(0.075, 0.12)
    far = 1 / (y.clamp(min=0) + 0.07)
    px, pz = x * far * scale + ox + 0.002 * wind, far * scale + oz + 0.0008 * wind
    big, fine = tile(11, 512, 1.7, y), tile(12, 512, 1.35, y)
    shape = sample(big, px, pz)
    detail = sample(fine, px * 2.7 + 0.001 * t, pz * 2.7)
    threshold = 1.55 - 3.0 * light.cloud
    mass = shape + 0.42 * detail
    n = mass - threshold
    density = smoothstep(-0.25, 0.85, n)
    sx, sy, sz = light.toward
    toward = 0.035 / (0.35 + max(sy, 0))
    ahead = sample(big, px + sx * toward, pz + sz * toward) + 0.42 * sample(
        fine, (px + sx * toward) * 2.7 + 0.001 * t, pz * 2.7 + sz * toward * 2.7
    )
    lit = (0.58 - 0.62 * (ahead - mass) - 0.26 * (n - 0.3).clamp(0, 2)).clamp(0.03, 1.3)
    d = _toward_sun(light, x, y)
    through = 1 + 2.4 * (1 - density) / (1 + 25 * d) + 0.35 / (1 + 6 * d)
    cover = float(np.clip((light.cloud - 0.6) / 0.4, 0, 1))
    sunlit = tint(lit * through * (0.95 * (1 - 0.85 * cover)), colour(light.key, y))
    thick = (1.12 - 0.30 * (n - 0.2).clamp(0, 2.0)) * (1 - 0.20 * cover * mass - 0.15 * (ahead - mass))
    base = 0.62 * colour(light.zenith, y) + 0.50 * colour(light.horizon, y)
    low = float(np.clip(1 - abs(light.elevation - 1) / 8, 0, 1)) * (1 - cover)  # a low sun reddens clouds from below
    glow = sunlit + tint(thick, base)
    if low > 0:
        glow = glow + tint(low * (0.15 + 0.5 * lit) * (0.2 + 0.8 / (1 + 2.5 * d)), colour(light.glow, y))
    veil = (y.clamp(min=0) / (y.clamp(min=0) + 0.035 + 0.10 * light.haze)) ** 1.5
    return density * veil * 0.985, glow


def sky(light: Light, x: Tensor, y: Tensor, t: float, wind: float = 0.0, seed: int = 0, points: bool = True) -> Tensor:
    """The whole sky at slopes x (1, W) and y (H, 1), (H, W, 3): gradient, stars, sun or moon, clouds.

    Args:
        t: seconds, for the twinkle.
        wind: how far the clouds have drifted, in seconds of a fresh wind (the integral of the curve wind).
        seed: the variant of the place.
        points: with the stars and the disc of the sun or moon.
    """
    clear = clear_sky(light, x, y)
    key = colour(light.key, y)
    if points and light.night > 0:
        shine = light.night * (1 - 0.8 * light.haze) * stars(x, y, t, seed)
        clear = clear + tint(shine, colour((0.9, 0.95, 1.1), y))
    disc, halo = body(light, x, y)
    clear = clear + tint(disc * points + halo, key)
    density, glow = clouds(light, x, y, t, wind, seed)
    cover = float(np.clip((light.cloud - 0.55) / 0.4, 0, 1))
    return clear + density[..., None] * (glow + tint(0.30 * (1 - cover) * halo, key) - clear)
