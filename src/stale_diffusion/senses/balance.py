"""Balance: how a seat, or a boat, moves under who sits in it, at 16 Hz: what the inner ear would tell.

Three ways and three turns about rest, which is zero, exactly. The axes are those of the seat: surge forwards, sway to
the right, heave up; roll to the right, pitch up with the nose, yaw to the right. Limits are those of seats for a home
(strokes of some 0.2 m, tilts of 10 degrees). Below a level (4 mm, 0.4 degrees at 4 Hz) it is touch, not balance.

Shapes: T ticks, E events, S segments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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

Array = NDArray[np.float64]

RATE = 16
LEVEL = 1 / 48  # of the range
AXES = ("heave", "sway", "surge", "roll", "pitch", "yaw")
STROKE, TILT = 0.1, 10.0  # metres and degrees, to either side
GRAVITY = 9.81

# A second of an axis a code word; the mean may swing to either side, so its zero is in the middle, too.
_CODE = BlockCode(16, (8, 8, 8, 8, 7, 7, 7, 6, 6, 6, 5, 4, 4, 4, 4, 4), 0.77 * LEVEL, floor=128)
_LAPPED = lapped(SEGMENT_SECONDS * RATE, 16)


def _moved(heave: Array, sway: Array, surge: Array, roll: Array, pitch: Array, yaw: Array) -> Array:
    """The six columns, (T, 6), bent softly at the ends of their strokes."""
    ends = np.array([STROKE] * 3 + [TILT] * 3)
    return np.asarray(ends * np.tanh(np.stack([heave, sway, surge, roll, pitch, yaw], -1) / ends))


def _afloat(stage: Stage, t: Array) -> Array:
    """A dinghy at the water's edge, its stern on the sand: each wash lifts it, pushes it up the beach and rolls it
    towards where it came from; the backwash lets go, and pulls. Between them the swell breathes."""
    from stale_diffusion.dreamscapes import lanes
    from stale_diffusion.dreamscapes.shore_picture import BORE_SPEED, MEMORY, metres

    found = stage.events("wave", float(t[0]) - MEMORY, float(t[-1]) + 1e-6)
    rows = np.array([(e.time, e.strength, e.distance, e.x) for e in found]).reshape(-1, 4)
    when, strength, far, side = (rows[:, i : i + 1] for i in range(4))
    age = t - when - 0.6 * metres(far) / BORE_SPEED  # since its wash is here
    gone = np.clip((MEMORY - (t - when)) / 2, 0, 1)  # fades before the event is forgotten
    up = strength * lanes.pulse(age, 0.5, 1.1) * gone
    back = strength * lanes.pulse(age - 1.6, 0.8, 1.4) * gone
    swell, phase = stage.values("swell", t), stage.rng("moored", float(t[0])).uniform(0, 6.28)
    breath = swell * np.sin(2 * np.pi * t / 7.0 + phase)
    heave = (0.2 * up + 0.05 * back).sum(0) + 0.03 * breath
    surge = (0.25 * back - 0.3 * up).sum(0)
    pitch = (22.0 * up - 10.0 * back).sum(0) + 2.0 * swell * np.cos(2 * np.pi * t / 7.0 + phase)
    roll = (18.0 * side * (up - 0.6 * back)).sum(0)
    sway = (0.12 * side * (back - up)).sum(0)
    return _moved(heave, sway, surge, roll, pitch, (8.0 * side * up).sum(0))


def _riding(stage: Stage, t: Array) -> Array:
    """A night train's seat: the car's two rolls, a bounce on its springs (1.3 Hz) at each joint under our bogie, the
    push of a train beside, and what speeding up and slowing down do to the inner ear, as a tilt."""
    from stale_diffusion.dreamscapes.night_train_ride import beside, joints, speed, sway

    v = stage.values("flow", t)
    leaning = sway(stage, t)
    times, loud, _ = joints(stage, float(t[0]) - 3, float(t[-1]) + 1e-6)
    near = loud > 0.3 * loud.max(initial=0.0)
    age = np.maximum(t[:, None] - times[near], 0)
    bounce = (np.exp(-age / 0.45) * np.sin(2 * np.pi * 1.3 * age)) @ loud[near]
    push = beside(stage.events("passing", float(t[0]) - 9, float(t[-1]) + 1e-6), t)
    gained = (speed(stage, t) - speed(stage, np.maximum(t - 1.0, stage.start))) / 1.0  # m/s2
    tilt = np.degrees(np.arctan(gained / GRAVITY))
    heave = 0.014 * bounce + 0.006 * v * leaning
    return _moved(heave, 0.05 * leaning + 0.02 * push, 0.01 * gained, 4.0 * leaning + 1.5 * push, tilt, 0.8 * leaning)


def _shaken(stage: Stage, t: Array) -> Array:
    """A porch in a thunderstorm: thunder makes its boards tremble (4.2 and 2.9 Hz), gusts lean on it."""
    from stale_diffusion.dreamscapes.thunderstorm import gusts, rumble

    thunder, wind = rumble(stage, t), gusts(stage, t)
    tremble, other = (np.sin(2 * np.pi * hz * t) for hz in (4.2, 2.9))
    still = np.zeros_like(t)
    return _moved(0.03 * thunder * tremble, 0.012 * thunder * other, still, 2.0 * wind, 2.5 * thunder * other, still)


_SAID = {
    "heave": "the seat lifts, and sinks", "sway": "a shift to the side", "surge": "a push from the front",
    "roll": "a slow roll, side to side", "pitch": "the seat tips back", "yaw": "the seat turns",
}  # fmt: skip
_MOVED: dict[str, Callable[[Stage, Array], Array]] = {
    "shore": _afloat,
    "night train": _riding,
    "thunderstorm": _shaken,
}  # all other places stand on firm ground


@final
class Balance(Sense):
    """(T, 6): heave, sway, surge [-0.1, 0.1] m; roll, pitch, yaw [-10, 10] degrees; at 16 Hz."""

    name = "balance"
    unit = "m, m, m, deg, deg, deg"
    rate = Fraction(RATE)
    channels = AXES
    streams = (Stream("balance", SEGMENT_SECONDS, len(AXES) * _CODE.width, (SEGMENT_SECONDS, 1, 1), kinds=4),)
    limits = tuple((-end, end, 2 * end * LEVEL) for end in [STROKE] * 3 + [TILT] * 3)
    closes = 0.5

    @property
    def fields(self) -> dict[str, list[int]]:
        """Six axes of sixteen coefficients a second."""
        return {self.name: [*_CODE.bits] * len(AXES)}

    def encode(self, values: Values) -> dict[str, Bits]:
        """(S * 64, 6) -> balance (S, 4, 576), axis after axis."""
        swing = self.to_unit(values).reshape(-1, self.samples, len(AXES)) - 0.5
        lapped_SC4K = (swing.swapaxes(1, 2) @ _LAPPED.T).reshape(-1, len(AXES), SEGMENT_SECONDS, 16)
        return {self.name: _CODE.pack(lapped_SC4K.swapaxes(1, 2)).reshape(len(swing), SEGMENT_SECONDS, -1)}

    def decode(self, bits: dict[str, Bits]) -> NDArray[np.float32]:
        """The inverse of `encode`, within one level; rest is rest, exactly."""
        lapped_S4CK = _CODE.unpack(bits[self.name].reshape(-1, SEGMENT_SECONDS, len(AXES), _CODE.width))
        swing = lapped_S4CK.swapaxes(1, 2).reshape(-1, len(AXES), self.samples) @ _LAPPED
        return self.from_unit(np.clip(swing + 0.5, 0, 1).swapaxes(1, 2).reshape(-1, len(AXES)))

    def perform(self, place: Place, stage: Stage, t: Array) -> Array:
        """The shore, the night train and the thunderstorm move the seat; the other places stand on firm ground."""
        moved = _MOVED.get(place.name)
        return super().perform(place, stage, t) if moved is None else moved(stage, t)

    def lines(self, values: Values, seconds: float) -> list[tuple[float, float, str]]:
        """What begins to move after calm: by its strongest axis, five seconds apart at least."""
        ends = np.array(self.limits)[:, 1]
        share = np.abs(np.asarray(values, np.float64)) / ends
        found, free = [], 0.0
        for i in range(0, len(values), RATE // 4):
            now, before = share[i : i + RATE // 2], share[max(0, i - RATE) : i]
            if i / RATE < free or now.max() < 0.15 or before.max(initial=0) > 0.6 * now.max():
                continue
            axis = int(now.max(0).argmax())
            found.append((i / RATE, min(2.5, seconds - i / RATE), _SAID[AXES[axis]]))
            free = i / RATE + 5
        return [line for line in found if line[1] > 0]

    def effects(self, values: Values, seconds: float) -> Iterator[tuple[float, str]]:
        """MPEG-V RigidBodyMotion (ISO/IEC 23005-3), told when an axis has moved by a level, 4 times a second at most.

        Where the seat is to be, from rest: MoveToward by a direction (degrees to the right of forwards, and upwards)
        and a distance in metres, Incline by its three angles in degrees.
        """
        levels = np.array(self.limits)[:, 2]
        told, on = np.zeros(len(AXES)), False
        for i in range(0, len(values), RATE // 4):
            now = np.asarray(values[i], np.float64)
            if np.all(np.abs(now - told) < levels):
                continue
            if on:
                yield i / RATE, _element(i / RATE, None)
            on = bool(np.any(np.abs(now) >= levels / 2))
            told = now if on else np.zeros(len(AXES))
            if on:
                yield i / RATE, _element(i / RATE, now)
        if on:
            yield seconds, _element(seconds, None)


def _element(seconds: float, pose: Array | None) -> str:
    """One effect, switched off where there is no pose; time in ticks of a thousandth, as formats/sem.py has it."""
    active, body = "false", ""
    if pose is not None:
        heave, sway, surge, roll, pitch, yaw = pose.tolist()
        across = float(np.hypot(surge, sway))
        right, upwards = np.degrees([np.arctan2(sway, surge), np.arctan2(heave, across)])
        distance = float(np.hypot(across, heave))
        move = f'directionH="{right:.0f}" directionV="{upwards:.0f}" distance="{distance:.4f}"'
        lean = f'pitchAngle="{pitch:.2f}" yawAngle="{yaw:.2f}" rollAngle="{roll:.2f}"'
        active, body = "true", f"<sev:MoveToward {move}/><sev:Incline {lean}/>"
    at = f'si:anchorElement="true" si:pts="{round(seconds * 1000)}"'
    return f'<Effect xsi:type="sev:RigidBodyMotionType" activate="{active}" {at}>{body}</Effect>'
