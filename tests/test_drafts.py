"""Drafts of touch, smell and taste: from the physics of a scene, and from a clip's sound and words."""

import numpy as np

from stale_diffusion import drafts, scene
from stale_diffusion.dreamscapes.corpus import draw
from stale_diffusion.dreamscapes.perform import lanes
from stale_diffusion.scene import Stage
from stale_diffusion.senses import SENSES
from stale_diffusion.senses.smell import NOTES


def felt(bits: dict[str, np.ndarray]) -> np.ndarray:
    return SENSES["touch"].decode({n: bits[n] for n in ("touch.vibration", "touch.air")})


def test_a_draft_of_a_scene_is_what_its_physics_says_of_the_last_segment() -> None:
    segments, _ = draw(np.random.default_rng(4), 3, "campfire")
    bits = scene.encode(segments)
    draft = drafts.of_scene([b[None] for b in bits])
    truth = lanes(Stage(scene.decode(bits)))["touch"][-SENSES["touch"].samples :]
    assert np.corrcoef(np.sqrt(felt(draft)[:, 1]), np.sqrt(truth[:, 1]))[0, 1] > 0.9
    assert {n: b.shape[0] for n, b in draft.items()} == dict.fromkeys(
        ("touch.vibration", "touch.air", "smell", "taste", "balance"), 1
    )


def test_a_late_draft_is_what_the_whole_movie_says() -> None:
    segments, _ = draw(np.random.default_rng(6), 8, "night train")  # longer than a stage remembers
    bits = scene.encode(segments)
    late = felt(drafts.of_scene([b[None] for b in bits]))
    truth = lanes(Stage(scene.decode(bits)))["touch"][-SENSES["touch"].samples :]
    coded = felt(SENSES["touch"].encode(truth))
    assert np.corrcoef(late[:, 0], coded[:, 0])[0, 1] > 0.99
    grown = [felt(drafts.of_scene([b[None] for b in bits[: n + 1]])) for n in range(8)]
    assert np.array_equal(grown[-1], late)


def test_a_draft_of_a_clip_shakes_with_its_rumble() -> None:
    t = np.arange(96_000) / 24_000
    rumble = (0.5 * np.sin(2 * np.pi * 50 * t) * (t > 2)).astype(np.float32)
    draft = drafts.of_clip(rumble, None, "waves and salt at the sea")
    seat = felt(draft)[:, 0]
    assert seat[160:].mean() > 0.2 > 10 * seat[:100].mean()
    assert drafts.of_clip(None, None, "") == {}


def test_what_a_plot_names_is_given() -> None:
    bits, mask = drafts.named("a peony in flower")["smell"]
    notes = SENSES["smell"].decode({"smell": bits}).mean(0)
    assert notes[NOTES.index("flowers")] > 0.5
    assert mask.reshape(24, -1)[NOTES.index("flowers")].all()
    assert not mask.reshape(24, -1)[NOTES.index("sea salt")].any()
    assert drafts.named("") == {}
