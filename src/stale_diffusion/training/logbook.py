"""What a training says as it goes: lines on stdout, RUN/log.jsonl, RUN/progress.png, TensorBoard, contact sheets."""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw

from stale_diffusion.errors import StaleError
from stale_diffusion.model.transformer import Shape

_PLOT = "waves roll in at dusk, a soft wind, salt on the lips"
_SIZE, _EDGE = (960, 360), 56
_INK, _PAPER, _LINES = (40, 40, 46), (250, 249, 246), ((32, 96, 168), (190, 70, 50))


@dataclass(frozen=True)
class Progress:
    """Args: step, steps; loss: mean over wanted bits since the last report; losses: by stream; score_accuracy: share of
    clips whose label y-hat has the sign of; seconds: spent on this run by this process; examples: a second, of all
    ranks; mfu: share of the best matrix rate that this process's own steps reach; memory: GB at most, of this process;
    saved: a checkpoint was written."""

    step: int
    steps: int
    loss: float
    losses: dict[str, float]
    score_accuracy: float
    seconds: float
    examples: float
    mfu: float
    memory: float
    saved: Path | None


def memory(device: torch.device) -> float:
    """The most that this process has held, GB; on a GPU, of its memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def step_flops(shape: Shape, matrices: int, batch: int, tokens: int, turns: int) -> float:
    """Operations of forward and backward through the blocks; recomputed activations do not count.

    Args:
        matrices: elements of one block's matrices.
        batch, tokens: B and N.
        turns: of the loop.
    """
    passes = min(2, shape.depth) + max(0, shape.depth - 2) * turns
    return 3.0 * batch * passes * (2 * tokens * matrices + 4 * tokens**2 * shape.width)


class Logbook:
    """Writes everything down.

    Args:
        run: the run's folder.
        board: also for TensorBoard, into RUN/tensorboard.
    """

    def __init__(self, run: Path, *, board: bool) -> None:
        self.run, self._path = run, run / "log.jsonl"
        self._board = _writer(run / "tensorboard") if board else None

    def write(self, p: Progress) -> None:
        """A line on stdout, one in the log, the plot, and the board's scalars."""
        print(_line(p), flush=True)
        row = {k: v for k, v in p.__dict__.items() if k != "saved"}
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        plot(read_log(self._path)).save(self.run / "progress.png")
        if self._board is not None:
            scalars = {"loss": p.loss, "y-hat": p.score_accuracy, "examples a second": p.examples, "MFU": p.mfu,
                       "memory, GB": p.memory} | {f"loss/{name}": v for name, v in p.losses.items()}  # fmt: skip
            for name, value in scalars.items():
                self._board.add_scalar(name, value, p.step)
            self._board.flush()

    def sheet(self, step: int, path: Path) -> None:
        """A contact sheet that was made; the board shows it, too."""
        print(f"{step:>6}  contact sheet {path}", flush=True)
        if self._board is not None:
            import numpy as np

            with Image.open(path) as picture:
                self._board.add_image("contact sheet", np.asarray(picture.convert("RGB")), step, dataformats="HWC")


def _writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as e:
        mend = "pip install 'stale-diffusion[train]', or set tensorboard = false in [train]."
        raise StaleError("TensorBoard is not installed.", str(e), mend) from e
    return SummaryWriter(str(folder))


def _line(p: Progress) -> str:
    streams = "  ".join(f"{name} {loss:.4f}" for name, loss in p.losses.items())
    left = p.seconds / max(1, p.step) * (p.steps - p.step) / 60
    saved = f"  saved {p.saved}" if p.saved else ""
    return (
        f"{p.step:>6}/{p.steps}  loss {p.loss:.4f}  y-hat {p.score_accuracy:.2f}  {p.seconds / 60:.1f} min"
        f"  ~{left:.0f} left  {p.examples:.1f}/s  MFU {p.mfu:.2f}  {p.memory:.2f} GB  {streams}{saved}"
    )


def read_log(path: Path) -> list[dict[str, Any]]:
    """The rows of a log by step; of a step that was done twice, the later; a torn line is left out."""
    rows: dict[int, dict[str, Any]] = {}
    for line in path.read_text().splitlines():
        try:
            row = json.loads(line)
            rows[int(row["step"])] = row
        except (ValueError, KeyError, TypeError):
            continue
    return [rows[step] for step in sorted(rows)]


def plot(rows: list[dict[str, Any]]) -> Image.Image:
    """Loss (blue, left) and examples a second (red, right) over the steps."""
    picture = Image.new("RGB", _SIZE, _PAPER)
    draw = ImageDraw.Draw(picture)
    w, h = _SIZE
    draw.rectangle((_EDGE, 20, w - _EDGE, h - 32), outline=_INK)
    last = max(row["step"] for row in rows)
    draw.text((_EDGE, h - 24), "step 0", _INK)
    draw.text((w - _EDGE, h - 24), f"{last}", _INK, anchor="ra")
    for key, colour, left in (("loss", _LINES[0], True), ("examples", _LINES[1], False)):
        values = [float(row[key]) for row in rows]
        low, high = min(values), max(values)
        span = high - low or 1.0
        x = [_EDGE + (w - 2 * _EDGE) * row["step"] / last for row in rows]
        y = [28 + (h - 68) * (1 - (v - low) / span) for v in values]
        draw.line(list(zip(x, y, strict=True)), fill=colour, width=2)
        at, anchor = (4, "la") if left else (w - 4, "ra")
        draw.text((at, 22), f"{high:.4g}", colour, anchor=anchor)
        draw.text((at, h - 46), f"{low:.4g}", colour, anchor=anchor)
        draw.text((w // 2 + (-150 if left else 30), 4), "loss per bit" if left else "examples a second", colour)
    return picture


def make_sheet(run: Path, step: int) -> Path:
    """What the newest checkpoint dreams, always of the same plot and seed, as RUN/sheets/step-N.png."""
    from stale_diffusion.generate import load

    path = run / "sheets" / f"step-{step:09d}.png"
    path.parent.mkdir(exist_ok=True)
    return load(run).generate(_PLOT, seconds=4, seed=1).contact_sheet(path)
