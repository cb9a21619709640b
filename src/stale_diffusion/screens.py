"""Where the picture and sound of a generated movie come from: performed from the scene, or painted by the network."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stale_diffusion import scene
from stale_diffusion.movie import Screen
from stale_diffusion.senses import SEGMENT_SECONDS, SENSES
from stale_diffusion.senses.base import Bits

_FADE_SECONDS = 0.4  # of the sound, at both ends: a movie does not begin with a click


def _fade(sound: NDArray[np.float32], start: int, total: int, rate: int) -> NDArray[np.float32]:
    at = start + np.arange(len(sound))
    edge = np.minimum(at, total - 1 - at) / (_FADE_SECONDS * rate)
    return np.asarray(sound * np.clip(edge, 0, 1)[:, None], np.float32)


@final
class Performed(Screen):
    """Dreamscapes renders sight and hearing from the scene's bits (S, 25, 32), at any size and rate."""

    kind = "performed"

    def __init__(self, bits: Bits, seconds: float, device: str = "cpu") -> None:
        self.segments, self._seconds, self.device = scene.decode(bits), seconds, device

    @property
    def seconds(self) -> float:
        """Duration."""
        return self._seconds

    def frames(self, size: tuple[int, int], fps: Fraction) -> Iterator[NDArray[np.uint8]]:
        """Pictures, (H, W, 3); the same scene at another size is the same movie."""
        from stale_diffusion.dreamscapes import perform

        count = round(self._seconds * fps)
        for _, frame in zip(range(count), perform.frames(self.segments, size, fps, self.device), strict=False):
            yield frame

    def sound(self, rate: int) -> Iterator[NDArray[np.float32]]:
        """Stereo, a segment a chunk."""
        from stale_diffusion.dreamscapes import perform

        n, total = SEGMENT_SECONDS * rate, round(self._seconds * rate)
        for i, stage in perform.stages(self.segments):
            wanted = min(n, total - i * n)
            if wanted > 0:
                yield _fade(perform.sound(stage, i * n, wanted, rate), i * n, total, rate)


@final
class Painted(Screen):
    """The codecs decode the network's own tokens, {stream: (S, L, D)} of sight and hearing."""

    kind = "painted"

    def __init__(self, bits: dict[str, Bits], seconds: float) -> None:
        self.bits, self._seconds = bits, seconds

    @property
    def seconds(self) -> float:
        """Duration."""
        return self._seconds

    def _segments(self, sense: str) -> Iterator[NDArray[np.generic]]:
        streams = [s.name for s in SENSES[sense].streams]
        for i in range(len(self.bits[streams[0]])):
            yield SENSES[sense].decode({name: self.bits[name][i : i + 1] for name in streams})

    def frames(self, size: tuple[int, int], fps: Fraction) -> Iterator[NDArray[np.uint8]]:
        """Pictures, the 12 a second that were painted blended to fps and scaled to size."""
        rate, done, count = SENSES["sight"].rate, 0, round(self._seconds * fps)
        for i, painted in enumerate(self._segments("sight")):
            until = min(count, int(fps * SEGMENT_SECONDS * (i + 1)))
            for k in range(done, until):
                at = min(float(k / fps - i * SEGMENT_SECONDS) * float(rate), len(painted) - 1)
                a, part = int(at), at - int(at)
                b = min(a + 1, len(painted) - 1)
                blend = painted[a] * (1 - part) + painted[b] * part
                picture = Image.fromarray(blend.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
                yield np.asarray(picture)
            done = until

    def sound(self, rate: int) -> Iterator[NDArray[np.float32]]:
        """The painted mono sound in both ears, resampled linearly to `rate`."""
        own, total = int(SENSES["hearing"].rate), round(self._seconds * rate)
        for i, mono in enumerate(self._segments("hearing")):
            start = i * SEGMENT_SECONDS * rate
            n = min(SEGMENT_SECONDS * rate, total - start)
            if n > 0:
                resampled = np.interp(np.arange(n) / rate, np.arange(len(mono)) / own, mono.astype(np.float64))
                yield _fade(np.repeat(resampled[:, None], 2, 1).astype(np.float32), start, total, rate)


@final
class Unseen(Screen):
    """The sound of a screen alone."""

    anew = ("hearing",)

    def __init__(self, screen: Screen) -> None:
        self.screen, self.kind, self.period = screen, screen.kind, screen.period

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.screen.seconds

    def frames(self, size: tuple[int, int], fps: Fraction) -> Iterator[NDArray[np.uint8]]:
        """Nothing."""
        return iter(())

    def sound(self, rate: int) -> Iterator[NDArray[np.float32]]:
        """Sound as it is."""
        return self.screen.sound(rate)
