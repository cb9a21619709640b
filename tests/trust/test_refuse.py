"""A prude learns from two folders, says where and when, steers, and what it refuses is not shown in any sense."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import final

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from stale_diffusion import media, recipe, scene
from stale_diffusion.errors import StaleError
from stale_diffusion.movie import RGB, Filmed, Movie, Screen, Sound, Track
from stale_diffusion.senses.transform import gray_encode
from stale_diffusion.trust import learning
from stale_diffusion.trust.clips import clips_of
from stale_diffusion.trust.features import codec_digest, watch
from stale_diffusion.trust.learning import auc, learn, threshold
from stale_diffusion.trust.prude import Prude, load_prude
from stale_diffusion.trust.refusing import Cut, Pixelated, Refusal, refuse

FPS = Fraction(12)
Make = Callable[[tuple[float, float]], Movie]


@final
class Acted(Screen):
    """A dim room in which a red lamp is lit and hums at some times, at the left."""

    kind = "filmed"

    def __init__(self, seed: int, lit: tuple[float, float], length: float = 2.0) -> None:
        self.seed, self.lit, self.length = seed, lit, length

    @property
    def seconds(self) -> float:
        return self.length

    def frames(self, size: tuple[int, int], fps: Fraction) -> Iterator[RGB]:
        rng = np.random.default_rng(self.seed)
        room = rng.integers(60, 100, (size[1] // 8, size[0] // 8, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
        for k in range(round(self.length * fps)):
            frame = room.copy()
            if self.lit[0] <= k / fps < self.lit[1]:
                frame[size[1] // 3 : 2 * size[1] // 3, size[0] // 10 : 3 * size[0] // 10] = (230, 40, 20)
            yield frame

    def sound(self, rate: int) -> Iterator[Sound]:
        t = np.arange(round(self.length * rate)) / rate
        noise = 0.01 * np.random.default_rng(self.seed).standard_normal(len(t))
        hum = 0.3 * np.sin(2 * np.pi * 440 * t) * ((t >= self.lit[0]) & (t < self.lit[1]))
        yield np.repeat((noise + hum)[:, None], 2, 1).astype(np.float32)


def write(path: Path, screen: Screen) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    with media.MovieWriter(path, (160, 96), FPS, touch_rate=None) as out:
        for frame in screen.frames((160, 96), FPS):
            out.frame(frame)
        for chunk in screen.sound(48_000):
            out.sound(chunk)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("clips")
    for i in range(5):
        write(folder / f"good/{i}.mp4", Acted(i, (0, 0)))
        write(folder / f"bad/{i}.mp4", Acted(50 + i, (0, 9)))
    return folder / "good", folder / "bad"


@pytest.fixture(scope="module")
def prude(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Prude:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning, "STEPS", 60)
        learnt, found = learn(*folders, 0.2, scenes=0)
    assert found.auc == 1 and found.recall >= 0.8 and found.false_alarms <= 0.35
    path = tmp_path_factory.mktemp("prude") / "prude.safetensors"
    learnt.save(path)
    return load_prude(path)


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Make:
    folder = tmp_path_factory.mktemp("movies")
    return lambda lit: acted(folder / f"{lit}.mp4", lit)


def acted(path: Path, lit: tuple[float, float]) -> Movie:
    if not path.exists():
        write(path, Acted(7, lit, 8))
    values = np.linspace(0, 1, 16, dtype=np.float32)[:, None]
    smell = Track("smell", Fraction(2), ("salt",), "intensity", values, "generated")
    return Movie(8, Filmed(path), {"smell": smell}, recipe.Recipe("a room"))


def test_the_verdict_says_when_and_where(prude: Prude, movie: Make) -> None:
    assert set(prude.heads) == {"sight", "hearing"}
    verdict = prude.judge(watch(movie((4, 6)).screen))
    assert len(verdict.refused) == 12 and verdict.refused[6:9].all() and not verdict.refused[:4].any()
    assert verdict.places is not None
    row, column = np.unravel_index(verdict.places[7].argmax(), (6, 10))
    assert 1 <= row <= 4 and column <= 3
    assert not prude.judge(watch(movie((0, 0)).screen)).refused.any()


def test_what_is_refused_is_pixelated_in_every_sense_and_the_rest_is_as_it_was(prude: Prude, movie: Make) -> None:
    before = movie((4, 6))
    after = refuse(before, prude)
    assert isinstance(after.screen, Pixelated) and before.screen is not None
    old, new = (np.stack([*m.screen.frames((160, 96), FPS)]) for m in (before, after))
    assert (old[:24] == new[:24]).all() and (old[60] != new[60]).any()
    assert (old[52:68, :, 140:] == new[52:68, :, 140:]).all()  # the lamp is at the left
    heard = [np.concatenate([*m.screen.sound(48_000)]) for m in (before, after)]
    assert (heard[0][:90_000] == heard[1][:90_000]).all()
    spectra = [np.abs(np.fft.rfft(h[4 * 48_000 : 6 * 48_000, 0])) for h in heard]
    assert spectra[1][880] < 0.1 * spectra[0][880]  # 440 Hz
    assert np.sqrt((heard[1][200_000:280_000] ** 2).mean()) > 0.05  # and not silence either
    smell = after.smell.values[:, 0]
    assert (smell[:4] == before.smell.values[:4, 0]).all()
    assert set(np.round(smell[9:11] * 3, 5)) <= {0, 1, 2, 3}
    assert after.recipe is not None and "sha256 " + prude.digest in after.recipe.refused[0]
    assert "pixelate 3.33" in after.recipe.refused[1] and "sight" in after.recipe.refused[1]
    assert recipe.from_json(after.recipe.to_json()).refused == list(after.recipe.refused)


def test_what_is_refused_is_cut_out_or_withheld(prude: Prude, movie: Make) -> None:
    before = movie((4, 6))
    after = refuse(before, prude, "cut")
    assert isinstance(after.screen, Cut) and 4 <= after.seconds < 6.1
    frames = np.stack([*after.screen.frames((160, 96), FPS)])
    assert len(frames) >= round(after.seconds * FPS) and not (frames[..., 0] > 200).any()
    sound = np.concatenate([*after.screen.sound(48_000)])
    assert abs(len(sound) / 48_000 - after.seconds) < 0.01 and np.abs(sound).max() < 0.1
    assert len(after.smell.values) == round(2 * after.seconds)
    with pytest.raises(StaleError, match="refuses this movie"):
        refuse(before, prude, "stop")
    with pytest.raises(StaleError, match="Nothing would be left"):
        refuse(movie((0, 9)), prude, "cut")
    with pytest.raises(StaleError, match="cannot be met"):
        refuse(before, prude, "pray")
    calm = refuse(movie((0, 0)), prude, "stop")
    assert calm.recipe is not None and calm.recipe.refused[-1] == "nothing was refused"


def test_a_prude_of_other_codecs_or_of_another_kind(prude: Prude, tmp_path: Path) -> None:
    path = tmp_path / "prude.safetensors"
    prude.save(path)
    tensors = load_file(path)
    about = {"format": "stale-diffusion prude 1", "codec": "0" * 16, "about": "{}"}
    save_file(tensors, path, about)
    with pytest.raises(StaleError, match="another codec version"):
        load_prude(path)
    save_file(tensors | {"sight.out": np.zeros(3, np.float32)}, path, about | {"codec": codec_digest()})
    with pytest.raises(StaleError, match="damaged prude"):
        load_prude(path)
    for data in (b"", b"\xff" * 40, b"\x00" * 8, b"not one"):
        path.write_bytes(data)
        with pytest.raises(StaleError, match="is not a prude"):
            load_prude(path)
    with pytest.raises(StaleError, match="cannot be read"):
        load_prude(tmp_path / "nothing.safetensors")


def test_folders_that_cannot_be_learnt_from(folders: tuple[Path, Path], tmp_path: Path) -> None:
    good, bad = folders
    with pytest.raises(StaleError, match="holds no clips"):
        learn(tmp_path, bad)
    with pytest.raises(StaleError, match="does not exist"):
        learn(tmp_path / "none", bad)
    one = tmp_path / "one"
    one.mkdir()
    (one / "clip.mp4").symlink_to(clips_of(good)[0])
    with pytest.raises(StaleError, match="too few clips"):
        learn(one, bad)
    with pytest.raises(StaleError, match="no rate of false alarms"):
        learn(good, bad, 1.5)


def test_a_sense_that_the_prude_does_not_know(prude: Prude) -> None:
    deaf = replace(prude, heads={"hearing": prude.heads["hearing"]})
    silent = Path(__file__).parents[1] / "data/sea_island_05.mp4"
    look = next(watch(Filmed(silent)))
    with pytest.raises(StaleError, match="cannot judge"):
        deaf.judge([replace(look, hearing=None)])


def test_the_threshold_keeps_its_promise() -> None:
    rng = np.random.default_rng(0)
    over = [np.mean(rng.normal(size=500) > threshold(rng.normal(size=60).astype(np.float32), 0.1)) for _ in range(300)]
    assert 0.06 < np.mean(over) < 0.11  # conformal: at most 0.1 on average
    few = rng.normal(size=5).astype(np.float32)
    assert threshold(few, 0.05) > few.max()
    assert auc(np.array([3, 1, 2, 0]), np.array([1, 1, -1, -1])) == 0.75


def test_steering_leaves_the_refused_place_and_nothing_else() -> None:
    place = np.full(len(scene.PLACES), -8, np.float32)
    place[5] = 8
    rest = np.zeros(25 * 32, np.float32)
    rest[100] = 4
    steered = Prude({}, place, rest, {}).steer(torch.zeros(1, 25, 32))
    plus = torch.sigmoid(steered[0, 0, :4]).double()
    law = (gray_encode(np.arange(16), 4) > 0) * plus.numpy() + (gray_encode(np.arange(16), 4) < 0) * (1 - plus.numpy())
    assert law.prod(1)[5] < 0.06 * 0.7  # 1/16 without
    moved = steered.flatten().abs() > 1e-6
    assert moved[:4].all() and steered.flatten()[100] < -0.05 and int(moved.sum()) == 5
    blind = Prude({}, None, None, {})
    assert (blind.steer(torch.ones(1, 25, 32)) == 1).all()


def test_steering_turns_back_a_scene_that_is_nearly_refused() -> None:
    place = np.full(len(scene.PLACES), -8, np.float32)
    place[5] = 8
    code = torch.from_numpy(gray_encode(np.array(5), 4)).float()
    odds = torch.zeros(1, 25, 32)
    odds[0, 0, :4] = 3 * code  # campfire at 0.95 a bit
    steered = Prude({}, place, np.zeros(25 * 32, np.float32), {}).steer(odds)
    assert torch.sigmoid(steered[0, 0, :4] * code).prod() < 0.5 < torch.sigmoid(odds[0, 0, :4] * code).prod()


def test_a_margin_in_time_and_place() -> None:
    moments = np.zeros(12, np.float32) - 1
    moments[5] = 1
    places = np.full((12, 6, 10), -1, np.float32)
    places[5, 2, 3] = 1
    refusal = Refusal.of(type("V", (), {"refused": moments > 0, "scores": {"sight": moments}, "places": places})())
    assert list(np.flatnonzero(refusal.moments)) == [4, 5, 6]
    assert refusal.places.sum() == 27 and refusal.places[4:7, 1:4, 2:5].all()
    assert refusal.spans == [(pytest.approx(8 / 3), pytest.approx(14 / 3), ["sight"])]
