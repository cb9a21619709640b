"""Sight: 160x96 RGB at 12 frames a second, as a coarse whole-frame code and a fine code of blocks.

One orthonormal transform of the whole segment, lapped in time, height and width, so that a coarsely quantised picture
shows no seams. In each group of 8 frames, the 2x2 lowest luma and the lowest chroma coefficients of every block form a
small picture of the frame; its whole-frame DCT is the coarse code. What that leaves of each block is the fine code.

Shapes: S segments, F frames (48), G groups of 8 frames (6), H, W pixels, R, C rows and columns of blocks (6, 10),
K coefficients of the small picture (360), P coefficients kept of a block, D bits.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import final

import numpy as np
from numpy.typing import NDArray

from stale_diffusion.errors import StaleError
from stale_diffusion.senses.base import SEGMENT_SECONDS, Bits, Sense, Stream, Values
from stale_diffusion.senses.transform import ClassCode, LevelCode, Tensors, codec_weights, dct, lapped

FPS = 12
HEIGHT, WIDTH = 96, 160
FRAMES, BLOCK = 8, 16  # frames a group, pixels a block
GROUPS = FPS * SEGMENT_SECONDS // FRAMES
ROWS, COLUMNS = HEIGHT // BLOCK, WIDTH // BLOCK
COARSE_BITS, FINE_BITS = 320, 128
ZONE = 12  # frequencies of a block beyond this one, in height or width, are never coded

_OPPONENT = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3.0], [2.0], [6.0]])


@lru_cache(maxsize=1)
def _bases() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    return (
        lapped(FPS * SEGMENT_SECONDS, FRAMES).astype(np.float32),
        lapped(HEIGHT, BLOCK).astype(np.float32),
        lapped(WIDTH, BLOCK).astype(np.float32),
    )


def analyse(frames: Values) -> NDArray[np.float32]:
    """uint8 frames (S * F, H, W, 3) -> coefficients (S * G, 8, R, 16, C, 16, 3), luma first; orthonormal."""
    time, height, width = _bases()
    x = (np.asarray(frames, np.float32) / 255 - 0.5) @ _OPPONENT.T.astype(np.float32)
    x = x.reshape(-1, len(time), HEIGHT, WIDTH, 3)
    x = np.matmul(time, x.reshape(len(x), len(time), -1))
    x = np.matmul(height, x.reshape(-1, HEIGHT, WIDTH * 3))
    x = np.matmul(width, x.reshape(-1, WIDTH, 3))
    return np.asarray(x.reshape(-1, FRAMES, ROWS, BLOCK, COLUMNS, BLOCK, 3), np.float32)


def synthesise(coefficients: NDArray[np.float32]) -> NDArray[np.float32]:
    """The inverse of `analyse`, as floats about [0, 1], not clipped."""
    time, height, width = _bases()
    x = np.matmul(width.T, coefficients.reshape(-1, WIDTH, 3))
    x = np.matmul(height.T, x.reshape(-1, HEIGHT, WIDTH * 3))
    x = np.matmul(time.T, x.reshape(-1, len(time), HEIGHT * WIDTH * 3))
    return np.asarray(x.reshape(-1, HEIGHT, WIDTH, 3) @ _OPPONENT.astype(np.float32) + 0.5, np.float32)


@lru_cache(maxsize=1)
def _whole_frame() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Small picture to its cosines, luma (240, 240), chroma (60, 60): undo the 2x2 block DCTs, then one DCT."""
    undo = dct(2).T
    rows = dct(2 * ROWS) @ np.kron(np.eye(ROWS), undo)
    columns = dct(2 * COLUMNS) @ np.kron(np.eye(COLUMNS), undo)
    return np.kron(rows, columns).astype(np.float32), np.kron(dct(ROWS), dct(COLUMNS)).astype(np.float32)


def small_picture(coefficients: NDArray[np.float32]) -> NDArray[np.float32]:
    """Coefficients -> cosines of the small picture averaged in time, (S * G, 360): luma 12x20, chroma 2x6x10."""
    luma, chroma = _whole_frame()
    low = coefficients[:, 0]
    y = low[:, :, :2, :, :2, 0].reshape(-1, 240) @ luma.T
    c = low[:, :, 0, :, 0, 1:].reshape(-1, 60, 2).swapaxes(1, 2) @ chroma.T
    return np.concatenate([y, c.reshape(-1, 120)], -1)


def add_small_picture(coefficients: NDArray[np.float32], cosines: NDArray[np.float32]) -> None:
    """Add the small picture of `cosines` (S * G, 360) to `coefficients` in place."""
    luma, chroma = _whole_frame()
    low = coefficients[:, 0]
    low[:, :, :2, :, :2, 0] += (cosines[:, :240] @ luma).reshape(-1, ROWS, 2, COLUMNS, 2)
    low[:, :, 0, :, 0, 1:] += (
        (cosines[:, 240:].reshape(-1, 2, 60) @ chroma).swapaxes(1, 2).reshape(-1, ROWS, COLUMNS, 2)
    )


def to_blocks(coefficients: NDArray[np.float32]) -> NDArray[np.float32]:
    """Coefficients -> the low frequencies of each block, (S * G * R * C, 8 * 12 * 12 * 3)."""
    zone = coefficients[:, :, :, :ZONE, :, :ZONE]
    return np.ascontiguousarray(zone.transpose(0, 2, 4, 1, 3, 5, 6)).reshape(-1, FRAMES * ZONE * ZONE * 3)


def from_blocks(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """The inverse of `to_blocks`, zero outside the zone."""
    zone = blocks.reshape(-1, ROWS, COLUMNS, FRAMES, ZONE, ZONE, 3)
    out = np.zeros((len(zone), FRAMES, ROWS, BLOCK, COLUMNS, BLOCK, 3), np.float32)
    out[:, :, :, :ZONE, :, :ZONE] = zone.transpose(0, 3, 1, 4, 2, 5, 6)
    return out


@final
class Sight(Sense):
    """uint8 RGB frames (T, 96, 160, 3) at 12 a second; 12 kbit/s.

    Args:
        tensors: fitted tables; those that ship, if None.
    """

    name = "sight"
    unit = "RGB, 0-255"
    rate = Fraction(FPS)
    channels = ("red", "green", "blue")
    streams = (
        Stream("sight.coarse", GROUPS, COARSE_BITS, (GROUPS, 1, 1)),
        Stream("sight.fine", GROUPS * ROWS * COLUMNS, FINE_BITS, (GROUPS, ROWS, COLUMNS)),
    )

    def __init__(self, tensors: Tensors | None = None) -> None:
        tensors = codec_weights() if tensors is None else tensors
        self._mean = tensors["sight.coarse.mean"].astype(np.float32)
        self._kept = tensors["sight.coarse.kept"].astype(np.int64)
        self._coarse = LevelCode.load(tensors, "sight.coarse")
        self._zone = tensors["sight.fine.zone"].astype(np.int64)
        self._fine = ClassCode.load(tensors, "sight.fine")

    @property
    def fields(self) -> dict[str, list[int]]:
        """The coefficients of the small picture; the numbers of a block depend on its class."""
        return {"sight.coarse": [int(b) for b in self._coarse.bits]}

    def encode(self, values: Values) -> dict[str, Bits]:
        """uint8 frames (S * 48, 96, 160, 3) -> sight.coarse (S, 6, 320), sight.fine (S, 360, 128)."""
        if values.shape[1:] != (HEIGHT, WIDTH, 3) or len(values) % self.samples or values.dtype != np.uint8:
            what = f"these frames cannot be encoded: {values.dtype} {values.shape}"
            raise StaleError(what, f"sight takes uint8 (S * {self.samples}, {HEIGHT}, {WIDTH}, 3)", usage=True)
        parts = [self._encode(values[i : i + self.samples]) for i in range(0, len(values), self.samples)]
        coarse, fine = zip(*parts, strict=True) if parts else ((), ())
        empty = [np.empty((0, s.tokens, s.bits), np.int8) for s in self.streams]
        return {"sight.coarse": np.concatenate([empty[0], *coarse]), "sight.fine": np.concatenate([empty[1], *fine])}

    def _encode(self, frames: Values) -> tuple[Bits, Bits]:
        coefficients = analyse(frames)
        coarse = self._coarse.encode(small_picture(coefficients)[:, self._kept] - self._mean[self._kept])
        add_small_picture(coefficients, -self._cosines(coarse))
        fine = self._fine.encode(to_blocks(coefficients)[:, self._zone])
        return coarse[None], fine[None]

    def _cosines(self, coarse: Bits) -> NDArray[np.float32]:
        cosines = np.repeat(self._mean[None], len(coarse), 0)
        cosines[:, self._kept] += self._coarse.decode(coarse)
        return cosines

    def decode(self, bits: dict[str, Bits]) -> NDArray[np.uint8]:
        """sight.coarse (S, 6, 320), sight.fine (S, 360, 128) -> uint8 frames (S * 48, 96, 160, 3)."""
        coarse, fine = bits["sight.coarse"], bits["sight.fine"]
        frames = [self._decode(c, f) for c, f in zip(coarse, fine, strict=True)]
        return np.concatenate([np.empty((0, HEIGHT, WIDTH, 3), np.uint8), *frames])

    def _decode(self, coarse: Bits, fine: Bits) -> NDArray[np.uint8]:
        blocks = np.zeros((len(fine), FRAMES * ZONE * ZONE * 3), np.float32)
        blocks[:, self._zone] = self._fine.decode(fine)
        coefficients = from_blocks(blocks)
        add_small_picture(coefficients, self._cosines(coarse))
        return np.asarray(np.rint(np.clip(synthesise(coefficients), 0, 1) * 255), np.uint8)
