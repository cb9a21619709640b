"""The benchmarks' arithmetic: shapes, statistics and tables, on data whose answer is known."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stale_diffusion import scene
from stale_diffusion.dreamscapes.perform import BUILT, lanes
from stale_diffusion.generate import PERFORMED, Generator
from stale_diffusion.model.transformer import Denoiser, Shape, sizes_of
from stale_diffusion.model.weights import write_model
from stale_diffusion.scene import Event, Segment, Stage, fit_curve
from stale_diffusion.streams import STREAMS

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import arena
import card
import classifier
import joy
import model
import movie_bits
import report
import speed


@pytest.fixture(scope="module")
def dreams() -> list[classifier.Dream]:
    return [classifier.true_dream(i, seed=5, segments=1) for i in range(len(BUILT))]


def test_report_has_the_one_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    figures = [report.Figure("a", 0.5, "1", 1.0, "higher"), report.Figure("b", float("nan"), "dB", None, "lower")]
    record = json.loads(report.report("some", figures, time.monotonic()).read_text())
    assert set(record) == {"figures", "command", "commit", "machine", "seconds"}
    assert record["figures"][0] == {"name": "a", "value": 0.5, "unit": "1", "reference": 1.0, "better": "higher"}
    assert record["figures"][1]["value"] is None


def test_true_dreams_repeat_and_differ(dreams: list[classifier.Dream]) -> None:
    assert [d.place for d in dreams] == list(BUILT)
    again = classifier.true_dream(0, seed=5, segments=1)
    assert np.array_equal(again.scene, dreams[0].scene)
    assert not np.array_equal(classifier.true_dream(0, seed=6, segments=1).scene, dreams[0].scene)
    features = classifier.felt(dreams)
    assert {s: x.shape for s, x in features.items()} == {
        "touch": (len(BUILT), 60),
        "smell": (len(BUILT), 120),
        "taste": (len(BUILT), 25),
    }


def test_features_see_what_changes() -> None:
    still = np.full((4, 96, 160, 3), 90, np.uint8)
    rough = np.random.default_rng(0).integers(0, 255, still.shape).astype(np.uint8)
    a, b = classifier.sight_features(still), classifier.sight_features(rough)
    assert (b[-11:] > a[-11:] + 1).all()  # change, and the DoG bands
    t = np.arange(2 * classifier.RATE) / classifier.RATE
    low, high = (classifier.hearing_features(np.sin(2 * np.pi * hz * t).astype(np.float32)) for hz in (100, 5000))
    assert low[:40].argmax() < 10 < 30 < high[:40].argmax()


def test_features_that_are_not_finite_are_refused() -> None:
    rows = [{"sight": np.ones(3, np.float32)}, {"sight": np.array([1, np.nan, 1], np.float32)}]
    with pytest.raises(ValueError, match=r"sight of movies \[1\]"):
        classifier.gather(rows)


def test_a_judge_learns_two_heaps() -> None:
    torch.manual_seed(1)
    y = torch.arange(80) % 2
    x = torch.randn(80, 5) + 4 * y[:, None]
    judge = classifier.fit(x, y, steps=60)
    assert (judge.name(x) == y).float().mean() > 0.95
    assert judge.embed(x).shape == (80, classifier.HIDDEN)


def test_the_silent_places_share_a_taste() -> None:
    tasted = classifier.labels("taste", BUILT).tolist()
    assert len(set(tasted)) == len(classifier.TASTED) + 1
    assert classifier.labels("smell", BUILT).tolist() == list(range(len(BUILT)))


def test_ratio_and_its_error() -> None:
    right, all_right = torch.tensor([1, 1, 1, 0]).bool(), torch.ones(4).bool()
    value, error = classifier.ratio(right, all_right)
    assert value == 0.75
    assert error == pytest.approx((0.75 * 0.25 / 4) ** 0.5)


def test_two_sample_accuracy_is_a_half_for_equals_and_one_for_strangers() -> None:
    torch.manual_seed(2)
    a, b = torch.randn(200, 6), torch.randn(200, 6)
    assert abs(classifier.two_sample(a, b)[0] - 0.5) < 0.1
    assert classifier.two_sample(a + 3, b)[0] > 0.97


def test_coverage_falls_when_modes_are_missing() -> None:
    torch.manual_seed(3)
    true, whole = torch.randn(200, 2), torch.randn(200, 2)
    assert classifier.covered(whole, true) > 0.9
    assert classifier.covered(whole[:1].repeat(200, 1), true) < 0.1


def test_coherence_is_of_one_movie_even_where_fewer_are_performed() -> None:
    torch.manual_seed(4)
    y = torch.arange(48) % 6
    x = torch.eye(6)[y] * 5 + 0.1 * torch.randn(48, 6)
    judges = {s: classifier.fit(x, y, steps=60) for s in ("sight", "touch")}
    found = {
        f.name: f.value for f in model.coherence(judges, {"sight": x[:24], "touch": x}, {"sight": x[:24], "touch": x})
    }
    assert found["coherence"] == found["coherence_floor"] == 1
    assert found["coherence_ceiling"] == 0


def test_keywords_find_the_place_they_name() -> None:
    plots = ("a kettle beside my coffee", "a stream in the forest", "Zeus is furious tonight")
    asked = [classifier.Dream("shore", plot, model.NOTHING, {}) for plot in plots]
    found = [model.first_segment(d).place for d in model.by_keywords(asked)]
    assert found[:2] == ["kettle and coffee", "forest stream"]
    assert all(d.place == "shore" for d in model.by_keywords(asked))  # what was asked for stays the question


def test_hours_that_a_plot_names() -> None:
    assert model.said_hour("Waves at midnight") == "night"
    assert model.said_hour("a fire at sunset") == "dusk"
    assert model.said_hour("a low fire") is None
    assert model.said_hour("from dawn to dusk") is None


def test_unseen_wordings_cover_every_place() -> None:
    asked, meant = model.unseen_wordings()
    assert {d.place for d in asked} == set(BUILT)
    assert all(m["hour"] in model.HOURS and m["strength"] in ("weak", "strong") for m in meant)


def test_true_tracks_follow_their_scene(dreams: list[classifier.Dream]) -> None:
    for d in dreams:
        expected = model.implied(d)
        for sense in classifier.FELT:
            value = model.agreement(sense, d.felt, expected)
            assert value > 0.9 or np.isnan(value)
    assert np.isnan(model.agreement("taste", dreams[1].felt, model.implied(dreams[1])))  # rain on glass is not tasted


def test_thunder_is_felt_when_it_is_heard() -> None:
    curves = {"near": fit_curve(np.full(16, 0.9)), "rain": fit_curve(np.full(16, 0.2))}
    bolt = Event("lightning", 1.0, 0.9, 0.0, 0.1)
    storm = Segment("thunderstorm", "thunderstorm", 3, {}, curves, (bolt,))
    bits = scene.encode([storm, replace(storm, events=())])
    dream = classifier.Dream("thunderstorm", "", bits, classifier.coded(lanes(Stage(scene.decode(bits)))))
    lags, delays = model.thunder_lags(dream, dream.felt["touch"])
    assert len(lags) == len(delays) == 1
    assert abs(lags[0]) < 0.1
    late = np.roll(dream.felt["touch"], 19, axis=0)  # 0.3 s
    assert model.thunder_lags(dream, late)[0][0] == pytest.approx(lags[0] + 19 / 64, abs=0.05)


def test_the_card_takes_figures_and_keeps_its_words(tmp_path: Path) -> None:
    figures = [
        {"name": "x", "value": 0.91234, "unit": "1", "reference": 1.0, "better": "higher"},
        {"name": "x_se", "value": 0.02, "unit": "1", "reference": None, "better": "lower"},
        {"name": "x_floor", "value": None, "unit": "1", "reference": None, "better": "higher"},
    ]
    record = {"figures": figures, "command": "python model.py", "commit": "abc", "machine": "m", "seconds": 3.2}
    (tmp_path / "model.json").write_text(json.dumps(record))
    written = tmp_path / "card.md"
    words = "before\n<!-- figures: model -->\nold\n<!-- end -->\nafter\n<!-- figures: speed --><!-- end -->\n"
    written.write_text(words)
    for _ in range(2):  # writing again changes nothing
        card.write_page(written, tmp_path)
        text = written.read_text()
        assert "| `x` | 0.912 | 0.02 |  |  |  | 1 | higher |\n\n`python model.py`, commit abc" in text
        assert text.startswith("before\n")
        assert text.endswith("\nafter\n<!-- figures: speed --><!-- end -->\n")
        assert "old" not in text


def test_the_card_reads_the_models_own_words(tmp_path: Path) -> None:
    shape = Shape(width=32, depth=1, heads=2, streams=sizes_of(STREAMS))
    network = Denoiser(shape)
    write_model(network.state_dict(), shape.to_json(), tmp_path / "m.safetensors", {"hours": "1.5"})
    found = card.facts((tmp_path / "m.safetensors").read_bytes())
    assert f"| parameters | {sum(p.numel() for p in network.parameters()):,} |" in found
    assert "| width, depth, heads | 32, 1, 2 |" in found
    assert "| hours | 1.5 |" in found


def test_the_denoisers_work_is_counted() -> None:
    shape = Shape(width=32, depth=1, heads=2, streams=sizes_of(STREAMS))
    generator = Generator(Denoiser(shape), "0" * 64)
    found = {f.name: f.value for f in speed.forward_share(generator)}
    tokens = 2 * 2 * sum(s.tokens for s in STREAMS if s.name in PERFORMED)  # two movies, two segments
    blocks = sum(p.numel() for p in generator.model.blocks.parameters() if p.ndim == 2)
    assert found["denoiser_forward"] * 1e9 > 2 * tokens * blocks
    assert found["share_of_matrix_rate"] > 0


def test_the_bound_of_a_network_that_knows_nothing_is_a_coin_a_bit() -> None:
    """Before training each bit says what the channel says of it: the bound is all bits, to the error of its draws."""
    true = movie_bits.held_out(6)
    network = Denoiser(Shape(16, 2, 2, {n: s for n, s in sizes_of(STREAMS).items() if n in movie_bits.STREAMS})).eval()
    found = movie_bits.bound(network, true, draws=8)
    bits = sum(length * width for length, width in true.shapes.values())
    assert found["total"] == pytest.approx(bits, rel=0.1)
    assert sum(v for n, v in found.items() if n != "total") == pytest.approx(found["total"])


def test_true_segments_are_judged_perfect_and_noise_is_not() -> None:
    true = movie_bits.held_out(6)
    found = movie_bits.judge(true.bits, true)
    assert found["place"] == 1 and found["hour_error"] == 0 and found["mmd"] == 0 and found["diversity"] == 1
    assert found["follows_touch"] > 0.9
    noise = {n: torch.randint(0, 2, b.shape, generator=torch.Generator().manual_seed(0)).to(torch.int8) * 2 - 1
             for n, b in true.bits.items()}  # fmt: skip
    assert movie_bits.judge(noise, true)["mmd"] > 0.2


def test_samples_know_their_calls_and_given_streams_stay_given() -> None:
    true = movie_bits.held_out(6)
    network = Denoiser(Shape(16, 2, 2, {n: s for n, s in sizes_of(STREAMS).items() if n in movie_bits.STREAMS})).eval()
    wanted = {n: s for n, s in true.shapes.items() if n != "scene"}
    made = movie_bits.sample(network, true.plots, wanted, 5, given={"scene": true.bits["scene"]}, sampler="corrected")
    assert made.calls == 5 and set(made.bits) == set(wanted) and len(made.certainty) == 3


def test_the_arms_of_the_arena_stand_beside_base() -> None:
    seed = {"bound_total": 900.0, "steps": 4, "cpu_ms_a_step": 10.0, "parameters": 2e6,
            "mmd": 0.1, "place": 0.5, "hour_error": 6.0, "diversity": 1.0,
            "rotten_0.0": 0.1, "rotten_0.1": 0.2, "follows_touch": 0.0}  # fmt: skip
    results = {"base": {"0": seed, "1": seed}, "krebs": {"0": seed | {"bound_total": 890.0}, "1": seed}}
    assert "| `krebs` | 2 | 4 | 10 ms | 2.00 M | 895.0 | -5.0 (SE 5.0) | 0.1 |" in card.arms(results)
    found = {f.name: f for f in arena.figures(results)}
    assert found["krebs_bound_total"].value == 895 and "-5 to base, SE 5" in str(found["krebs_bound_total"].reference)


def test_every_arm_of_the_arena_can_be_trained() -> None:
    for name in arena.ARMS:
        made = arena.config(name, 0, 3)
        Denoiser(Shape(streams={"scene": (25, 32, 25)}, **made.model.__dict__))
        assert made.train.decay in ("cosine", "arctangent")


def test_a_token_is_compared_with_crying_joy_seed_by_seed() -> None:
    found = joy.figures({"crying_joy": {"0": 0.7, "1": 0.8}, "none": {"0": 0.6, "1": 0.6}})
    assert found[0].value == pytest.approx(0.75) and "-0.1500 to crying joy" in str(found[1].reference)
