"""Touch: vibration at two places of the body, warmth and wind, at 64 Hz.

Vibration is coded as the square root of its amplitude (felt magnitude grows about so: Verrillo 1969, exponent 0.5-0.9)
and the logarithm of its frequency, half a second of all three a token, lapped so that neighbours agree; warmth and wind
share a token a segment.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.senses.base import SEGMENT_SECONDS, Bits, Sense, Stream, Values
from stale_diffusion.senses.curves import BlockCode
from stale_diffusion.senses.transform import lapped

if TYPE_CHECKING:
    from stale_diffusion.dreamscapes.place import Place
    from stale_diffusion.scene import Stage

RATE = 64
LEVEL = 1 / 24  # of the coded range; steps of felt amplitude under a tenth are not felt
FREQUENCY = (20.0, 300.0)  # Hz, where skin feels vibration and actuators make it; coded on a logarithmic scale
TEMPERATURE = (-10.0, 50.0)  # degrees Celsius
WIND = (0.0, 20.0)  # metres a second

_STEP = 0.77 * LEVEL  # so that 32 rounded coefficients together stay under a level
_VIBRATION = BlockCode(32, (8, 7, 7, 7, 6, 6, 6, 6, 6, 6, 6, 6, *(5,) * 19, 4), _STEP, floor=24)
_LAPPED = lapped(SEGMENT_SECONDS * RATE, 32)
_TEMPERATURE = BlockCode(256, (9, 7, 5, 5, 4, 4, 3, 3), _STEP)
_WIND = BlockCode(256, (9, 8, 7, 6, 6, 5, 4, 4, 4, 4, 4, 3), _STEP)


def to_unit(values: Values) -> NDArray[np.float64]:
    """Physical touch (T, 5) as coded values in [0, 1]."""
    seat, back, hertz, celsius, wind = np.asarray(values, np.float64).T
    low, high = np.log(FREQUENCY)
    pitch = (np.log(np.maximum(hertz, 1e-3)) - low) / (high - low)
    warmth = (celsius - TEMPERATURE[0]) / (TEMPERATURE[1] - TEMPERATURE[0])
    unit = np.stack([np.sqrt(np.maximum(seat, 0)), np.sqrt(np.maximum(back, 0)), pitch, warmth, wind / WIND[1]], -1)
    return np.asarray(np.clip(unit, 0, 1))


def from_unit(unit: NDArray[np.float64]) -> NDArray[np.float32]:
    """Coded values (T, 5) in [0, 1] as physical touch."""
    low, high = np.log(FREQUENCY)
    seat, back, pitch, warmth, wind = unit.T
    hertz = np.exp(low + pitch * (high - low))
    celsius = TEMPERATURE[0] + warmth * (TEMPERATURE[1] - TEMPERATURE[0])
    return np.stack([seat**2, back**2, hertz, celsius, wind * WIND[1]], -1).astype(np.float32)


@final
class Touch(Sense):
    """(T, 5): seat and back amplitude [0, 1], frequency [20, 300] Hz, temperature [-10, 50] C, wind [0, 20] m/s."""

    name = "touch"
    unit = "1, 1, Hz, degC, m/s"
    rate = Fraction(RATE)
    channels = ("seat_amplitude", "back_amplitude", "frequency", "temperature", "wind")
    streams = (
        Stream("touch.vibration", 8, 3 * _VIBRATION.width, (8, 1, 1), kinds=8),
        Stream("touch.air", 1, _TEMPERATURE.width + _WIND.width, (1, 1, 1)),
    )
    limits = ((0, 1, 1 / 63), (0, 1, 1 / 63), (*FREQUENCY, 280 / 63), (*TEMPERATURE, 60 / 63), (*WIND, 20 / 63))

    @property
    def fields(self) -> dict[str, list[int]]:
        """Three channels of 32 coefficients a half second; warmth, then wind."""
        return {"touch.vibration": [*_VIBRATION.bits] * 3, "touch.air": [*_TEMPERATURE.bits, *_WIND.bits]}

    def encode(self, values: Values) -> dict[str, Bits]:
        """(S * 256, 5) -> touch.vibration (S, 8, D), touch.air (S, 1, D); in a token channel after channel."""
        unit = to_unit(values).reshape(-1, self.samples, 5)
        lapped_SC8K = (unit[..., :3].swapaxes(1, 2) @ _LAPPED.T).reshape(-1, 3, 8, 32)
        vibration = _VIBRATION.pack(lapped_SC8K.swapaxes(1, 2))
        air = unit[:, None, :, 3:]
        parts = _TEMPERATURE.encode(air[..., 0]), _WIND.encode(air[..., 1])
        return {"touch.vibration": vibration.reshape(len(unit), 8, -1), "touch.air": np.concatenate(parts, -1)}

    def decode(self, bits: dict[str, Bits]) -> NDArray[np.float32]:
        """The inverse of `encode`, within one level."""
        lapped_S8CK = _VIBRATION.unpack(bits["touch.vibration"].reshape(-1, 8, 3, _VIBRATION.width))
        vibration = lapped_S8CK.swapaxes(1, 2).reshape(-1, 3, self.samples) @ _LAPPED
        vibration = np.clip(vibration, 0, 1).swapaxes(1, 2).reshape(-1, 3)
        warmth, wind = np.split(bits["touch.air"], [_TEMPERATURE.width], -1)
        air = np.concatenate([_TEMPERATURE.decode(warmth), _WIND.decode(wind)], 1).swapaxes(1, 2)  # (S, 256, 2)
        air = air.reshape(-1, 2)
        return from_unit(np.concatenate([vibration, air], -1))

    def to_unit(self, values: Values) -> NDArray[np.float64]:
        """As felt: square roots of amplitudes, the logarithm of the frequency."""
        return to_unit(values)

    def from_unit(self, unit: NDArray[np.float64]) -> NDArray[np.float32]:
        """The inverse of `to_unit`."""
        return from_unit(unit)

    def perform(self, place: Place, stage: Stage, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """As the place says."""
        return place.touch(stage, t)


def drive(values: Values, rate: int, phase: float = 0.0) -> tuple[NDArray[np.float32], float]:
    """What a bass shaker plays: a sine of the felt frequency at each place, (T, 5) -> (N, 2) at `rate`, in [-1, 1].

    Args:
        phase: radians at the first sample, so that blocks join without a click.

    Returns:
        The signal and the phase after its last sample.
    """
    n = len(values) * rate // RATE
    at = (np.arange(n) + 0.5) * RATE / rate - 0.5
    ticks = np.arange(len(values))
    seat, back, hertz = (np.interp(at, ticks, np.asarray(values)[:, c]) for c in range(3))
    turns = phase + np.cumsum(2 * np.pi * hertz / rate)
    signal = np.stack([seat, back], -1) * np.sin(turns)[:, None]
    return signal.astype(np.float32), float(turns[-1] % (2 * np.pi))
