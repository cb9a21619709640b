"""Few steps: what the shipped model's samples are worth at 1 to 64 steps, by sampler, and what cake, DoG and choice do.

    make bench NAME=steps            # N=192 held-out plots; about ten minutes on two cores

The network alone is judged: no draft, one segment, no past. `mmd` is the distance of all bits to true segments' (floor:
two halves of true ones), `place` the share of scenes that are of the plot's place, `follows` how touch follows the
sample's own scene, `diversity` the mean Hamming distance of samples over that of true segments. The plots of certainty
and of quality against steps go to docs/images.
"""

from __future__ import annotations

import os
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from movie_bits import Segments, denoiser, held_out, judge, mmd, ready, sample
from report import Figure, report
from stale_diffusion import scene
from stale_diffusion.channel import COSINE, corrupt
from stale_diffusion.dreamscapes.perform import frame
from stale_diffusion.guidance import energy, sharpened
from stale_diffusion.model.plot import PlotEncoder
from stale_diffusion.model.transformer import Denoiser, whole
from stale_diffusion.model.weights import read_model
from stale_diffusion.sample import SAMPLERS, pack, unpack
from stale_diffusion.scene import Stage
from stale_diffusion.senses import SENSES

COUNT = int(os.environ.get("N", "192"))
STEPS = (1, 2, 4, 8, 16, 32, 64)
IMAGES = Path("docs/images")


def said(found: dict[str, float]) -> str:
    """What stands beside a distance."""
    return f"place {found['place']:.3f}, hour {found['hour_error']:.2f} h, diversity {found['diversity']:.2f}"


def few_steps(model: Denoiser, true: Segments) -> tuple[list[Figure], dict[str, list[float]]]:
    """Every sampler at every number of steps; and what one call costs."""
    half = COUNT // 2
    x = pack(true.bits).float()
    out, curves = [Figure("mmd_floor", mmd(x[:half], x[half:]), "1", "two halves of true segments", "lower")], {}
    for name in SAMPLERS:
        curves[name] = []
        for steps in STEPS:
            started = time.process_time()
            made = sample(model, true.plots, true.shapes, steps, sampler=name)
            spent = time.process_time() - started
            found = judge(made.bits, true)
            curves[name].append(found["mmd"])
            words = f"{said(found)}, follows {found['follows_touch']:.2f}, {made.calls} calls, {spent:.1f} s"
            out.append(Figure(f"{name}_{steps}_steps_mmd", found["mmd"], "1", words, "lower"))
    drawn = judge(sample(model, true.plots, true.shapes, 16, greedy_last=False).bits, true)
    out.append(Figure("ancestral_16_steps_drawn_last_mmd", drawn["mmd"], "1", said(drawn), "lower"))
    return out, curves


def guided(model: Denoiser, true: Segments) -> list[Figure]:
    """Classifier-free guidance of the plot."""
    out = []
    for weight in (1.0, 1.5, 2.0, 3.0):
        found = judge(sample(model, true.plots, true.shapes, 16, guidance=weight).bits, true)
        out.append(Figure(f"guidance_{weight:g}_mmd", found["mmd"], "1", said(found), "lower"))
    return out


def cake(model: Denoiser, true: Segments) -> tuple[list[Figure], list[float]]:
    """Stop when every bit is hard: steps saved against quality lost, at 64 steps."""
    out, certainty = [], sample(model, true.plots, true.shapes, 64).certainty
    few = Segments(true.plots[:16], {n: b[:16] for n, b in true.bits.items()})
    for threshold in (0.9, 0.99, 0.999, None):
        calls, made = 0, []
        for i, plot in enumerate(few.plots):  # one at a time: each stops by itself, as in a movie
            one = sample(model, [plot], few.shapes, 64, until_cake=threshold, seed=i + 1)
            calls += one.calls
            made.append(one.bits)
        found = judge({n: torch.cat([m[n] for m in made]) for n in few.bits}, few)
        name = "never" if threshold is None else f"{threshold:g}"
        words = f"mmd {found['mmd']:.3f}, place {found['place']:.3f}, of 64, 16 plots"
        out.append(Figure(f"until_cake_{name}_steps", calls / len(few.plots), "1", words, "lower"))
    return out, certainty


def sharp(model: Denoiser, true: Segments, count: int = 32) -> list[Figure]:
    """DoG guidance: sharpness of the painted picture against diversity of samples."""
    shapes = {
        **true.shapes,
        **{n: (t, d) for n, (t, d, _) in model.shape.streams.items() if n in ("sight.coarse", "hearing")},
    }
    out = []
    for weight in (0.0, 0.5, 1.0, 2.0):
        made = sample(model, true.plots[:count], shapes, 16, shape_odds=lambda odds, w=weight: sharpened(odds, w))
        sight = SENSES["sight"]
        fine = np.full((count, *model.shape.streams["sight.fine"][:2]), -1, np.int8)
        frames = sight.decode({"sight.coarse": made.bits["sight.coarse"].numpy(), "sight.fine": fine})[:: sight.samples]
        x = made.bits["sight.coarse"].flatten(1).float()
        apart = float(((1 - x @ x.T / x.shape[1]) / 2).mean())
        out.append(Figure(f"sharpen_{weight:g}_dog_energy", energy(frames), "1", f"diversity {apart:.4f}", "higher"))
    return out


def chosen(model: Denoiser, true: Segments, count: int = 32, candidates: int = 4) -> list[Figure]:
    """Best of four, by y-hat and by DoG energy of the performed picture: what each choice does to the other."""
    plots, encode = true.plots[:count], PlotEncoder()
    made = [sample(model, plots, true.shapes, 16, seed=s).bits for s in range(candidates)]
    scores = torch.stack([score(model, encode, bits, plots) for bits in made])
    energies = torch.tensor([[energy(still(b)[None]) for b in bits["scene"].numpy()] for bits in made])
    out = []
    for name, best in (
        ("first", torch.zeros(count, dtype=torch.long)),
        ("score", scores.argmax(0)),
        ("dog", energies.argmax(0)),
    ):
        kept = {n: torch.stack([made[int(k)][n][i] for i, k in enumerate(best)]) for n in true.bits}
        found = judge(kept, Segments(plots, {n: b[:count] for n, b in true.bits.items()}))
        sharpness = float(energies.gather(0, best[None]).mean())
        words = f"DoG energy {sharpness:.2f}, {said(found)}"
        out.append(Figure(f"best_of_{candidates}_by_{name}_place", found["place"], "1", words, "higher"))
    return out


def score(model: Denoiser, encode: PlotEncoder, bits: dict[str, torch.Tensor], plots: list[str]) -> torch.Tensor:
    """y-hat of each, (B,)."""
    vectors, mask = encode(plots)
    tokens = {n: whole(b, torch.zeros(b.shape[:2])) for n, b in bits.items()}
    with torch.inference_mode():
        return model(tokens, {}, (vectors.to(next(model.parameters()).dtype), mask))[1]


def still(bits: np.ndarray) -> np.ndarray:
    """A frame of a scene segment (L, D), in its middle, at 160x96."""
    return frame(Stage(scene.decode(bits[None])), 2.0, (160, 96))


def calibration(model: Denoiser, true: Segments) -> list[Figure]:
    """Expected calibration error of eta per staleness, ten bins of confidence, all bits of held-out segments."""
    out, x_0 = [], pack(true.bits)
    for t in (0.2, 0.4, 0.6, 0.8, 1.0):
        x_t = corrupt(x_0, torch.full(x_0.shape, t), torch.Generator().manual_seed(1), COSINE)
        parts = [
            denoiser(model, true.plots[a:b], true.shapes)(x_t[a:b], torch.full((1, 1), t))
            for a, b in pairwise([*range(0, COUNT, 64), COUNT])
        ]
        eta = torch.cat(parts)
        sure, right = torch.maximum(eta, 1 - eta), ((eta > 0.5) == (x_0 > 0)).double()
        bins = ((sure - 0.5) * 20).long().clamp(0, 9)
        gaps = [float((sure[bins == k].mean() - right[bins == k].mean()).abs() * (bins == k).double().mean())
                for k in range(10) if (bins == k).any()]  # fmt: skip
        by_stream = {n: float(part.mean()) for n, part in unpack(sure - right, true.shapes).items()}
        words = ", ".join(f"{n} {v:+.3f}" for n, v in by_stream.items())
        out.append(Figure(f"calibration_error_t{t:g}", sum(gaps), "1", f"sure minus right: {words}", "lower"))
    return out


def draw(curves: dict[str, list[float]], floor: float, certainty: list[float]) -> None:
    """Quality against steps, and how a segment hardens."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), constrained_layout=True)
    for name, values in curves.items():
        left.plot(STEPS, values, marker="o", label=name)
    left.axhline(floor, color="grey", lw=0.8, ls=":", label="two halves of the truth")
    left.set(
        xscale="log", xticks=STEPS, xticklabels=STEPS, xlabel="calls of the network", ylabel="MMD to true segments"
    )
    left.legend(frameon=False, fontsize=8)
    right.plot(range(1, len(certainty) + 1), certainty, color="black")
    right.set(xlabel="step of 64", ylabel="hardness, mean |2 eta - 1|", ylim=(0, 1.02))
    IMAGES.mkdir(parents=True, exist_ok=True)
    fig.savefig(IMAGES / "steps.png", dpi=110)


def main() -> None:
    started = time.monotonic()
    torch.set_num_threads(1)  # small tensors, and the processor times are then those of the work
    model, true = ready(read_model(os.environ.get("MODEL"))[0]), held_out(COUNT)
    figures, curves = few_steps(model, true)
    hard, certainty = cake(model, true)
    figures += hard
    for part in (guided, sharp, chosen, calibration):
        figures += part(model, true)
        print(f"{part.__name__}: {time.monotonic() - started:.0f} s", flush=True)
    draw(curves, figures[0].value, certainty)
    report("steps", figures, started)


if __name__ == "__main__":
    main()
