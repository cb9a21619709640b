"""Sounds with the haptics that designers made for them: pairs, the split, the measures, the baselines, the fit."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stale_diffusion import media
from stale_diffusion.clips import felt

Array = NDArray[np.float64]

RATE, TICKS = 24000, 64
TOLERANCE = 0.05  # seconds, as in the evaluation of onset detection in music (MIREX)
FIT = Path(felt.__file__).with_name("touch_fit.json")


@dataclass(frozen=True)
class Pair:
    """A sound (n,) at RATE, the designer's amplitude (T,) at TICKS, and the times of emphasis in seconds."""

    name: str
    family: str
    sound: NDArray[np.float32]
    truth: Array
    onsets: Array


def pairs(folder: Path) -> tuple[list[Pair], list[Pair]]:
    """The half to fit on and the half to test on; variants of one thing (Book1, Book2) lie in the same half."""
    with (folder / "clips/touch/manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["sound"]]
    found = [p for row in rows if len((p := _pair(folder / "clips/touch", row)).truth) > 3]
    families = sorted({p.family for p in found})
    fit = set(families[::2])
    return [p for p in found if p.family in fit], [p for p in found if p.family not in fit]


def _pair(folder: Path, row: dict[str, str]) -> Pair:
    sound = np.concatenate([c[:, 0] for c in media.read_sound(folder / row["sound"], RATE, 1)])
    points = json.loads((folder / row["haptic"]).read_text())["signals"]["continuous"]["envelopes"]["amplitude"]
    times, values = (np.array([p[key] for p in points]) for key in ("time", "amplitude"))
    ticks = int(min(len(sound) / RATE, times[-1]) * TICKS) + 1
    onsets = np.array([p["time"] for p in points if "emphasis" in p])
    name = row["haptic"].removesuffix(".haptic")
    return Pair(name, re.sub(r"\d+$", "", name), sound, np.interp(np.arange(ticks) / TICKS, times, values), onsets)


def correlation(found: Array, truth: Array) -> float:
    """Pearson's, 0 where one of them does not move."""
    found = found[: len(truth)]
    found = np.pad(found, (0, len(truth) - len(found)))
    if found.std() < 1e-9 or truth.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(found, truth)[0, 1])


def f1(found: Array, truth: Array) -> float:
    """F1 of onsets, one to one within TOLERANCE."""
    hits = i = j = 0
    while i < len(found) and j < len(truth):
        late = found[i] - truth[j]
        hits, i, j = (hits + 1, i + 1, j + 1) if abs(late) <= TOLERANCE else (hits, i + (late < 0), j + (late > 0))
    return 2 * hits / (len(found) + len(truth)) if len(found) + len(truth) else 1.0


def mean_f1(some: Sequence[Pair], pick: Callable[[Pair], Array]) -> float:
    """Mean over the pairs in which the designer set an emphasis."""
    return float(np.mean([f1(pick(p), p.onsets) for p in some if len(p.onsets)]))


# ------------------------------------------------------------------------------------------------- the baselines


def best_follower(fit: Sequence[Pair]) -> tuple[tuple[float, ...], Callable[[Pair], Array]]:
    """The envelope follower whose band, rise, fall, delay and exponent correlate best with the designers' half."""
    bands, rises, falls = (
        ((0, 0), (20, 250), (60, 1000), (200, 4000)),
        (0, 0.003, 0.008),
        (0.015, 0.03, 0.04, 0.06, 0.12),
    )
    best = (-1.0, (0.0,))
    for (low, high), rise, fall in product(bands, rises, falls):
        envelopes = [_follower(p, low, high, rise, fall) for p in fit]
        for delay, exponent in product((-0.01, 0, 0.01), (0.45, 0.6, 0.8, 1)):
            values = [_at(e, p, delay) ** exponent for e, p in zip(envelopes, fit, strict=True)]
            score = np.mean([correlation(v, p.truth) for v, p in zip(values, fit, strict=True)])
            best = max(best, (float(score), (low, high, rise, fall, delay, exponent)))
    low, high, rise, fall, delay, exponent = best[1]
    return best[1], lambda p: _at(_follower(p, low, high, rise, fall), p, delay) ** exponent


def _follower(pair: Pair, low: float, high: float, rise: float, fall: float) -> Array:
    sound = felt._bandpass(pair.sound, RATE, low, high) if high else pair.sound.astype(np.float64)
    return felt.follow(felt._peaks(sound, RATE), rise, fall)


def _at(envelope: Array, pair: Pair, delay: float) -> Array:
    at = (np.arange(len(pair.truth)) / TICKS + delay) * felt.ENVELOPE_RATE
    return np.interp(at, np.arange(len(envelope)) + 0.5, envelope)


def best_detector(fit: Sequence[Pair]) -> tuple[tuple[float, ...], Callable[[Pair], Array]]:
    """The detector by spectral flux (log-compressed bands, 5 ms) whose settings have the best F1 on one half."""
    best = (-1.0, (0.0,))
    for compress, lag, local in product((1, 10, 100), (1, 2, 4), (False, True)):
        curves = [_flux(p, compress, lag, local) for p in fit]
        known = {p.name: c for p, c in zip(fit, curves, strict=True)}
        for threshold, gap in product((0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6), (0.02, 0.03, 0.05, 0.1)):
            score = mean_f1(fit, lambda p, k=known, t=threshold, g=gap: _picked(k[p.name], t, g))  # type: ignore[misc]
            best = max(best, (score, (compress, lag, local, threshold, gap)))
    compress, lag, local, threshold, gap = best[1]
    return best[1], lambda p: _picked(_flux(p, compress, int(lag), bool(local)), threshold, gap)


def _flux(pair: Pair, compress: float, lag: int, local: bool, hop: int = 120, size: int = 512) -> Array:
    padded = np.concatenate([np.zeros(size // 2), pair.sound, np.zeros(size)])
    views = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop][: len(pair.sound) // hop + 1]
    spectrum = np.abs(np.fft.rfft(views * np.hanning(size)))
    edges = np.unique(np.geomspace(2, size // 2, 25).astype(int))
    bands = np.stack([spectrum[:, a:b].mean(1) for a, b in pairwise(edges)], 1)
    level = np.log1p(compress * bands / (bands.max() + 1e-9))
    flux = np.maximum(level - np.concatenate([np.zeros((lag, level.shape[1])), level[:-lag]])[: len(level)], 0).sum(1)
    if local:
        flux = flux - np.convolve(np.pad(flux, 10, "edge"), np.ones(21) / 21, "valid")
    return np.asarray(flux / (flux.max() + 1e-9))


def _picked(curve: Array, threshold: float, gap: float, rate: int = 200) -> Array:
    padded = np.concatenate([[0.0], curve, [0.0]])
    peaks = np.flatnonzero((padded[1:-1] >= padded[:-2]) & (padded[1:-1] > padded[2:]) & (padded[1:-1] > threshold))
    out: list[float] = []
    for peak in peaks.tolist():
        if not out or peak / rate - out[-1] >= gap:
            out.append(peak / rate)
    return np.array(out)


# ------------------------------------------------------------------------------------------------------- the fit


def fit_weights(some: Sequence[Pair], prior: float = 0.003, steps: int = 150) -> dict[str, object]:
    """Non-negative weights and an exponent that make the mean correlation highest, drawn to the plain follower."""
    import torch

    longest = max(len(p.truth) for p in some)
    x_BTF = torch.zeros(len(some), longest, len(felt.FOLLOWERS))
    y_BT, m_BT = torch.zeros(len(some), longest), torch.zeros(len(some), longest)
    for i, pair in enumerate(some):
        n = len(pair.truth)
        x_BTF[i, :n] = torch.tensor(felt.features(pair.sound, RATE, n, TICKS)[0])
        y_BT[i, :n], m_BT[i, :n] = torch.tensor(pair.truth), 1

    def centred(v_BT: torch.Tensor) -> torch.Tensor:
        return (v_BT - (v_BT * m_BT).sum(1, keepdim=True) / m_BT.sum(1, keepdim=True)) * m_BT

    start = torch.full((len(felt.FOLLOWERS),), 1.0)
    start[felt.FOLLOWERS.index((0.0, 0.0, 0.003, 0.03))] = 5.0
    raw, power = start.clone().requires_grad_(), torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.Adam([raw, power], lr=0.08)
    for _ in range(steps):
        a = centred((x_BTF @ torch.nn.functional.softplus(raw - 5) + 1e-5) ** power.exp())
        y = centred(y_BT)
        fit = (a * y).sum(1) / (a.norm(dim=1) * y.norm(dim=1) + 1e-6)
        loss = -fit.mean() + prior * (power.square().sum() + (raw - start).square().mean())
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    weights = torch.nn.functional.softplus(raw.detach() - 5)
    weights /= weights.sum()
    names = [felt.name(f) for f in felt.FOLLOWERS]
    return {
        "source": "fitted on half of the pairs of sound and haptics of Lofelt's NiceVibrations",
        "licence": "pairs: MIT (c) Meta Platforms, Inc. and affiliates",
        "command": "TRAIN=1 make bench NAME=touch",
        "pairs": sorted(p.name for p in some),
        "exponent": round(float(power.detach().exp()), 4),
        "weights": {n: round(float(w), 5) for n, w in zip(names, weights, strict=True)},
    }
