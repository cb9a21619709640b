"""What a file says about where it comes from: its mark in sight and sound, its signature, its Content Credentials."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stale_diffusion import media
from stale_diffusion import recipe as recipes
from stale_diffusion.errors import StaleError
from stale_diffusion.trust import credentials, golay, heard, keys, manifest, seen, sight
from stale_diffusion.trust.carriers import rayleigh, score
from stale_diffusion.trust.marking import digest
from stale_diffusion.trust.seen import FOUND, Floats

SPAN = 4  # seconds that are looked at to say where a mark is
SPAN_FOUND = -3.0  # log10 of the chance below which a span is marked, once the mark is found
SEARCHED = 3  # windows that are searched: the middle, the beginning, the end
LEAST = 2  # seconds below which nothing is searched
GREY = np.array([0.2126, 0.7152, 0.0722], np.float32)


@dataclass(frozen=True)
class Mark:
    """A mark in one sense.

    Args:
        log10_p: log10 of the chance of such a finding without a mark, corrected for every alignment searched.
        payload: 8 bytes; None: there is no mark, or it is too weak to be read.
        soft: signs of the 144 bits in standard deviations, before error correction.
        ranges: (start, end) in seconds, where it is.
        speed, scale: of the file against what was marked.
    """

    log10_p: float
    payload: bytes | None = None
    soft: NDArray[np.float32] | None = None
    ranges: tuple[tuple[float, float], ...] = ()
    speed: float = 1.0
    scale: float = 1.0

    @property
    def found(self) -> bool:
        """Whether it is there: a chance below one in a million."""
        return self.log10_p < FOUND


@dataclass(frozen=True)
class Report:
    """What `verify` found; None: it could not be looked at (no key, no such track).

    Args:
        mark: {sight, hearing} -> Mark.
        recipe: whether the mark is of the recipe in the file; None: one of the two is missing.
        credentials: what C2PA says of the file: valid, altered; None: it has none, or c2pa-python is missing.
    """

    mark: dict[str, Mark | None]
    signature: manifest.Signature
    recipe: bool | None
    credentials: str | None

    @property
    def altered(self) -> bool:
        """Whether something was changed after it was signed."""
        return self.signature.verdict == "altered" or self.credentials == "altered"

    @property
    def found(self) -> bool:
        """Whether anything says where the file comes from: a mark of this key, or a signature."""
        return any(mark and mark.found for mark in self.mark.values()) or self.signature.issuer is not None


def verify(path: Path, key: keys.Key | keys.PublicKey | None) -> Report:
    """Look at a file; with a private key also for its mark.

    Args:
        key: whose mark and signature are expected; None: there is none. The user's known keys are known as well.

    Raises:
        StaleError: the file cannot be read, or its manifest is damaged.
    """
    probe = media.probe(path)
    files = media.read_attachments(path) if probe.attachments else {}
    mark: dict[str, Mark | None] = {"sight": None, "hearing": None}
    if isinstance(key, keys.Key) and probe.seconds >= LEAST:
        mark["sight"] = in_sight(path, key.secret) if probe.video else None
        mark["hearing"] = in_sound(path, key.secret) if _own_sound(probe) is not None else None
    payload = next((m.payload for m in mark.values() if m and m.found and m.payload), None)
    said = _beside(path, "recipe.json", files)
    of_recipe = None
    if payload is not None and said is not None:
        of_recipe = digest(recipes.from_json(said, f"recipe.json of {path}")) == payload[4:]
    return Report(mark, _signature(path, files, key), of_recipe, credentials.state(path))


def _signature(path: Path, files: dict[str, bytes], key: keys.Key | keys.PublicKey | None) -> manifest.Signature:
    """What the manifest in the file, in its Content Credentials or beside it proves."""
    data = files.get(manifest.NAME) or credentials.manifest_of(path) or _beside(path, manifest.NAME, {})
    if data is None:
        return manifest.UNSIGNED
    if manifest.NAME not in files:
        named = manifest.files_of(data, f"{manifest.NAME} of {path}")
        files = {name: found for name in named if (found := _beside(path, name, {})) is not None}
    issuers = keys.known() + ([key.public if isinstance(key, keys.Key) else key] if key else [])
    return manifest.check(data, media.track_hashes(path), files, issuers, f"{manifest.NAME} of {path}")


def _beside(path: Path, name: str, files: dict[str, bytes]) -> bytes | None:
    """A file that is attached, or lies beside the movie as NAME.timeline.json; None where there is none."""
    if name in files:
        return files[name]
    sidecar = path.with_suffix(f".{name}")
    try:
        return sidecar.read_bytes() if sidecar.is_file() and sidecar.stat().st_size <= 2**26 else None
    except OSError as error:
        raise StaleError(f"{sidecar} cannot be read.", error.strerror or str(error)) from None


def _own_sound(probe: media.Probe) -> int | None:
    """The first sound track that is not touch."""
    return next((i for i, audio in enumerate(probe.audio) if audio.title.lower() not in media.LANES), None)


def in_sight(path: Path, secret: bytes) -> Mark:
    """The mark in the picture of a file."""
    carriers = sight.carriers(secret)
    best: seen.Search | None = None
    probe = media.probe(path)
    size, spans = _grid(probe), _windows(probe.seconds)
    searched = _first(spans)
    for start, length in searched:
        found = seen.search(_flattened(path, size, start, length), carriers)
        best = found if best is None or found.log10_p < best.log10_p else best
        if best.log10_p + np.log10(len(searched)) < FOUND:
            break
    assert best is not None
    chance = best.log10_p + float(np.log10(len(searched)))
    if chance >= FOUND:
        return Mark(min(0.0, chance), speed=best.where.speed, scale=best.where.scale)
    where, total, soft, marked = best.where, 0.0, np.zeros(golay.BITS, np.float32), []
    for start, length in spans:
        frames = _flattened(path, size, start, length)
        coefficients = _at(frames, where)
        total += score(coefficients, carriers)
        soft += carriers.soft(coefficients)
        for first in _slices(len(frames), SPAN * seen.RATE):
            part = _at(frames[first], where)
            if rayleigh(score(part, carriers)) < SPAN_FOUND:
                marked.append((start + first.start / seen.RATE, start + first.stop / seen.RATE))
    corrected = min(chance, rayleigh(total, len(spans)) + best.tried + float(np.log10(len(searched))))
    return Mark(corrected, golay.decode(soft), soft, _joined(marked), where.speed, where.scale)


def _at(frames: Floats, where: seen.Alignment) -> NDArray[np.complex128]:
    return seen.moved(seen.spectrum(seen.turning(frames, [where.speed])[0], where.scale), where.y, where.x)


def _grid(probe: media.Probe) -> tuple[int, int]:
    """Width and height of the picture on the grid of units."""
    assert probe.video is not None
    unit = sight.UNITS / min(probe.video.width, probe.video.height)
    return max(16, round(probe.video.width * unit)), max(16, round(probe.video.height * unit))


def _flattened(path: Path, size: tuple[int, int], start: float, length: float) -> Floats:
    """Pictures of a file on the grid of units, (T, H, W), flattened a second at a time."""
    grey = [frame @ GREY for frame in media.read_frames(path, Fraction(seen.RATE), size, start, length)]
    if not grey:
        return np.zeros((2, size[1], size[0]), np.float32)
    return np.concatenate([seen.flattened(np.stack(grey[i : i + 8])) for i in range(0, len(grey), 8)])


def in_sound(path: Path, secret: bytes) -> Mark:
    """The mark in the sound of a file."""
    probe = media.probe(path)
    track, carriers = _own_sound(probe), heard.carriers(secret)
    assert track is not None
    spans = [(start, length) for start, length in _windows(probe.seconds)]

    def levels(start: float, length: float) -> NDArray[np.float64]:
        chunks = list(media.read_sound(path, heard.RATE, 2, start, length, track))
        return heard.levels(np.concatenate(chunks) if chunks else np.zeros((heard.SIZE, 2), np.float32))

    best = (0.0, 0.0, 0.0)
    searched = _first(spans)
    for start, length in searched:  # every window begins at a whole number of periods
        found = heard.search(heard.swaying(levels(start, length)), carriers)
        best = min(best, found, key=lambda one: rayleigh(one[1]) + one[2])
    place, _, tried = best
    tried += float(np.log10(len(searched)))
    if rayleigh(best[1]) + tried >= FOUND:
        return Mark(min(0.0, rayleigh(best[1]) + tried))
    total, soft, marked = 0.0, np.zeros(golay.BITS, np.float32), []
    for start, length in spans:
        level = levels(start, length)
        coefficients = heard.moved(heard.swaying(level), place)
        total += score(coefficients, carriers)
        soft += carriers.soft(coefficients)
        for part in _slices(len(level), SPAN * heard.RATE // heard.HOP):
            if rayleigh(score(heard.moved(heard.swaying(level[part]), place), carriers)) < SPAN_FOUND:
                marked.append((start + part.start * heard.HOP / heard.RATE, start + part.stop * heard.HOP / heard.RATE))
    corrected = min(rayleigh(best[1]) + tried, rayleigh(total, len(spans)) + tried)
    return Mark(corrected, golay.decode(soft), soft, _joined(marked))


def _windows(seconds: float) -> list[tuple[float, float]]:
    """(start, length) of windows of 20 seconds; a rest of less than 8 seconds belongs to the last."""
    count = max(1, int((seconds + seen.WINDOW - 8) // seen.WINDOW))
    starts = [float(i * seen.WINDOW) for i in range(count)]
    return [(s, seen.WINDOW if i < count - 1 else seconds - s) for i, s in enumerate(starts)]


def _first(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those that are searched."""
    chosen = dict.fromkeys((len(spans) // 2, 0, len(spans) - 1))
    return [spans[i] for i in chosen][:SEARCHED]


def _slices(count: int, step: int) -> Iterator[slice]:
    """Slices of `step`, the rest in the last one."""
    pieces = max(1, count // step)
    for i in range(pieces):
        yield slice(i * step, count if i == pieces - 1 else (i + 1) * step)


def _joined(spans: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Neighbouring spans as one."""
    out: list[tuple[float, float]] = []
    for start, end in spans:
        if out and start - out[-1][1] < 0.1:
            out[-1] = (out[-1][0], end)
        else:
            out.append((start, end))
    return tuple((round(start, 2), round(end, 2)) for start, end in out)
