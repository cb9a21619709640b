"""What a movie will take, before anything is loaded: shapes, memory, time and cost (`generate --dry-run`).

Of the model only the header is read; torch and numpy stay where they are. Time and memory are those of one machine, 2
cores of a Xeon (`make bench NAME=speed`): another may well take half or twice as long.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from stale_diffusion.model.files import ModelFile

SEGMENT_SECONDS = 4
PERFORMED = ("scene", "touch", "smell", "taste", "balance")  # what is sampled where picture and sound are performed
START_UP = 2.0  # seconds until the first step
SECONDS_A_GFLOP = 0.016  # of the network, two passes side by side
FRAME = 0.075  # seconds of the places' mean frame at 640x360, with mark, master and encoder
SOUND, SOUND_BYTES = 0.03, 20e3  # seconds and bytes a second, with the tracks
MEMORY, MEMORY_A_PIXEL = 560e6, 220.0  # bytes; 640x360 to 1920x1080
BYTES_A_PIXEL = 0.08  # of the file, each frame


@dataclass(frozen=True)
class Forecast:
    """What a movie will take.

    Args:
        segments: of four seconds each.
        streams: {name: (tokens, bits a token)} that are sampled, of one segment.
        passes: of the network, over all segments, steps, guidance and candidates.
        parameters: of the network.
        frames: of the picture that are performed or painted.
        memory, file: bytes.
        network, rendering: seconds, start-up in the first.
        dollars: for both.
    """

    segments: int
    streams: dict[str, tuple[int, int]]
    passes: int
    parameters: int
    frames: int
    memory: float
    file: float
    network: float
    rendering: float
    dollars: float


def forecast(
    model: ModelFile, seconds: float, steps: int, guidance: float, candidates: int, size: tuple[int, int], fps: float,
    price: float, *, paint: bool = False, turns: float | None = None, sound_alone: bool = False,
) -> Forecast:  # fmt: skip
    """Foretell a `generate` with the options of these names.

    Args:
        turns: seconds that are made and then repeated; None: all of them.
        price: dollars an hour.
    """
    segments = math.ceil((seconds if turns is None else turns) / SEGMENT_SECONDS)
    streams = {
        name: (shape[0], shape[1])
        for name, shape in model.shape["streams"].items()
        if paint or name.split(".")[0] in PERFORMED
    }
    passes = segments * steps * candidates * (1 if guidance == 1 else 2)
    tokens = sum(length for length, _ in streams.values())
    network = START_UP + passes * 2e-9 * model.parameters * tokens * SECONDS_A_GFLOP
    pixels = 0 if sound_alone else size[0] * size[1]
    made = segments * SEGMENT_SECONDS if turns else seconds  # what is repeated is copied
    rendering = made * (SOUND + fps * FRAME * pixels / (640 * 360))
    memory = MEMORY + MEMORY_A_PIXEL * pixels
    file = seconds * (SOUND_BYTES + fps * pixels * BYTES_A_PIXEL)
    dollars = (network + rendering) * price / 3600
    frames = 0 if sound_alone else math.ceil(made * fps)
    return Forecast(segments, streams, passes, model.parameters, frames, memory, file, network, rendering, dollars)


def told(found: Forecast, model: str) -> dict[str, str]:
    """The forecast in words, a line each."""
    tokens = sum(length for length, _ in found.streams.values())
    bits = sum(length * width for length, width in found.streams.values())
    return {
        "model": f"{model}, {found.parameters / 1e6:.1f} million parameters",
        "shapes": f"{found.segments} segments of {SEGMENT_SECONDS} s: {tokens} tokens, {bits:,} bits each ("
        + ", ".join(f"{name} {length}x{width}" for name, (length, width) in found.streams.items())
        + ")",
        "passes": f"{found.passes:,} of the network",
        "frames": f"{found.frames:,}",
        "memory": f"about {found.memory / 1e9:.1f} GB",
        "file": f"about {found.file / 1e6:,.0f} MB",
        "time": f"about {_clock(found.network)} for the network, {_clock(found.rendering)} for picture and sound",
        "cost": f"about ${found.dollars:.2g}",
    }


def _clock(seconds: float) -> str:
    minutes = seconds / 60
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
