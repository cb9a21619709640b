"""Quality against the length of the weight average, rebuilt afterwards from a run's thin history (EDM2).

A small network is trained once, with a pause in its middle. At the pause, where the rate is still high, and at the end,
where it has decayed, averages of ten lengths are rebuilt from the same snapshots; each is held against the last weights
by the bound on held-out segments, under the same noise. There is no profile longer than .28 of the run. A run that was
interrupted goes on: RUNS is its folder.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch
from torch import Tensor

from movie_bits import Segments, bounds, held_out
from report import OUT, Figure, report
from stale_diffusion.model.transformer import Denoiser
from stale_diffusion.training import averages, checkpoint
from stale_diffusion.training.config import Config, Data, Model, Train
from stale_diffusion.training.loop import build, train
from stale_diffusion.training.run import prepare, read

RUN = Path(os.environ.get("RUNS", "out/averaging")) / "run"
STEPS = int(os.environ.get("STEPS", "600"))
LENGTHS = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.18, 0.22, 0.28)
DATA = Data(drawn=1500, performed=0, segments=2, seed=300)
MODEL = Model(width=128, depth=4, heads=4, loss="cross_entropy")
TRAIN = Train(steps=STEPS, batch=32, rate=0.02, warmup=50, save_minutes=1.0, log_steps=50, history=40, seed=0,
              dtype="float32", mix={"dream": 1.0})  # fmt: skip
JUDGED, DRAWS = 192, 8


def measure(model: Denoiser, true: Segments) -> tuple[Tensor, dict[float, tuple[Tensor, float]]]:
    """Bits a segment (B,) of the last weights; of each length, and what is missed of its profile."""
    found = checkpoint.latest(RUN)
    assert found is not None
    model.load_state_dict(found[1]["model"])
    last_B = total(model, true)
    rows = {}
    for length in LENGTHS:
        tensors, _, missing = averages.rebuild(RUN, length)
        model.load_state_dict(tensors)
        rows[length] = total(model, true), missing
        print(f"  step {found[0]['step']}, length {length:g}: {float(rows[length][0].mean()):.1f} bits "
              f"(last weights {float(last_B.mean()):.1f}), {missing:.2%} missed", flush=True)  # fmt: skip
    return last_B, rows


def total(model: Denoiser, true: Segments) -> Tensor:
    """The bound of each segment, (B,) bits."""
    return torch.stack(list(bounds(model.eval(), true, DRAWS).values())).sum(0)


def picture(curves: dict[str, tuple[Tensor, dict[float, tuple[Tensor, float]]]], path: Path) -> None:
    """A panel a moment: what each length gains on the last weights, with standard errors of the difference."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(curves), figsize=(9, 3.4), constrained_layout=True)
    for panel, (name, (last_B, rows)) in zip(panels, curves.items(), strict=True):
        gains = [last_B - bits_B for bits_B, _ in rows.values()]
        errors = [float(g.std() / len(g) ** 0.5) for g in gains]
        panel.errorbar(list(rows), [float(g.mean()) for g in gains], errors, marker="o", capsize=3)
        panel.axhline(0, color="black", linewidth=0.8)
        panel.set(title=name, xlabel="length of the average, share of the run", xscale="log")
        panel.set_xticks([0.01, 0.03, 0.1, 0.28], ["0.01", "0.03", "0.1", "0.28"])
        panel.minorticks_off()
    panels[0].set_ylabel("bits a segment gained on the last weights")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Train, measure in the middle and at the end, draw, report."""
    started = time.monotonic()
    torch.set_num_threads(1)
    corpus, config, true = (
        read(prepare(DATA, RUN.parent / "data", 1)),
        Config("run", DATA, MODEL, TRAIN),
        held_out(JUDGED),
    )
    model, curves = build(config, corpus), {}
    kept = RUN.parent / "middle.pt"
    while True:
        found = checkpoint.latest(RUN)
        step = int(found[0]["step"]) if found else 0
        if step == STEPS // 2 and not kept.exists():
            torch.save(measure(model, true), kept)
        if step >= STEPS:
            break
        reached = {"step": step}

        def pausing(reached: dict[str, int] = reached) -> bool:
            reached["step"] += 1
            return reached["step"] == STEPS // 2

        for progress in train(config, corpus, RUN, pausing):
            print(f"  {progress.step}/{STEPS}  loss {progress.loss:.4f}", flush=True)
    curves["in the middle of the run"] = torch.load(kept)
    curves["at the end, the rate decayed"] = measure(model, true)
    picture(curves, OUT / "averaging.png")
    figures = []
    for moment, (last_B, rows) in zip(("middle", "end"), curves.values(), strict=True):
        figures.append(Figure(f"{moment}_last_weights", float(last_B.mean()), "bits", None, "lower"))
        for length, (bits_B, missing) in rows.items():
            gain = last_B - bits_B
            name = f"{moment}_length_{length:g}"
            figures += [
                Figure(name, float(bits_B.mean()), "bits", float(last_B.mean()), "lower"),
                Figure(f"{name}_gain", float(gain.mean()), "bits", None, "higher"),
                Figure(f"{name}_gain_se", float(gain.std() / len(gain) ** 0.5), "bits", None, "lower"),
                Figure(f"{name}_profile_missed", missing, "1", 0.0, "lower"),
            ]
    report("averaging", figures, started)


if __name__ == "__main__":
    main()
