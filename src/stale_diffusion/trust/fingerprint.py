"""Fingerprints of clips in sight and in sound, and how alike two of them are.

Sight: small grey stills, two a second. Two clips are compared under every crop and shift down to four fifths of the
picture, either way, and mirrored; what counts is the correlation of their detail. Sound: levels of bands that lie
evenly in the logarithm of frequency, compared at every lag, at three speeds, and with pitch shifted; what counts is the
correlation of their fluctuations, which for noise (rain, surf) are as good as a signature.

Shapes: T stills, H, W rows and columns of a still (24, 40), V views, N ticks of sound, K bands (32), P pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

STILLS = 2  # a second
HEIGHT, WIDTH = 24, 40
RATE, HOP, FFT = 24_000, 960, 2048  # of sound: 25 ticks a second
TICKS = RATE // HOP
BANDS = 32
_LOW, _HIGH = 80.0, 11_000.0  # Hz
_DARK = 1.5  # grey levels: detail weaker than this is noise of the coding
SCALES = (1.0, 0.95, 0.9, 0.85, 0.8)  # of the picture's sides that a crop leaves
SPEEDS = (1.0, 1.1, 1 / 1.1)
SHIFTS = 2  # bands of pitch, either way
MIN_SECONDS = 1.5  # of sound that must overlap

Stills = NDArray[np.uint8]
Levels = NDArray[np.float32]


@dataclass(frozen=True)
class Print:
    """The fingerprint of a clip: stills (T, 24, 40) grey, levels (N, 32) in dB; either None where there is none."""

    name: str
    stills: Stills | None
    levels: Levels | None


def grey(frames_THWC: NDArray[np.uint8]) -> Stills:
    """Frames (T, 96, 160, 3) -> stills (T, 24, 40): luma, averaged over 4x4 pixels."""
    luma = frames_THWC @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.asarray(luma.reshape(len(luma), HEIGHT, 4, WIDTH, 4).mean((2, 4)).round(), np.uint8)


@lru_cache(maxsize=1)
def _filters() -> Tensor:
    """Triangles (bins, K) even in the logarithm of frequency."""
    edges = np.geomspace(_LOW, _HIGH, BANDS + 2)
    bins = np.fft.rfftfreq(FFT, 1 / RATE)
    rise = (bins[None] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - bins[None]) / (edges[2:] - edges[1:-1])[:, None]
    return torch.from_numpy(np.clip(np.minimum(rise, fall), 0, 1).T.astype(np.float32))


def levels(sound: NDArray[np.float32]) -> Levels | None:
    """Mono sound at 24 kHz -> levels (N, 32) in dB, 25 a second; None where it is too short or silent."""
    if len(sound) < MIN_SECONDS * RATE:
        return None
    spectrum = torch.stft(
        torch.from_numpy(np.ascontiguousarray(sound)), FFT, HOP, window=torch.hann_window(FFT), return_complex=True
    )
    power = spectrum.abs().square().T @ _filters()
    out = 10 * torch.log10(power + 1e-3)  # -30 dB: the noise of 16 bits lies below
    return None if float(out.max()) < 0 else out.numpy()


# ------------------------------------------------------------------------------------------------------------ sight


@lru_cache(maxsize=1)
def _views() -> tuple[Tensor, Tensor, list[str]]:
    """Row maps (V, H, H) and column maps (V, W, W) that enlarge a part of a picture to the whole of it, and names."""
    rows, columns, names = [], [], []
    for scale in SCALES:
        offsets = (0.0,) if scale == 1 else (-1.0, 0.0, 1.0)
        for y in offsets:
            for x in offsets:
                rows.append(_stretch(HEIGHT, scale, y))
                columns.append(_stretch(WIDTH, scale, x))
                names.append("whole" if scale == 1 else f"{1 - scale:.0%} cropped")
    return torch.stack(rows), torch.stack(columns), names


def _stretch(n: int, scale: float, offset: float) -> Tensor:
    """(n, n): sample i of the result lies at scale * i in the source, moved to one end (-1) or the other (1)."""
    at = (np.arange(n) + 0.5 - n / 2) * scale + n / 2 + offset * (1 - scale) * n / 2 - 0.5
    at = np.clip(at, 0, n - 1)
    low = np.minimum(at.astype(int), n - 2)
    out = np.zeros((n, n), np.float32)
    out[np.arange(n), low] = 1 - (at - low)
    out[np.arange(n), low + 1] += at - low
    return torch.from_numpy(out)


@lru_cache(maxsize=1)
def _blurs() -> tuple[Tensor, Tensor]:
    def gaussian(n: int, sigma: float) -> Tensor:
        x = torch.arange(n)
        weights = torch.exp(-0.5 * ((x[:, None] - x[None]) / sigma) ** 2)
        return weights / weights.sum(1, keepdim=True)

    return gaussian(HEIGHT, 4.0), gaussian(WIDTH, 4.0)


def detail(stills: Tensor) -> Tensor:
    """Stills (..., H, W) -> their detail as vectors (..., P): what a blur takes away, of length at most one."""
    rows, columns = _blurs()
    high = (stills - rows @ stills @ columns.T).flatten(-2)
    high = high - high.mean(-1, keepdim=True)
    size = high.norm(dim=-1, keepdim=True)
    return torch.div(high, (size.square() + _DARK**2 * high.shape[-1]).sqrt())


def viewed(stills: Stills) -> Tensor:
    """Detail of every view of some stills, (V, T, P)."""
    rows, columns, _ = _views()
    x = torch.from_numpy(stills).float()
    return detail(rows[:, None] @ x[None] @ columns.mT[:, None])


@dataclass(frozen=True)
class Match:
    """How alike two clips are in one sense: 1 is identical; how the second has to be treated to look like the first."""

    score: float
    how: str
    at: tuple[int, int] = (0, 0)


def match_sight(a: Stills, b: Stills) -> Match:
    """How alike the stills of two clips are, at the best crop of either and mirrored or not.

    Each still of the shorter clip is compared with the stills of the other; the score is the mean over them.
    """
    _, _, names = _views()
    vb = viewed(b)
    best = Match(-1.0, "")
    for mirrored in (False, True):
        source = np.ascontiguousarray(a[:, :, ::-1]) if mirrored else a
        va = viewed(source)
        for cropped, table in (
            ("the second", torch.einsum("vtp,sp->vst", vb, va[0])),
            ("the first", torch.einsum("vsp,tp->vst", va, vb[0])),
        ):
            over = 2 if table.shape[1] <= table.shape[2] else 1
            scores = table.amax(over).mean(-1)
            v = int(scores.argmax())
            if float(scores[v]) > best.score:
                how = names[v] if v == 0 else f"{cropped} {names[v]}"
                flat = int(table[v].argmax())
                at = divmod(flat, table.shape[2])
                best = Match(float(scores[v]), how + (", mirrored" if mirrored else ""), at)
    return best


# ------------------------------------------------------------------------------------------------------------ sound


def fluctuation(levels_NK: Levels, speed: float = 1.0) -> Tensor:
    """What goes up and down in each band, without what is steady or slow, (N, K), each of spread one."""
    x = torch.from_numpy(levels_NK)
    if speed != 1:
        n = max(2, round(len(x) / speed))
        x = torch.nn.functional.interpolate(x.T[None], n, mode="linear", align_corners=True)[0].T
    kernel = torch.full((1, 1, 2 * (TICKS // 2) + 1), 1 / (2 * (TICKS // 2) + 1))
    padded = torch.nn.functional.pad(x.T[:, None], (TICKS // 2, TICKS // 2), mode="replicate")
    x = x - torch.nn.functional.conv1d(padded, kernel)[:, 0].T
    x = x.clamp(-12, 12)
    return x / (x.square().mean(0, keepdim=True) + 0.25).sqrt()


def match_sound(a: Levels, b: Levels) -> Match:
    """How alike the sounds of two clips are: the highest correlation over lags, speeds and shifts of pitch."""
    best = Match(-1.0, "")
    y = fluctuation(b)
    for speed in SPEEDS:
        x = fluctuation(a, speed)
        n, k = 1 << (len(x) + len(y) - 1).bit_length(), 2 * BANDS
        spectrum = torch.fft.rfft2(x, s=(n, k)).conj() * torch.fft.rfft2(y, s=(n, k))
        product = torch.fft.irfft2(spectrum, s=(n, k))
        lags = torch.arange(n)
        lags = torch.where(lags < n // 2, lags, lags - n)
        common = (torch.minimum(torch.tensor(len(x)), len(y) - lags) - torch.clamp(-lags, min=0)).clamp(min=0)
        enough = common >= MIN_SECONDS * TICKS
        if not bool(enough.any()):
            continue
        for shift in range(-SHIFTS, SHIFTS + 1):
            scores = product[:, shift] / (common.clamp(min=1) * (BANDS - abs(shift)))
            scores = torch.where(enough, scores * _trust(common), -1.0)
            i = int(scores.argmax())
            if float(scores[i]) > best.score:
                how = "" if speed == 1 else f"at {1 / speed:.2f} of its speed"
                best = Match(float(scores[i]), how, (int(lags[i].clamp(max=0).abs()), int(lags[i].clamp(min=0))))
    return best


def _trust(common: Tensor) -> Tensor:
    """Less overlap, more chance: scores shrink to where chance is as rare as over five seconds."""
    return (common / (5 * TICKS)).clamp(max=1).sqrt()
