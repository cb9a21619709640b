"""Plots in other words: near ones, never the opposite of an hour or a strength, and the same for the same draws."""

import numpy as np

from stale_diffusion.training.rewording import KEPT, Rewording

PLOTS = ["strong rain on the window at night", "a small campfire by the lake at dawn", "waves break on an empty beach"]


def test_words_are_exchanged_for_near_ones() -> None:
    reword = Rewording(PLOTS)
    assert "seaside" in reword.near["beach"]
    assert not set(reword.near) & KEPT
    assert not {n for near in reword.near.values() for n in near} & KEPT


def test_hour_and_strength_stay_and_the_rest_changes() -> None:
    reword, rng = Rewording(PLOTS), np.random.default_rng(0)
    said = [reword(PLOTS[0], rng) for _ in range(40)]
    assert all("strong" in s and "night" in s for s in said)
    assert len(set(said)) > 10
    assert any("rain" not in s.split() for s in said)


def test_the_same_draws_give_the_same_words() -> None:
    reword = Rewording(PLOTS)
    assert reword(PLOTS[1], np.random.default_rng(3)) == reword(PLOTS[1], np.random.default_rng(3))
    assert reword("", np.random.default_rng(0)) == ""
