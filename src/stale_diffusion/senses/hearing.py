"""Hearing: 24 kHz mono as the energies of 48 bands every 10 ms, decoded as shaped noise and sinusoids; 6 kbit/s.

Each token is 125 ms: twelve frames of band energies in dB, transformed (KLT) and quantised, and in each of sixteen
zones of frequency how tonal it is and where its strongest sinusoid lies. The decoder shapes noise, with the sinusoids
in it, until its own band energies are those that the bits say. The sign of a waveform is not kept: rain is rain.

Shapes: T samples, F frames, K bands, Z zones, N tokens, D bits.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import final

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.errors import StaleError
from stale_diffusion.senses.base import SEGMENT_SECONDS, Bits, Sense, Stream, Values
from stale_diffusion.senses.transform import LevelCode, Tensors, codec_weights

RATE = 24_000
SAMPLES = RATE * SEGMENT_SECONDS
HOP, WINDOW, FFT = 250, 500, 512
FRAMES = 12  # frames a token
TOKENS = SAMPLES // (HOP * FRAMES)
BANDS = 48
FLOOR = -96.0  # dB; full scale is a sine of amplitude 1
SILENCE = -84.0  # dB, below which a band is decoded as nothing at all
WIDTH = 768

Array = NDArray[np.float32]


@lru_cache(maxsize=1)
def _centres() -> NDArray[np.float64]:
    """Centres of the bands in Hz, even in mel; the lowest are one bin of the FFT apart."""
    return np.asarray(700 * np.expm1(np.linspace(0, np.log1p(RATE / 2 / 700), BANDS)))


@lru_cache(maxsize=1)
def _bands() -> Array:
    """Triangles (K, bins) that add up to one at every bin."""
    bins = np.arange(FFT // 2 + 1) * RATE / FFT
    return np.stack([np.interp(bins, _centres(), row) for row in np.eye(BANDS)]).astype(np.float32)


@lru_cache(maxsize=1)
def _window() -> Array:
    return np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(WINDOW) + 0.5) / WINDOW)).astype(np.float32)


def spectra(sound: Array) -> NDArray[np.complex64]:
    """Sound (T,) -> short-time spectra (T / 250, 257); frame k is centred on sample 250 k + 125; ends are mirrored."""
    padded = np.pad(sound, (WINDOW - HOP) // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    return np.fft.rfft(frames * _window(), FFT).astype(np.complex64)


def resynthesise(spectra_FB: NDArray[np.complex64]) -> Array:
    """Overlap-add, the inverse of `spectra` where the spectra are consistent: (F, 257) -> (F * 250,)."""
    frames = np.fft.irfft(spectra_FB, FFT)[:, :WINDOW].astype(np.float32) * _window()
    halves = frames.reshape(-1, 2, HOP)
    out = np.zeros((len(frames) + 1, HOP), np.float32)
    out[:-1] += halves[:, 0]
    out[1:] += halves[:, 1]
    weight = np.zeros_like(out)
    square = (_window() ** 2).reshape(2, HOP)
    weight[:-1] += square[0]
    weight[1:] += square[1]
    out /= weight
    edge = (WINDOW - HOP) // 2
    return out.reshape(-1)[edge : len(frames) * HOP + edge]


def energies(spectra_FB: NDArray[np.complex64]) -> Array:
    """Energies of the bands (F, K): a sine of amplitude 1 has 1 in all."""
    power = np.abs(spectra_FB) ** 2 * (4 / WINDOW / FFT)
    return np.asarray(power @ _bands().T, np.float32)


def decibels(energy: Array) -> Array:
    """10 log10, at least FLOOR."""
    return np.asarray(10 * np.log10(np.maximum(energy, 10 ** (FLOOR / 10))), np.float32)


def shape(carrier: Array, levels_FK: Array, rounds: int = 3) -> Array:
    """The carrier (F * 250,), filtered frame by frame until its band levels are `levels_FK` (dB); silence is exact."""
    target = np.where(levels_FK > SILENCE, 10 ** (levels_FK / 10), 0).astype(np.float32)
    sound = carrier
    for _ in range(rounds):
        own = spectra(sound)
        gain = np.sqrt(target / np.maximum(energies(own), 1e-12))
        sound = resynthesise(own * (gain @ _bands()))
    return sound


def zone_edges() -> NDArray[np.float64]:
    """Borders of the zones in Hz, (Z + 1,): three bands each."""
    middles = (_centres()[1:] + _centres()[:-1]) / 2
    return np.concatenate([[20.0], middles[2::3], [RATE / 2 - 20.0]])


def find_tones(sound: Array) -> tuple[Array, Array]:
    """The strongest sinusoid of each zone, twice a token: its share of the zone's energy, and its place in the zone.

    Returns:
        share (T / 1500, Z) in [0, 1], 0 where noise would look the same, and place (T / 1500, Z) in [0, 1).
    """
    half, size = HOP * FRAMES // 2, 2048
    padded = np.pad(sound, (size - half) // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::half]
    power = np.abs(np.fft.rfft(frames * np.hanning(size).astype(np.float32), 2 * size)) ** 2
    bins = np.rint(zone_edges() * 2 * size / RATE).astype(int)
    share, place = np.zeros((2, len(power), ZONES), np.float32)
    for z, (low, high) in enumerate(zip(bins[:-1], bins[1:], strict=True)):
        peak = low + power[:, low:high].argmax(1)
        lobe = np.clip(peak[:, None] + np.arange(-4, 5), low, high - 1)
        inside = np.take_along_axis(power, np.unique(lobe) if False else lobe, 1).sum(1)
        ratio = inside / np.maximum(power[:, low:high].sum(1), 1e-20)
        chance = min(0.95, 9 * np.log(high - low) / (high - low))  # what the highest peak of noise holds
        share[:, z] = np.clip((ratio - chance) / (1 - chance), 0, 1)
        place[:, z] = (peak + 0.5 - low) / (high - low)
    return share, place
