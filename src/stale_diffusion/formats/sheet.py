"""The contact sheet: a five-sense movie down-sampled to 2D (the paper's figure 1), one PNG, drawn with Pillow alone.

From top to bottom on one time axis: film strip, spectrogram, touch (vibration coloured by its frequency; temperature
and wind), smell (a band a note present), taste, balance. Everything is drawn at twice the size and reduced once.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from stale_diffusion.formats.notes import notes
from stale_diffusion.movie import Filmed, Movie
from stale_diffusion.timeline import RANGES, Track

Array = NDArray[np.float64]

WIDTH = 1600
SCALE = 2  # drawn at this size, then reduced: smooth edges
LEFT, RIGHT = 206, 66  # margins beside the lanes
SENSE = 88  # right edge of the names of the senses
FRAME_HEIGHT = 92  # about
FRAMES = (5, 24)  # at least, at most
SOUND_RATE = 16_000
LONG_SECONDS = 20 * 60  # above this a file is not decoded whole
LOOKS = 300  # but heard this often
PRESENT = 0.05  # a note or taste that never rises above this has no lane

PAPER, INK, GREY, FAINT, RULE = "#fbfaf7", "#24272b", "#777c82", "#e9e7e1", "#d9d6ce"
SOUND_RAMP = ("#fbfaf7", "#d8e0e4", "#9db4c4", "#55788f", "#2b4a63", "#152636")
PITCH_RAMP = ("#6c3b2a", "#b8663a", "#e0a458", "#e9cf8c")  # 20 Hz to 300 Hz
WARM, COLD, WIND = "#c4553b", "#4c83a8", "#6d9a8b"
OTHER = "#7a6a9c"  # an additional sense
TASTES = {"sweet": "#d58aa5", "sour": "#b9b94a", "salty": "#7f9db0", "bitter": "#6f5648", "umami": "#a8763e"}


Mark = tuple[str, str, float, float, float]
"""Damage: sense, kind, start and end in seconds, share."""
HURT = "#c4553b"


def contact_sheet(movie: Movie, damage: Sequence[Mark] = ()) -> Image.Image:
    """The contact sheet of a movie, RGB, WIDTH pixels wide; with a lane for each kind of damage."""
    sheet = _Sheet(movie)
    sheet.title(movie.title)
    sheet.film()
    sheet.sound()
    if "touch" in movie.tracks:
        sheet.touch(movie.touch)
    if "smell" in movie.tracks:
        colours = {name: note.colour for name, note in notes().items()}
        sheet.bands("smell", movie.smell, colours, 30)
    if "taste" in movie.tracks:
        sheet.bands("taste", movie.taste, TASTES, 30)
    for name, track in movie.tracks.items():
        if name not in ("touch", "smell", "taste"):
            sheet.lines(name, track)
    sheet.damage(damage)
    sheet.axis()
    sheet.footer(_footer(movie))
    return sheet.done()


def to_png(movie: Movie, damage: Sequence[Mark] = ()) -> bytes:
    """The contact sheet as PNG, with the plot as its title; with lanes of damage, if any."""
    about = PngImagePlugin.PngInfo()
    about.add_itxt("Title", movie.title)
    about.add_itxt("Software", "Stale Diffusion")
    data = io.BytesIO()
    contact_sheet(movie, damage).save(data, "PNG", pnginfo=about, optimize=True)
    return data.getvalue()


def _footer(movie: Movie) -> str:
    parts = ["Stale Diffusion"]
    recipe = movie.recipe
    if movie.screen is not None:
        kind = (recipe and recipe.picture) or movie.screen.kind
        given = recipe is not None and kind == "performed" and recipe.senses.get("hearing") == "given"
        parts.append(f"picture {kind}   ·   sound given" if given else f"picture and sound {kind}")
    origins: dict[str, list[str]] = {}
    for name, track in movie.tracks.items():
        origins.setdefault(track.origin, []).append(name)
    parts += [f"{', '.join(names)} {origin}" for origin, names in origins.items()]
    if recipe is not None:
        for label, value in (("seed", recipe.seed), ("steps", recipe.steps)):
            parts += [f"{label} {value}"] if value is not None else []
        parts += [f"{recipe.keshas:,.0f} Ke$ha"] if recipe.keshas is not None else []
        parts += [f"weights {recipe.model[:8]}"] if recipe.model else []
    return "   ·   ".join(parts)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:g} seconds"
    return f"{seconds // 3600:.0f}:{seconds // 60 % 60:02.0f}:{seconds % 60:02.0f}"


def _senses(movie: Movie) -> str:
    numbers = ("no sense", "one sense", "two senses", "three senses", "four senses", "five senses",
               "six senses")  # fmt: skip
    own = 0
    if isinstance(movie.screen, Filmed):
        own = bool(movie.screen.probe.video) + bool(movie.screen.probe.audio)
    elif movie.screen is not None:
        own = 2
    count = own + len(movie.tracks)
    return numbers[count] if count < len(numbers) else f"{count} senses"


def _rgb(colour: str) -> Array:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.float64)


def _ramp(values: Array, colours: Sequence[str]) -> NDArray[np.uint8]:
    """Values in [0, 1] as colours along a ramp, (..., 3)."""
    stops = np.stack([_rgb(c) for c in colours])
    at = np.clip(values, 0, 1) * (len(stops) - 1)
    low = np.minimum(at.astype(int), len(stops) - 2)
    mixed = stops[low] + (at - low)[..., None] * (stops[low + 1] - stops[low])
    return np.asarray(mixed.round(), np.uint8)


def _spread(values: Array, width: int) -> Array:
    """A track (T, ...) over `width` columns: the mean of each column's samples, between samples a straight line."""
    n = len(values)
    if n >= 2 * width:
        edges = np.linspace(0, n, width + 1).astype(int)
        shape = (-1,) + (1,) * (values.ndim - 1)
        sums = np.add.reduceat(values, edges[:-1], axis=0)
        return np.asarray(sums / np.diff(edges).reshape(shape))
    at = (np.arange(width) + 0.5) / width * n
    flat = values.reshape(n, -1)
    columns = [np.interp(at, np.arange(n), flat[:, c]) for c in range(flat.shape[1])]
    return np.stack(columns, -1).reshape(width, *values.shape[1:])


def _heard(movie: Movie) -> Iterator[tuple[int | None, NDArray[np.float32]]]:
    """Chunks of sound that follow one another; of a long file LOOKS samples, each with its first index."""
    assert movie.screen is not None
    if isinstance(movie.screen, Filmed) and movie.seconds > LONG_SECONDS:
        for k in range(LOOKS):
            at = k * movie.seconds / LOOKS
            look = [*movie.screen.sound(SOUND_RATE, at, 0.2)]
            if look:
                yield round(at * SOUND_RATE), np.concatenate(look)
    else:
        for chunk in movie.screen.sound(SOUND_RATE):
            yield None, chunk


def _spectrogram(movie: Movie, width: int, height: int) -> Array | None:
    """Spectrogram with logarithmic frequency, (height, width) in [0, 1] over 55 dB; None where there is no sound."""
    assert movie.screen is not None
    window = np.hanning(1024)
    edges = 40 * (7500 / 40) ** (np.arange(height + 1) / height)
    bins = np.clip(edges / SOUND_RATE * 1024, 0, 511)
    columns, counts = np.full((width, height), 1e-10), np.zeros(width)
    rest, done = np.zeros(0, np.float32), 0
    total = movie.seconds * SOUND_RATE
    for start, chunk in _heard(movie):
        rest, done = (np.zeros(0, np.float32), start) if start is not None else (rest, done)
        rest = np.concatenate([rest, chunk.mean(axis=1)])
        while len(rest) >= 1024:
            column = int(min((done + 512) / total * width, width - 1))
            power = np.abs(np.fft.rfft(rest[:1024] * window)) ** 2
            columns[column] += np.interp((bins[:-1] + bins[1:]) / 2, np.arange(513), power)
            counts[column] += 1
            step = max(256, min(1024, int(total / width)))
            rest, done = rest[step:], done + step
    if not counts.any():
        return None
    filled = np.flatnonzero(counts)
    nearest = filled[np.abs(np.arange(width)[:, None] - filled[None]).argmin(axis=1)]
    decibels = 10 * np.log10(columns[nearest] / np.maximum(counts[nearest], 1)[:, None])
    top = float(np.quantile(decibels, 0.999))
    return np.asarray(np.clip((decibels - top) / 55 + 1, 0, 1).T[::-1])


class _Sheet:
    """The page: lanes are added from top to bottom, then it is cut to length and reduced."""

    def __init__(self, movie: Movie) -> None:
        self.movie = movie
        self.image = Image.new("RGB", (WIDTH * SCALE, 2600 * SCALE), PAPER)
        self.draw = ImageDraw.Draw(self.image)
        self.y = 34.0
        self.top = 0.0  # where the lanes begin
        self.inner = WIDTH - LEFT - RIGHT

    def text(self, x: float, y: float, text: str, size: float, colour: str = INK, anchor: str = "la") -> None:
        """Text at (x, y) in page pixels."""
        font = ImageFont.load_default(size * SCALE)
        self.draw.text((x * SCALE, y * SCALE), text, fill=colour, font=font, anchor=anchor)

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """A filled rectangle in page pixels."""
        corners = [v * SCALE for v in (x, y, x + width, y + height)]
        self.draw.rectangle((corners[0], corners[1], corners[2] - 1, corners[3] - 1), fill=colour)

    def paste(self, pixels: NDArray[np.uint8], x: float, y: float) -> None:
        """Pixels at drawing size, at (x, y) in page pixels."""
        self.image.paste(Image.fromarray(np.ascontiguousarray(pixels)), (round(x * SCALE), round(y * SCALE)))

    def label(self, y: float, text: str) -> None:
        """The name of a lane, right-aligned beside it, centred on y."""
        self.text(LEFT - 16, y, text, 13, GREY, "rm")

    def sense(self, name: str, first: float, last: float) -> None:
        """The name of a sense at the far left, with a rule along its lanes."""
        self.box(SENSE + 12, first, 1, last - first, RULE)
        self.text(SENSE, (first + last) / 2, name, 17, INK, "rm")

    def title(self, title: str) -> None:
        """The plot, at most two lines, and what there is."""
        lines = textwrap.wrap(" ".join(title.split()), 88, max_lines=2, placeholder=" …")
        for line in lines:
            self.text(LEFT, self.y, line, 25)
            self.y += 34
        self.text(LEFT, self.y, f"{_duration(self.movie.seconds)}, {_senses(self.movie)}", 14, GREY)
        self.y += 38
        self.top = self.y

    def film(self) -> None:
        """Frames at equal times, their left edges on the time axis."""
        screen = self.movie.screen
        if screen is None:
            return
        video = screen.probe.video if isinstance(screen, Filmed) else None
        aspect = video.width / video.height if video else 16 / 9
        gap = 3
        count = min(max(round(self.inner / (FRAME_HEIGHT * aspect + gap)), FRAMES[0]), FRAMES[1])
        width = (self.inner - gap * (count - 1)) / count
        size = (round(width * SCALE) // 2 * 2, max(16, round(width / aspect * SCALE) // 2 * 2))
        shown = list(screen.stills(count, size))
        if not shown:
            return
        for i, frame in enumerate(shown):
            self.paste(frame, LEFT + i * (width + gap), self.y)
        self.sense("sight", self.y, self.y + size[1] / SCALE)
        self.y += size[1] / SCALE + 18

    def sound(self) -> None:
        """A spectrogram, 40 Hz to 7.5 kHz, logarithmic."""
        if self.movie.screen is None:
            return
        height = 88
        found = _spectrogram(self.movie, self.inner, height)
        if found is None:
            return
        picture = Image.fromarray(_ramp(found, SOUND_RAMP)).resize(
            (self.inner * SCALE, height * SCALE), Image.Resampling.BICUBIC
        )
        self.image.paste(picture, (LEFT * SCALE, round(self.y * SCALE)))
        self.sense("hearing", self.y, self.y + height)
        self._unit(self.y, height, "7.5 kHz", "40 Hz")
        self.y += height + 18

    def _unit(self, y: float, height: float, high: str, low: str) -> None:
        """What the top and the bottom of a lane mean, small, to its right."""
        self.text(WIDTH - RIGHT + 6, y, high, 10, GREY, "la")
        self.text(WIDTH - RIGHT + 6, y + height, low, 10, GREY, "ld")

    def touch(self, track: Track) -> None:
        """Vibration of seat and back, mirrored, coloured by frequency; temperature and wind as lines."""
        columns = self.inner * SCALE
        values = track.values.astype(np.float64)
        low, high = math.log(20), math.log(300)
        pitch = (np.log(np.maximum(_spread(track.channel("frequency").astype(np.float64), columns), 1)) - low) / (
            high - low
        )
        first = self.y
        for place in ("seat", "back"):
            amplitude = _peaks(values[:, track.channels.index(f"{place}_amplitude")], columns)
            self._mirror(amplitude, _ramp(pitch, PITCH_RAMP), 46)
            self.label(self.y - 8 - 46 / 2, place)
        self._line(track, "temperature", (-10, 50), "°C", 34)
        self._line(track, "wind", (0, 20), "m/s", 34)
        self._pitches(first, 46)
        self.sense("touch", first, self.y - 8)
        self.y += 10

    def _pitches(self, y: float, height: int) -> None:
        """What the colours of the vibration mean."""
        ramp = _ramp(np.linspace(1, 0, (height - 8) * SCALE)[:, None].repeat(6 * SCALE, 1), PITCH_RAMP)
        self.paste(ramp, WIDTH - RIGHT + 6, y + 4)
        self.text(WIDTH - RIGHT + 16, y, "300 Hz", 10, GREY, "la")
        self.text(WIDTH - RIGHT + 16, y + height, "20 Hz", 10, GREY, "ld")

    def _mirror(self, amplitude: Array, colours: NDArray[np.uint8], height: int) -> None:
        rows = height * SCALE
        distance = np.abs(np.arange(rows)[:, None] - (rows - 1) / 2) / (rows / 2)
        inside = distance <= np.maximum(np.sqrt(amplitude)[None], 1.2 / rows)
        paper = np.broadcast_to(_rgb(PAPER).astype(np.uint8), (rows, len(amplitude), 3))
        self.paste(np.where(inside[..., None], colours[None], paper), LEFT, self.y)
        self.y += height + 8

    def _line(self, track: Track, name: str, limits: tuple[float, float], unit: str, height: int) -> None:
        values = _spread(track.channel(name).astype(np.float64), self.inner)
        middle, least = float(values.mean()), (limits[1] - limits[0]) / 12
        half = max(float(np.ptp(values)), least) / 2 * 1.1
        centre = (float(values.max()) + float(values.min())) / 2
        unitless = (values - centre) / (2 * half) + 0.5
        points = [
            ((LEFT + x) * SCALE, (self.y + height * (0.92 - 0.84 * float(v))) * SCALE) for x, v in enumerate(unitless)
        ]
        self.box(LEFT, self.y, self.inner, height, "#f4f2ec")
        colour = WIND if name == "wind" else (WARM if middle > 18 else COLD)
        self.draw.line(points, fill=colour, width=round(1.6 * SCALE), joint="curve")
        self.label(self.y + height / 2, name)
        shown = [float(values.max()), float(values.min())]
        self._unit(self.y, height, *(f"{v:.0f} {unit}" if abs(v) >= 10 else f"{v:.1f} {unit}" for v in shown))
        self.y += height + 8

    def lines(self, name: str, track: Track) -> None:
        """An additional sense: a lane for each channel that ever leaves rest, on its own scale, zero in the middle."""
        first = self.y
        moved = [c for c in range(len(track.channels)) if track.values[:, c].any()]
        if not moved:
            self.label(self.y + 9, "at rest")
            self.box(LEFT, self.y + 9, self.inner, 1, RULE)
            self.y += 26
        for c in moved:
            channel, height = track.channels[c], 26
            values = _spread(track.values[:, c].astype(np.float64), self.inner)
            least = 0.1 * RANGES.get(channel, (0.0, 1.0, 0.0))[1]
            full = max(float(np.abs(values).max()), least)
            x = (LEFT + np.arange(self.inner)) * SCALE
            y = (self.y + height * (0.5 - 0.46 * values / full)) * SCALE
            self.box(LEFT, self.y + height / 2, self.inner, 0.5, RULE)
            self.draw.line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=OTHER, width=round(1.4 * SCALE))
            self.label(self.y + height / 2, channel)
            self._unit(self.y, height, f"{full:.2g} {track.units[c]}", f"-{full:.2g}")
            self.y += height + 4
        self.sense(name, first, self.y - 4)
        self.y += 12

    def bands(self, name: str, track: Track, colours: dict[str, str], height: int) -> None:
        """A lane for each channel that is ever present, in order of when it is strongest."""
        peak = track.values.max(axis=0, initial=0)
        present = [c for c in range(len(track.channels)) if peak[c] >= PRESENT]
        present.sort(key=lambda c: int(track.values[:, c].argmax()))
        first = self.y
        if not present:
            self.label(self.y + 9, "nothing")
            self.box(LEFT, self.y + 9, self.inner, 1, RULE)
            self.y += 26
        for c in present:
            values = _spread(track.values[:, c].astype(np.float64), self.inner * SCALE)
            self._area(np.clip(values, 0, 1), colours.get(track.channels[c], "#888888"), height)
            self.label(self.y - 6 - height / 2, track.channels[c])
        self.sense(name, first, self.y - 6)
        self.y += 12

    def _area(self, values: Array, colour: str, height: int) -> None:
        """A filled curve on a base line, darker where stronger."""
        rows = height * SCALE
        level = (rows - np.arange(rows))[:, None] / rows
        cover = np.clip((values[None] - level) * rows + 1, 0, 1)
        strength = (0.5 + 0.5 * np.sqrt(values))[None, :, None]
        paper, ink = _rgb(PAPER), _rgb(colour)
        mixed = paper + cover[..., None] * strength * (ink - paper)
        self.paste(mixed.round().astype(np.uint8), LEFT, self.y)
        self.box(LEFT, self.y + height - 0.5, self.inner, 0.5, RULE)
        self.y += height + 6

    def damage(self, marks: Sequence[Mark]) -> None:
        """A lane for each sense and kind of damage: where it is, the taller the more of the sense is hurt."""
        height, first = 16, self.y
        kinds = list(dict.fromkeys((sense, kind) for sense, kind, *_ in marks))
        for sense, kind in kinds:
            self.box(LEFT, self.y, self.inner, height, FAINT)
            for start, end, share in (m[2:] for m in marks if m[:2] == (sense, kind)):
                x = LEFT + start / self.movie.seconds * self.inner
                width = max(2.0, (end - start) / self.movie.seconds * self.inner)
                tall = height * max(0.3, share**0.5)
                self.box(x, self.y + height - tall, min(width, WIDTH - RIGHT - x), tall, HURT)
            self.label(self.y + height / 2, f"{sense} {kind}" if len(sense + kind) < 15 else kind)
            self.y += height + 5
        if kinds:
            self.sense("damage", first, self.y - 5)
            self.y += 10

    def axis(self) -> None:
        """Time in seconds below everything."""
        seconds = self.movie.seconds
        step = next((s for s in (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600) if seconds / s <= 12), 7200)
        self.y += 2
        self.box(LEFT, self.y, self.inner, 1, GREY)
        for k in range(int(seconds / step + 1e-9) + 1):
            x = LEFT + k * step / seconds * self.inner
            self.box(min(x, WIDTH - RIGHT - 1), self.y, 1, 6, GREY)
            text = f"{k * step:g}" if step < 60 else f"{k * step // 60:.0f}:{k * step % 60:02.0f}"
            self.text(x, self.y + 9, text, 12, GREY, "ma")
        self.text(LEFT - 16, self.y + 9, "seconds" if step < 60 else "minutes", 12, GREY, "ra")
        self.y += 42

    def footer(self, text: str) -> None:
        """How it was made, small."""
        self.text(LEFT, self.y, text, 12, GREY)
        self.y += 34

    def done(self) -> Image.Image:
        """The finished page."""
        page = self.image.crop((0, 0, WIDTH * SCALE, round(self.y) * SCALE))
        return page.resize((WIDTH, round(self.y)), Image.Resampling.BOX)


def _peaks(values: Array, width: int) -> Array:
    """The largest value of each column: a knock of 15 ms stays visible in a movie of hours."""
    n = len(values)
    if n < 2 * width:
        return _spread(values, width)
    edges = np.linspace(0, n, width + 1).astype(int)
    return np.asarray(np.maximum.reduceat(values, edges[:-1]))
