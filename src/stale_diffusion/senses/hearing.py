"""Hearing: 24 kHz mono as the energies of 48 bands every 10 ms, decoded as shaped noise and sinusoids; 6 kbit/s.

Each token is 125 ms: twelve frames of band energies in dB, transformed (KLT) and quantised, and in each of sixteen
zones of frequency how tonal it is and where its strongest sinusoid lies. The decoder shapes noise, with the sinusoids
in it, until its own band energies are those that the bits say. The sign of a waveform is not kept: rain is rain.

Shapes: T samples, F frames, K bands, Z zones, N tokens, D bits.
"""

from __future__ import annotations

import zlib
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import final

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.errors import StaleError
from stale_diffusion.senses.base import SEGMENT_SECONDS, Bits, Sense, Stream, Values
from stale_diffusion.senses.transform import LevelCode, Tensors, codec_weights, gray_decode, gray_encode, quantise

RATE = 24_000
SAMPLES = RATE * SEGMENT_SECONDS
HOP, WINDOW, FFT = 250, 500, 512
FRAMES = 12  # frames a token
TOKEN = HOP * FRAMES  # samples a token
TOKENS = SAMPLES // TOKEN
BANDS = 48
ZONES = 16  # three bands each
SHARE_BITS, PLACE_BITS = 2, 6  # of a zone's sinusoid: how strong once a token, where twice a token
TONE_BITS = ZONES * (SHARE_BITS + 2 * PLACE_BITS)
FLOOR = -96.0  # dB, nothing lower is told apart; full scale, a sine of amplitude 1, is 0
SILENCE = -86.0  # dB, below which a band is decoded as nothing at all
WIDTH = 768
LEVEL_BITS = WIDTH - TONE_BITS

_SHARES = np.array([0.0, 0.6, 0.95, 0.998], np.float32)  # of a zone's energy
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
    return (0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(WINDOW) + 0.5) / WINDOW)).astype(np.float32)


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
    power = np.abs(spectra_FB) ** 2 * (4 / FFT / np.sum(_window() ** 2))
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
    edges = zone_edges() * 2 * size / RATE
    bins = np.rint(edges).astype(int)
    share, place = np.zeros((2, len(power), ZONES), np.float32)
    rows = np.arange(len(power))
    for z, (low, high) in enumerate(pairwise(bins)):
        peak = low + power[:, low:high].argmax(1)
        before, top, after = (np.log(power[rows, peak + i] + 1e-20) for i in (-1, 0, 1))
        summit = (top >= before) & (top >= after)
        bend = np.minimum(before - 2 * top + after, -1e-9)
        exact = peak + np.clip((before - after) / (2 * bend), -0.5, 0.5)  # the top of a parabola in dB
        lobe = peak[:, None] + np.arange(-4, 5)
        inside = np.where((lobe >= low) & (lobe < high), np.take_along_axis(power, lobe, 1), 0).sum(1)
        ratio = inside / np.maximum(power[:, low:high].sum(1), 1e-20)
        chance = min(0.95, 9 * np.log(high - low) / (high - low))  # what the highest peak of noise holds
        share[:, z] = summit * np.clip((ratio - chance) / (1 - chance), 0, 1)
        place[:, z] = np.clip((exact - edges[z]) / (edges[z + 1] - edges[z]), 0, 0.999)
    return share, place


def encode_tones(sound: Array) -> Bits:
    """Sound (N * 3000,) -> (N, 224): for each zone its share, and where it is tonal the place early and late."""
    share, place = find_tones(sound)
    level = quantise(share.reshape(-1, 2, ZONES).mean(1), _SHARES)
    cell = (place * 2**PLACE_BITS).astype(np.int64).reshape(-1, 2, ZONES).swapaxes(1, 2)
    cell = np.where(level[..., None] > 0, cell, 0)
    bits = np.concatenate([gray_encode(level, SHARE_BITS), gray_encode(cell, PLACE_BITS).reshape(*level.shape, -1)], -1)
    return bits.reshape(len(level), TONE_BITS)


def carrier(tones: Bits, rng: np.random.Generator) -> Array:
    """What is to be shaped: white noise, and in tonal zones a sinusoid above it, (N, 224) -> (N * 3000,)."""
    parts = tones.reshape(len(tones), ZONES, -1)
    level = gray_decode(parts[..., :SHARE_BITS])
    cell = gray_decode(parts[..., SHARE_BITS:].reshape(len(tones), ZONES, 2, PLACE_BITS))
    place = ((cell + 0.5) / 2**PLACE_BITS).swapaxes(1, 2).reshape(-1, ZONES)
    edges = zone_edges()
    hertz = edges[:-1] + place * np.diff(edges)
    n, half = len(tones) * HOP * FRAMES, HOP * FRAMES // 2
    at, middles = np.arange(n), (np.arange(len(hertz)) + 0.5) * half
    sound = rng.standard_normal(n).astype(np.float32)
    for z in np.flatnonzero(level.any(0)):
        ratio = _SHARES[level[:, z]] / (1 - _SHARES[level[:, z]])  # of sinusoid to noise, in the sinusoid's own band
        amplitude = np.sqrt(2 * ratio * _noise_in_band(hertz[:, z]).reshape(-1, 2).mean(1))
        phase = 2 * np.pi * np.cumsum(np.interp(at, middles, hertz[:, z])) / RATE + rng.uniform(0, 2 * np.pi)
        sound += (np.interp(at, (np.arange(len(level)) + 0.5) * 2 * half, amplitude) * np.sin(phase)).astype(np.float32)
    return sound


def _noise_in_band(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """The power of unit white noise in the bands about a frequency."""
    width = np.gradient(_centres())
    return np.interp(hertz, _centres(), width) * 2 / RATE


@final
class Hearing(Sense):
    """Sound, float32 mono (T,) in [-1, 1] at 24 kHz; 6 kbit/s.

    Args:
        tensors: fitted tables; those that ship, if None.
    """

    name = "hearing"
    unit = "full scale"
    rate = Fraction(RATE)
    channels = ("mono",)
    streams = (Stream("hearing", TOKENS, WIDTH, (TOKENS, 1, 1)),)

    def __init__(self, tensors: Tensors | None = None) -> None:
        tensors = codec_weights() if tensors is None else tensors
        self._mean = tensors["hearing.mean"].astype(np.float32)
        self._basis = tensors["hearing.basis"].astype(np.float32)
        self._levels = LevelCode.load(tensors, "hearing")

    @property
    def fields(self) -> dict[str, list[int]]:
        """The coefficients of the band energies; the bits of the tones stand alone."""
        levels = [int(b) for b in self._levels.bits]
        return {"hearing": levels + [1] * (WIDTH - sum(levels))}

    def encode(self, values: Values) -> dict[str, Bits]:
        """Sound (S * 96000,) -> hearing (S, 32, 768)."""
        if values.ndim != 1 or len(values) % SAMPLES or not np.isfinite(values).all():
            what = f"this sound cannot be encoded: {values.dtype} {values.shape}"
            raise StaleError(what, f"hearing takes finite mono samples (S * {SAMPLES},)", usage=True)
        segments = np.asarray(values, np.float32).reshape(-1, SAMPLES)
        parts = [self._encode(sound) for sound in segments]
        return {"hearing": np.stack([np.empty((TOKENS, WIDTH), np.int8), *parts])[1:]}

    def _encode(self, sound: Array) -> Bits:
        levels = decibels(energies(spectra(sound))).reshape(TOKENS, -1)
        return np.concatenate([self._levels.encode(self._rounded(levels)), encode_tones(sound)], -1)

    def _rounded(self, levels: Array, sweeps: int = 3) -> Array:
        """Coefficients of band levels (N, 576), (N, K), each moved in turn to the level of least weighted error.

        Plain rounding would smooth a bird's call or a crack away by 10 dB: what stands out counts more, what nobody
        hears less.
        """
        ordinary = np.percentile(levels, 80, axis=1, keepdims=True)
        weights = np.clip((levels - FLOOR) / 30, 0.2, 1) + 3 * np.maximum(levels - ordinary - 6, 0) / 10
        weights = weights.astype(np.float32)
        centred = levels - self._mean
        rounded = self._levels.round(centred @ self._basis.T)
        error = centred - rounded @ self._basis
        for _ in range(sweeps):
            for k, (row, own) in enumerate(zip(self._basis, self._levels.levels, strict=True)):
                weighted = weights * row
                best = rounded[:, k] + np.sum(error * weighted, 1) / (weighted @ row)
                moved = own[quantise(best, own)]
                error -= (moved - rounded[:, k])[:, None] * row
                rounded[:, k] = moved
        return rounded

    def decode(self, bits: dict[str, Bits]) -> Array:
        """Hearing (S, 32, 768) -> sound (S * 96000,); the same bits give the same sound."""
        parts = [self._decode(segment) for segment in bits["hearing"]]
        return np.concatenate([np.empty(0, np.float32), *parts])

    def _decode(self, bits: Bits) -> Array:
        levels = (self._levels.decode(bits[:, :LEVEL_BITS]) @ self._basis + self._mean).reshape(-1, BANDS)
        rng = np.random.default_rng(zlib.crc32(np.packbits(bits > 0).tobytes()))
        return limit(shape(carrier(bits[:, LEVEL_BITS:], rng), levels))


def limit(sound: Array) -> Array:
    """Leave samples below 0.9 alone and bend the rest to stay below 1."""
    over = np.maximum(np.abs(sound) - 0.9, 0)
    return np.asarray(np.sign(sound) * (np.minimum(np.abs(sound), 0.9) + 0.1 * np.tanh(over / 0.1)), np.float32)
