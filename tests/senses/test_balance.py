"""Balance: rest is exact, motion comes back within a level, and places move the seat as their scene says."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from stale_diffusion import scene
from stale_diffusion.dreamscapes.perform import BUILT, lanes, place
from stale_diffusion.joins import join
from stale_diffusion.scene import Event, Segment, Stage, fit_curve
from stale_diffusion.senses import FELT, SENSES
from stale_diffusion.senses.balance import AXES, STROKE, TILT, Balance

BALANCE = Balance()
LEVELS = np.array(BALANCE.limits)[:, 2]


def stage(name: str, events: tuple[Event, ...] = (), **curves: float) -> Stage:
    fitted = {n: fit_curve(np.full(16, value)) for n, value in curves.items()}
    return Stage([Segment(name, name, 7, {}, fitted, events), *[Segment(name, name, 7, {}, fitted)] * 2])


def test_it_is_the_last_of_the_senses_so_that_the_streams_of_older_models_keep_their_order() -> None:
    assert list(SENSES) == ["sight", "hearing", *FELT] and FELT == ("touch", "smell", "taste", "balance")


def test_rest_is_rest_exactly_and_noise_is_valid() -> None:
    rest = np.zeros((128, 6), np.float32)
    assert np.array_equal(BALANCE.decode(BALANCE.encode(rest)), rest)
    bits = np.random.default_rng(1).choice(np.array([-1, 1], np.int8), (3, 4, 576))
    values = BALANCE.decode({"balance": bits})
    assert values.shape == (192, 6) and np.all(np.abs(values) <= np.array(BALANCE.limits)[:, 1] + 1e-6)


@pytest.mark.parametrize("name", BUILT)
def test_motion_comes_back_within_a_level_and_only_three_places_move(name: str) -> None:
    for seed in range(4):
        drawn = place(name).draw(np.random.default_rng(seed), 3)
        values = lanes(Stage(scene.decode(scene.encode(drawn))))["balance"]
        again = BALANCE.decode(BALANCE.encode(values))
        assert np.all(np.abs(again - values).max(0) <= LEVELS)
        if name not in ("shore", "night train", "thunderstorm"):
            assert not values.any()


def test_a_wash_lifts_the_boat_when_it_is_there_and_from_its_own_side() -> None:
    wave = Event("wave", 0.5, 0.8, 0.9, 0.2)
    still, moved = (lanes(stage("shore", e, swell=0.0))["balance"] for e in ((), (wave,)))
    mirrored = lanes(stage("shore", (replace(wave, x=-0.9),), swell=0.0))["balance"]
    assert np.abs(still).max() == 0
    assert not moved[:8].any() and moved[:, AXES.index("heave")].max() > 0.04
    roll = AXES.index("roll")
    assert np.abs(moved[:, roll]).max() > 1 and np.allclose(moved[:, roll], -mirrored[:, roll], atol=1e-3)


def test_a_train_that_stands_holds_still_and_a_fast_one_sways() -> None:
    standing, fast = (lanes(stage("night train", flow=v))["balance"] for v in (0.0, 0.9))
    assert np.abs(standing).max() < 1e-3
    assert fast[:, AXES.index("roll")].std() > 0.5 and fast[:, AXES.index("heave")].std() > 0.002


def test_a_draft_of_the_last_segment_is_what_the_whole_scene_does() -> None:
    from stale_diffusion import drafts

    bits = scene.encode(place("night train").draw(np.random.default_rng(3), 4))
    whole = lanes(Stage(scene.decode(bits)))["balance"]
    assert np.allclose(drafts.performed(bits, ["balance"])["balance"], whole, atol=1e-5)
    assert np.array_equal(drafts.of_scene([bits[i : i + 1] for i in range(4)])["balance"],
                          BALANCE.encode(whole[-64:])["balance"])  # fmt: skip


def test_effects_are_rigid_body_motions_on_and_off_in_order() -> None:
    values = np.zeros((80, 6), np.float32)
    values[16:48, AXES.index("heave")], values[16:48, AXES.index("roll")] = 0.05, -4
    told = list(BALANCE.effects(values, 5.0))
    assert [t for t, _ in told] == [1.0, 3.0]
    names = 'xmlns:sev="urn:s" xmlns:xsi="urn:x" xmlns:si="urn:i"'
    on, off = (ET.fromstring(text.replace("<Effect", f"<Effect {names}", 1)) for _, text in told)
    assert (on.get("activate"), off.get("activate")) == ("true", "false")
    move, lean = on[0], on[1]
    assert (move.get("directionV"), move.get("distance"), lean.get("rollAngle")) == ("90", "0.0500", "-4.00")


def test_segments_of_motion_meet_within_what_a_tick_may_move() -> None:
    values = np.zeros((128, 6), np.float32)
    values[64:] = 0.3 * np.array([STROKE] * 3 + [TILT] * 3)
    met = join("balance", values)
    steps = np.abs(np.diff(met, axis=0)).max(0) / (2 * np.array([STROKE] * 3 + [TILT] * 3))
    assert np.all(steps < 0.04) and np.allclose(met[-8:], values[-8:], atol=1e-6)
