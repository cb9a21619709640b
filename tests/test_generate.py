"""The Generator: determinism, given senses, going on, lengths; on a small network with random weights."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from stale_diffusion import scene
from stale_diffusion.dreamscapes.perform import lanes
from stale_diffusion.errors import StaleError
from stale_diffusion.generate import FELT, PERFORMED, SENSED, Generator, Preview
from stale_diffusion.inputs import given_senses
from stale_diffusion.model.transformer import Denoiser, Shape, sizes_of
from stale_diffusion.movie import Movie
from stale_diffusion.scene import Stage
from stale_diffusion.senses import SENSES
from stale_diffusion.streams import STREAMS

CLIP = Path(__file__).parent / "data/sea_island_05.mp4"


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.set_num_threads(1)
    torch.manual_seed(1)
    model = Denoiser(Shape(32, 1, 2, sizes_of(STREAMS)))
    for port in model.write.values():
        torch.nn.init.normal_(port.weight, std=0.3)
    return Generator(model, "0" * 64)


def test_the_same_seed_is_the_same_movie_and_another_is_another(generator: Generator) -> None:
    one, same, other = (generator.generate("rain", 6, seed, 2) for seed in (1, 1, 2))
    for name in FELT:
        assert np.array_equal(one.tracks[name].values, same.tracks[name].values)
    assert not np.array_equal(one.touch.values, other.touch.values)
    assert one.scene is not None and np.array_equal(one.scene, same.scene)


def test_lengths_units_and_recipe(generator: Generator) -> None:
    movie = generator.generate("rain", 6.5, 1, 2)
    assert movie.touch.values.shape == (416, 5) and movie.smell.values.shape == (13, 24)
    assert movie.taste.values.shape == (13, 5) and movie.touch.origin == "generated"
    assert movie.recipe is not None and movie.screen is not None
    assert (movie.recipe.plot, movie.recipe.seed, movie.recipe.steps, movie.recipe.segments) == ("rain", 1, 2, 2)
    assert movie.recipe.xz_bits and movie.recipe.cost_dollars and movie.recipe.keshas
    assert movie.recipe.keshas == pytest.approx(movie.recipe.xz_bits / movie.recipe.cost_dollars * 0.5)
    assert movie.screen.kind == "performed" and movie.screen.seconds == 6.5


def test_a_movie_goes_on_where_it_is(generator: Generator) -> None:
    bits = generator.generate("rain", 16, 3, 2).scene
    assert bits is not None
    segments = scene.decode(bits)
    for before, after in pairwise(segments):
        assert after.place == before.next
        assert after.variant == before.variant
        assert after.statics == before.statics


def test_an_interrupted_movie_goes_on_to_the_same_end(generator: Generator) -> None:
    whole: dict[str, np.ndarray] = {}
    generator.generate("rain", 12, 5, 2, sampled=whole)
    part = {name: b[:1] for name, b in whole.items()}
    generator.generate("rain", 12, 5, 2, sampled=part)
    assert all(np.array_equal(part[n], b) for n, b in whole.items())


def test_each_step_can_be_watched(generator: Generator) -> None:
    seen: list[Preview] = []
    generator.generate("rain", 8, 5, 3, watch=seen.append)
    assert [(p.segment, p.step) for p in seen] == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]
    assert set(seen[0].bits) == set(PERFORMED) and seen[-1].staleness == 0


def test_given_senses_are_kept_and_heeded(generator: Generator) -> None:
    filmed = Movie.open(CLIP)
    made = generator.complete(filmed, "waves", 1, 2)
    assert set(made.tracks) == set(FELT) and made.screen is filmed.screen
    assert made.recipe is not None and made.recipe.senses["sight"] == "given"
    filmed.tracks["smell"] = made.smell
    again = generator.complete(filmed, "waves", 2, 2)
    assert again.tracks["smell"] is made.smell
    assert not np.array_equal(again.touch.values, made.touch.values)
    other = {n: -b for n, b in _given(filmed).items()}
    assert not np.array_equal(_sampled(generator, _given(filmed)), _sampled(generator, other))


def _given(movie: Movie) -> dict[str, np.ndarray]:
    return {n: b for n, b in given_senses(movie, range(1), "")[0].items() if n in SENSED}


def _sampled(generator: Generator, given: dict[str, np.ndarray]) -> np.ndarray:
    parts: dict[str, list[np.ndarray]] = {}
    generator._run(parts, given, PERFORMED[1:], 1, "", 0, 2, 1.0, None, fine=False)
    return parts["touch.vibration"][0]


def test_the_network_paints_too(generator: Generator) -> None:
    movie = generator.generate("rain", 4, 1, 2, paint=True)
    assert movie.screen is not None and movie.screen.kind == "painted"
    from fractions import Fraction

    frames = list(movie.screen.frames((80, 48), Fraction(6)))
    assert len(frames) == 24 and frames[0].shape == (48, 80, 3)
    sound = np.concatenate(list(movie.screen.sound(8000)))
    assert sound.shape == (32000, 2) and np.isfinite(sound).all()


@pytest.mark.parametrize(("seconds", "steps"), [(0, 4), (-1, 4), (float("nan"), 4), (float("inf"), 4), (4, 0)])
def test_what_cannot_be_made_is_refused(generator: Generator, seconds: float, steps: int) -> None:
    with pytest.raises(StaleError):
        generator.generate("rain", seconds, 1, steps)


@pytest.mark.parametrize(
    "plot", ["", " ", "雨が降る", "x" * 100_000, "it's raining in Ke$ha's garden; rm -rf / `true`"]
)
def test_any_plot_is_a_plot(generator: Generator, plot: str) -> None:
    assert generator.generate(plot, 1, 1, 1).recipe.plot == plot  # type: ignore[union-attr]


def test_balance_is_performed_by_a_model_that_does_not_know_it_and_completed_where_it_alone_is_missing(
    tmp_path: Path,
) -> None:
    """An older model still works: from the scene, exactly; without a scene, one error."""
    knows = {name: size for name, size in sizes_of(STREAMS).items() if name != "balance"}
    torch.manual_seed(0)
    older = Generator(Denoiser(Shape(32, 1, 2, knows)), "older")
    movie = older.generate("", 4, seed=1, steps=1)
    assert movie.scene is not None and movie.tracks["balance"].origin == "derived"
    truth = lanes(Stage(scene.decode(movie.scene)))["balance"]
    assert np.allclose(movie.tracks["balance"].values, truth, atol=1e-6)
    path = tmp_path / "m.mkv"
    movie.save(path, size=(64, 36), fps=Fraction(12))
    opened = Movie.open(path)
    balance = opened.tracks.pop("balance")
    again = older.complete(opened, "", 1, 1)
    half = np.array(SENSES["balance"].limits)[:, 2] / 2  # what a timeline keeps
    assert np.all(np.abs(again.tracks["balance"].values - balance.values) <= half)
    assert all(again.tracks[n] is opened.tracks[n] for n in ("touch", "smell", "taste"))
    opened.scene = None
    with pytest.raises(StaleError, match="nothing to be made"):
        older.complete(opened, "", 1, 1)


def test_balance_alone_is_sampled_by_a_model_that_knows_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    newer = Generator(Denoiser(Shape(32, 1, 2, sizes_of(STREAMS))), "newer")
    path = tmp_path / "m.mkv"
    newer.generate("", 4, seed=1, steps=1).save(path, size=(64, 36), fps=Fraction(12))
    opened = Movie.open(path)
    assert opened.tracks.pop("balance").origin == "generated"
    again = newer.complete(opened, "", 1, 1)
    assert again.tracks["balance"].origin == "generated" and again.tracks["balance"].values.shape == (64, 6)
    assert np.array_equal(again.tracks["touch"].values, opened.tracks["touch"].values)
