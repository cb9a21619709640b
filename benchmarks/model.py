"""Does the model make what its plots ask for, in five senses? `python benchmarks/model.py` (N=40: a quick pass).

Each movie is two segments from an unseen plot of a held-out seed, made by the public `Generator.generate`, and judged
by the frozen classifier of classifier.py. Beside every figure stand, under its name and a suffix:
  _se        its standard error
  _floor     the same of true Dreamscapes: one half of the held-out ones against the other
  _ceiling   the same of another scene's true data: what a movie that ignores its plot would get
  _baseline  the same of the places' own generators, the place chosen by the plot's keywords
MODEL names another model (a file or a run's folder); TRAIN=1 trains the classifier again first.
card.py writes the figures into docs/model-card.md.

Shapes: M movies, F features, K dimensions of the classifier's hidden layer.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from classifier import (
    FELT,
    HELD_OUT,
    SEGMENTS,
    Dream,
    Judge,
    correlation,
    covered,
    digest,
    felt,
    frozen,
    gather,
    held_out,
    labels,
    performed_features,
    ratio,
    share,
    train,
    true_dream,
    two_sample,
    workers,
)  # fmt: skip
from report import Figure, report
from stale_diffusion import scene
from stale_diffusion.dreamscapes.captions import STRENGTH
from stale_diffusion.dreamscapes.light import part_of_day
from stale_diffusion.dreamscapes.perform import _MODULES, BUILT, lanes
from stale_diffusion.dreamscapes.render import truth
from stale_diffusion.dreamscapes.thunderstorm import SOUND_SPEED, loudness
from stale_diffusion.dreamscapes.thunderstorm_picture import metres
from stale_diffusion.generate import Generator, load
from stale_diffusion.movie import Movie
from stale_diffusion.scene import Segment, Stage
from stale_diffusion.senses import SEGMENT_SECONDS, SENSES
from stale_diffusion.senses.touch import to_unit
from stale_diffusion.training.config import load_config

NOTHING = np.zeros(0, np.int8)
SECONDS = SEGMENTS * SEGMENT_SECONDS
ROOT = Path(__file__).parents[1]
HOURS = {
    "night": r"\b(night|midnight|dark|moon\w*|stars|starlit)\b",
    "dawn": r"\b(dawn|sunrise|first light|sun comes up|daybreak)\b",
    "day": r"\b(noon|midday|morning|afternoon|by day|daytime|daylight|broad day)\b",
    "dusk": r"\b(dusk|sunset|evening|nightfall|sun goes down|twilight)\b",
}
Better = Literal["lower", "higher"]
Rights = dict[str, Tensor]  # {sense: (M,)} whether the judge of that sense was right
Tracks = dict[str, NDArray[np.float32]]  # {sense: (T, C)}


def generated(generator: Generator, asked: Sequence[Dream]) -> list[Dream]:
    """A movie for the plot of each, by the public generator; seeds are their numbers."""
    out = []
    for i, dream in enumerate(asked):
        movie = generator.generate(dream.plot, SECONDS, seed=i)
        assert movie.scene is not None
        out.append(Dream(dream.place, dream.plot, movie.scene, {s: movie.tracks[s].values for s in FELT}))
    return out


def unseen_wordings() -> tuple[list[Dream], list[dict[str, str]]]:
    """Plots in words that no grammar of the training knows, and what they ask for: hour and strength."""
    asked, meant = [], []
    for place in BUILT:
        module = import_module(f"stale_diffusion.dreamscapes.{_MODULES[place].split('.')[0]}")
        for plot, parameters in module.HELD_OUT_WORDINGS:
            asked.append(Dream(place, plot, NOTHING, {}))
            meant.append(parameters)
    return asked, meant


def by_keywords(asked: Sequence[Dream]) -> list[Dream]:
    """The baseline: a true movie of the place whose name shares most words with the plot; by lot where none does."""
    rng = np.random.default_rng(7)
    out = []
    for i, dream in enumerate(asked):
        said = set(re.findall(r"[a-z]+", dream.plot.lower()))
        votes = np.array([len(said & (set(place.split()) - {"on", "and"})) for place in BUILT])
        place = BUILT[int(rng.choice(np.flatnonzero(votes == votes.max())))]
        out.append(replace(true_dream(i, seed=HELD_OUT + 1, name=place), place=dream.place, plot=dream.plot))
    return out


def first_segment(dream: Dream) -> Segment:
    """The first four seconds of a movie's scene."""
    return scene.decode(dream.scene[:1])[0]


def hour(dream: Dream) -> str:
    """Night, dawn, day or dusk."""
    part = part_of_day(float(first_segment(dream).statics["hour"]))
    return part if part in ("night", "dawn", "dusk") else "day"


def said_hour(plot: str) -> str | None:
    """The hour that a plot's words name, if they name one."""
    named = [h for h, words in HOURS.items() if re.search(words, plot.lower())]
    return named[0] if len(named) == 1 else None


def strength(dream: Dream) -> float:
    """Mean over the movie of the curve that makes its place weak or strong, [0, 1]."""
    segments = scene.decode(dream.scene)
    curve = STRENGTH.get(segments[0].place, "wind")
    return float(np.mean([s.curves[curve][0] / 4 for s in segments]))


def _places(dreams: Sequence[Dream]) -> list[str]:
    return [first_segment(d).place for d in dreams]


def with_error(
    name: str, value: tuple[float, float], reference: float | str, better: Better = "higher"
) -> list[Figure]:
    """A figure and its standard error."""
    return [Figure(name, value[0], "1", reference, better), Figure(f"{name}_se", value[1], "1", None, "lower")]


def beside(name: str, better: Better = "higher", **values: float) -> list[Figure]:
    """What a figure is read against: floor=, ceiling=, baseline=."""
    return [Figure(f"{name}_{suffix}", value, "1", None, better) for suffix, value in values.items()]


def right_places(judges: dict[str, Judge], features: dict[str, Tensor], asked: Sequence[str]) -> Rights:
    """Whether the judge of each sense finds the place that was asked for, {sense: (M,)}."""
    return {s: judges[s].name(x) == labels(s, asked[: len(x)]) for s, x in features.items()}


def adherence(ours: Rights, true: Rights, other: Rights, baseline: Rights) -> list[Figure]:
    """Accuracy on our movies divided by that on true ones, for each sense."""
    figures = []
    for sense, right in ours.items():
        half = len(true[sense]) // 2
        name = f"adherence_{sense}"
        figures += with_error(name, ratio(right, true[sense]), 1.0)
        figures += beside(name, floor=ratio(true[sense][:half], true[sense][half:])[0])
        figures += beside(name, ceiling=ratio(other[sense], true[sense])[0])
        if sense in baseline:
            figures += beside(name, baseline=ratio(baseline[sense], true[sense])[0])
    return figures


def agreements(judges: dict[str, Judge], features: dict[str, Tensor]) -> Tensor:
    """Whether each two senses of a movie are of one place, (M x pairs,)."""
    count = min(len(x) for x in features.values())
    said = {s: [BUILT[int(p)] for p in judges[s].name(x[:count])] for s, x in features.items()}
    pairs = []
    for a, b in combinations(said, 2):
        tasted = "taste" if "taste" in (a, b) else a  # beside a silent tongue all silent places are one
        pairs.append(labels(tasted, said[a]) == labels(tasted, said[b]))
    return torch.stack(pairs, 1)


def coherence(judges: dict[str, Judge], ours: dict[str, Tensor], true: dict[str, Tensor]) -> list[Figure]:
    """Share of pairs of senses that agree, divided by the true set's; movies, not pairs, are the sample of the SE."""
    agree, agree_true = agreements(judges, ours).float(), agreements(judges, true).float()
    (a, da), (b, db) = _mean(agree.mean(1)), _mean(agree_true.mean(1))
    count = len(agree_true)
    first, second = (float(half.mean()) for half in agree_true.tensor_split([count // 2]))
    mixed = {s: x[:count].roll(i, 0) for i, (s, x) in enumerate(true.items())}
    other = float(agreements(judges, mixed).float().mean())
    value = a / b, (da**2 + (a / b * db) ** 2) ** 0.5 / b
    return [*with_error("coherence", value, 1.0), *beside("coherence", floor=first / second, ceiling=other / b)]


def _mean(x: Tensor) -> tuple[float, float]:
    return float(x.mean()), float(x.std(correction=0) / max(1, len(x)) ** 0.5)


def realism(judges: dict[str, Judge], ours: dict[str, Tensor], true: dict[str, Tensor]) -> list[Figure]:
    """Two-sample accuracy of each sense, and coverage over all of them."""
    figures, hidden = [], []
    count = min(len(x) for x in ours.values())
    for sense, judge in judges.items():
        with torch.no_grad():
            a, b = judge.embed(ours[sense]), judge.embed(true[sense])
        name, half = f"two_sample_{sense}", len(b) // 2
        figures += with_error(name, two_sample(a, b), 0.5, "lower")
        # places take turns: every third movie is of two of the six places, the ones after them of two others
        floor, ceiling = two_sample(b[:half], b[half:])[0], two_sample(b[::3], b[1::3])[0]
        figures += beside(name, "lower", floor=floor, ceiling=ceiling)
        hidden.append((a[:count], b[:count]))
    x, y = (torch.cat(parts, 1) for parts in zip(*hidden, strict=True))
    half = count // 2
    floor, value = covered(y[:half], y[half:]), covered(x[:half], y[half:])  # as many of ours as of the true ones
    error = (value * (1 - value) / (count - half)) ** 0.5
    one_place = covered(y[:half][:: len(BUILT)], y[half:])
    return [
        *figures,
        *with_error("coverage", (value, error), floor),
        *beside("coverage", floor=floor, ceiling=one_place),
    ]


def scene_figures(ours: Sequence[Dream], true: Sequence[Dream], baseline: Sequence[Dream]) -> list[Figure]:
    """What the scene's bits say of themselves: place by place, the hour that the plot names, weak or strong."""
    figures = []
    found, drawn = _places(ours), _places(baseline)
    for place in BUILT:
        at = [i for i, d in enumerate(ours) if d.place == place]
        name = f"scene_place_{place.replace(' ', '_')}"
        figures += with_error(name, share(torch.tensor([found[i] == place for i in at])), 1.0)
        figures += beside(name, baseline=share(torch.tensor([drawn[i] == place for i in at]))[0])
    named = [i for i, d in enumerate(true) if said_hour(d.plot)]
    clear = [i for i, d in enumerate(true) if abs(strength(d) - 0.5) > 0.2]
    other = [*true[7:], *true[:7]]  # of another place
    sets = ours, true, other, baseline
    hours = [share(torch.tensor([hour(s[i]) == said_hour(true[i].plot) for i in named])) for s in sets]
    strong = [share(torch.tensor([(strength(s[i]) > 0.5) == (strength(true[i]) > 0.5) for i in clear])) for s in sets]
    for name, (value, floor, ceiling, lot) in (("scene_hour", hours), ("scene_strength", strong)):
        figures += with_error(name, value, 1.0)
        figures += beside(name, floor=floor[0], ceiling=ceiling[0], baseline=lot[0])
    return figures


def wording_figures(ours: Sequence[Dream], drawn: Sequence[Dream], meant: Sequence[dict[str, str]]) -> list[Figure]:
    """Place, hour and strength of unseen wordings, as the scene's bits say them, beside the baseline's."""
    rows: dict[str, list[tuple[float, float]]] = {"unseen_place": [], "unseen_hour": [], "unseen_strength": []}
    for dreams in (ours, drawn):
        asked = list(zip(dreams, meant, strict=True))
        rows["unseen_place"].append(share(torch.tensor([first_segment(d).place == d.place for d in dreams])))
        rows["unseen_hour"].append(share(torch.tensor([hour(d) == m["hour"] for d, m in asked])))
        strong = [(strength(d) > 0.5) == (m["strength"] == "strong") for d, m in asked]
        rows["unseen_strength"].append(share(torch.tensor(strong)))
    figures = []
    for name, (value, baseline) in rows.items():
        figures += with_error(name, value, 1.0) + beside(name, baseline=baseline[0])
    return figures


def implied(dream: Dream) -> Tracks:
    """Touch, smell and taste as the movie's own scene implies them by the laws of its places."""
    return lanes(Stage(scene.decode(dream.scene)))


def agreement(sense: str, values: Tracks, expected: Tracks) -> float:
    """Mean correlation over the channels that should move; of touch the vibration. NaN where none does."""
    a, b = (np.asarray(to_unit(v[sense])[:, :2] if sense == "touch" else v[sense], float) for v in (values, expected))
    found = [c for x, y in zip(a.T, b.T, strict=True) if y.std() > 0.02 and (c := correlation(x, y)) == c]
    return float(np.mean(found)) if found else float("nan")


def tracks_follow_scene(ours: Sequence[Dream], true: Sequence[Dream]) -> list[Figure]:
    """Correlation over time of each felt sense with what the movie's own scene implies: waves seen are waves felt."""
    figures = []
    expected, truly = [implied(d) for d in ours], [implied(d) for d in true]
    other = truly[len(BUILT) :] + truly[: len(BUILT)]  # another scene of the same place
    for sense in FELT:
        pairs = (ours, expected), (true, truly), (true, other)
        found = [[agreement(sense, d.felt, e) for d, e in zip(dreams, scenes, strict=True)] for dreams, scenes in pairs]
        value, floor, ceiling = (_mean(torch.tensor([v for v in row if v == v])) for row in found)
        name = f"follows_scene_{sense}"
        figures += with_error(name, value, 1.0) + beside(name, floor=floor[0], ceiling=ceiling[0])
    return figures


def thunder_lags(dream: Dream, felt_touch: NDArray[np.float32]) -> tuple[list[float], list[float]]:
    """Seconds from a thunder heard to its onset in the seat, and from flash to thunder, of the clear thunders.

    Thunder is heard metres / 343 seconds after its flash (the sound is performed so); felt, where the seat's amplitude
    rises most in a tenth of a second, at most half a second off. Clear: loud enough, and no other within a second.
    """
    stage = Stage(scene.decode(dream.scene))
    seat = to_unit(felt_touch)[:, 0]
    rise = np.convolve(seat, [*[1.0] * 6, *[-1.0] * 6], "same")  # at tick i: seat after minus seat before
    found = stage.events("lightning", 0, stage.end)
    far = [float(metres(np.array(e.distance))) for e in found]
    heard = [e.time + f / SOUND_SPEED for e, f in zip(found, far, strict=True)]
    lags, delays = [], []
    for e, f, t in zip(found, far, heard, strict=True):
        delays.append(f / SOUND_SPEED)
        alone = all(abs(t - other) > 1 or other is t for other in heard)
        if alone and 0.6 < t < stage.end - 0.6 and float(loudness(np.array(e.strength), np.array(f))) > 0.2:
            ticks = np.arange(round((t - 0.5) * 64), round((t + 0.5) * 64))
            lags.append(float(ticks[rise[ticks].argmax()] / 64 - t))
    return lags, delays


def thunder_figures(ours: Sequence[Dream], true: Sequence[Dream]) -> list[Figure]:
    """Share of thunders felt within 100 ms of being heard, and whether flash-to-thunder delays are true to nature."""
    from scipy.stats import ks_2samp

    storms, real = ([d for d in dreams if d.place == "thunderstorm"] for dreams in (ours, true))
    felt_in = [(storms, storms), (real, real), (real, real[1:] + real[:1])]
    found = [[thunder_lags(d, o.felt["touch"]) for d, o in zip(a, b, strict=True)] for a, b in felt_in]
    value, floor, ceiling = (share(torch.tensor([abs(t) <= 0.1 for lags, _ in row for t in lags])) for row in found)
    name = "thunder_within_100_ms"
    delays, natural = ([t for _, row in found[k] for t in row] for k in (0, 1))
    p = float(ks_2samp(delays, natural).pvalue) if delays and natural else float("nan")
    return [*with_error(name, value, 1.0), *beside(name, floor=floor[0], ceiling=ceiling[0]),
            Figure("thunders", len(delays), "events", len(natural), "higher"),
            Figure("thunder_delay_ks_p", p, "p", "> 0.05", "higher")]  # fmt: skip


def score_figures(generator: Generator, true: Sequence[Dream]) -> list[Figure]:
    """How often y-hat (eq. 4) of a true movie is higher with its own plot than with another place's; 0.5 is chance."""
    right = []
    for d, other in zip(true, [*true[1:], *true[:1]], strict=True):
        bits = {"scene": d.scene} | {n: b for s in FELT for n, b in SENSES[s].encode(d.felt[s]).items()}
        right.append(generator.score(bits, d.plot) > generator.score(bits, other.plot))
    return [*with_error("score_prefers_its_plot", share(torch.tensor(right)), 1.0),
            *beside("score_prefers_its_plot", ceiling=0.5)]  # fmt: skip


def _packed(dreams: Sequence[Dream]) -> Tensor:
    """All bits of each segment's scene and felt senses as -1 and +1, (segments, bits)."""
    rows = []
    for d in dreams:
        bits = [d.scene, *(b for s in FELT for b in SENSES[s].encode(d.felt[s]).values())]
        rows.append(np.concatenate([b.reshape(len(d.scene), -1) for b in bits], 1))
    return torch.from_numpy(np.concatenate(rows)).float()


def copying(ours: Sequence[Dream], true: Sequence[Dream], clips: int) -> list[Figure]:
    """Share of bits in which a segment differs from the nearest of the training's first clips, beside held-out ones."""
    data = load_config(ROOT / "configs/default.toml").data
    half = range(min(clips, data.drawn) // 2)  # of each of the two seeds: one is of drawn clips, one of performed ones
    seen = _packed([_training_clip(i, 2 * data.seed + k, data.segments) for k in (0, 1) for i in half])

    def nearest(dreams: Sequence[Dream]) -> Tensor:
        x = _packed(dreams)
        return ((1 - x @ seen.T / x.shape[1]) / 2).amin(1)

    value, floor = nearest(ours), nearest(true)
    name = "nearest_training_distance"
    return [*with_error(name, _mean(value), float(floor.mean())), *beside(name, floor=float(floor.mean())),
            Figure(f"{name}_smallest", float(value.min()), "1", float(floor.min()), "higher")]  # fmt: skip


def _training_clip(index: int, seed: int, segments: int) -> Dream:
    from stale_diffusion.dreamscapes.corpus import clip

    bits = clip(index, seed=seed, segments=segments, rendered=False).bits
    return Dream("", "", bits["scene"], {s: SENSES[s].decode(bits) for s in FELT})


def _filmed(index: int, *, folder: str) -> str:
    """A true movie as a file of picture and sound, for `complete`."""
    torch.set_num_threads(1)
    path = Path(folder) / f"{index}.mp4"
    truth(BUILT[index % len(BUILT)], SEGMENT_SECONDS, HELD_OUT + index).save(path, (160, 96), 12)
    return str(path)


def completed(generator: Generator, judges: dict[str, Judge], count: int) -> list[Figure]:
    """`complete` given sight and hearing alone, no plot: is what it adds of the place that is seen and heard?"""
    dreams = []
    with tempfile.TemporaryDirectory() as folder, workers() as pool:
        for i, path in enumerate(pool.map(partial(_filmed, folder=folder), range(count))):
            opened = Movie.open(path)
            made = generator.complete(Movie(opened.seconds, opened.screen), seed=i)
            dreams.append(Dream(BUILT[i % len(BUILT)], "", NOTHING, {s: made.tracks[s].values for s in FELT}))
    true = [true_dream(i, seed=HELD_OUT + 2, segments=1) for i in range(count)]
    asked = [d.place for d in dreams]
    ours, reference = (right_places(judges, felt(d), asked) for d in (dreams, true))
    other = right_places(judges, {s: x.roll(1, 0) for s, x in felt(true).items()}, asked)
    figures = []
    for s in FELT:
        figures += with_error(f"completion_{s}", ratio(ours[s], reference[s]), 1.0)
        figures += beside(f"completion_{s}", ceiling=ratio(other[s], reference[s])[0])
    return figures


def evaluate(generator: Generator, count: int, rendered: int) -> list[Figure]:
    """All figures of a model from `count` movies; sight and hearing from `rendered` of them."""
    judges = frozen()
    true, true_features = held_out(count, rendered)
    _tell(f"{count} true movies, {rendered} of them performed")
    ours = generated(generator, true)
    _tell(f"{count} generated movies")
    features = felt(ours)
    with workers() as pool:
        features |= gather(pool.map(performed_features, [d.scene for d in ours[:rendered]]))
    _tell(f"{rendered} of them performed")
    asked, baseline = [d.place for d in true], by_keywords(true)
    other = {s: x.roll(1, 0) for s, x in true_features.items()}  # places take turns: the next is another place
    sets = features, true_features, other, felt(baseline)
    right, right_true, right_other, right_drawn = (right_places(judges, f, asked) for f in sets)
    figures = adherence(right, right_true, right_other, right_drawn)
    figures += coherence(judges, features, true_features) + realism(judges, features, true_features)
    figures += scene_figures(ours, true, baseline) + tracks_follow_scene(ours, true) + thunder_figures(ours, true)
    words, meant = unseen_wordings()
    spoken = generated(generator, words)
    _tell(f"{len(words)} unseen wordings")
    figures += wording_figures(spoken, by_keywords(words), meant)
    for sense, found in right_places(judges, felt(spoken), [d.place for d in words]).items():
        figures += with_error(f"unseen_adherence_{sense}", ratio(found, right_true[sense]), 1.0)
    figures += score_figures(generator, true) + copying(ours, true, 4 * count)
    _tell("scores, and distances to the training set")
    if "hearing" not in generator.streams:  # a model that was trained on scenes alone
        return figures
    return figures + completed(generator, judges, max(1, rendered // 18) * len(BUILT))


_STARTED = time.monotonic()


def _tell(what: str) -> None:
    print(f"{time.monotonic() - _STARTED:6.0f} s  {what}", flush=True)


def main() -> None:
    """Measure the model and write out/bench/model.json."""
    if os.environ.get("TRAIN") == "1":
        train()
    count = int(os.environ.get("N", "240"))
    generator = load(os.environ.get("MODEL"))
    _tell(f"model {generator.digest[:12]}, classifier {digest()}")
    report("model", evaluate(generator, count, min(count, max(12, count // 2))), _STARTED)


if __name__ == "__main__":
    main()
