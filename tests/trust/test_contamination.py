"""A clip is found again in another set, whatever was done to it, and other clips are left alone."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from material import rain, scenery, write

from stale_diffusion.clips.ingest import ingest
from stale_diffusion.errors import StaleError
from stale_diffusion.trust.contamination import LINES, contamination, table
from stale_diffusion.trust.fingerprint import levels, match_sight, match_sound
from stale_diffusion.trust.index import Index


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    for i in range(4):
        write(folder / f"{i}.mp4", scenery(i), rain(i))
    return folder


def test_planted_copies_are_found_in_sight_and_in_sound_and_clean_clips_are_not(train: Path, tmp_path: Path) -> None:
    test = tmp_path / "test"
    write(test / "crop.mp4", scenery(0)[:, 10:182, 25:313], rain(90))
    write(test / "flip.mp4", scenery(1)[:, :, ::-1], rain(91))
    write(test / "fast.mp4", scenery(2), rain(92), Fraction(66, 5))
    write(test / "heard.mp4", scenery(93), rain(3))
    write(test / "clean.mp4", scenery(94), rain(94))
    write(test / "dark.mp4", np.zeros((36, 192, 320, 3), np.uint8), 0 * rain(0))
    found = contamination(train, test)
    assert {(p.test, p.train, p.sense) for p in found.pairs} == {
        ("crop.mp4", "0.mp4", "sight"), ("flip.mp4", "1.mp4", "sight"), ("fast.mp4", "2.mp4", "sight"),
        ("heard.mp4", "3.mp4", "sound"),
    }  # fmt: skip
    assert found.tested == 6 and found.trained == 4
    assert "mirrored" in next(p.match.how for p in found.pairs if p.test == "flip.mp4")
    lines = table(found)
    assert len(lines) == 5 and lines[0] == "test,train,sense,score,how"


def test_shards_and_clips_are_compared_with_each_other(train: Path, tmp_path: Path) -> None:
    ingest(train, tmp_path / "shards")
    found = contamination(tmp_path / "shards", train)
    assert {(p.test, p.train) for p in found.pairs if p.sense == "sight"} == {(f"{i}.mp4",) * 2 for i in range(4)}


def test_speed_and_pitch_of_a_sound() -> None:
    sound = rain(5, 5)[::2, 0]
    at = np.arange(int(len(sound) / 1.1)) * 1.1
    faster = np.interp(at, np.arange(len(sound)), sound).astype(np.float32)
    one, other, late = (levels(s) for s in (sound, faster, sound[30_000:]))
    assert one is not None and other is not None and late is not None
    changed = match_sound(one, other)
    assert changed.score > LINES["sound"] and "of its speed" in changed.how
    assert match_sound(one, late).score > 0.7
    stranger = levels(rain(6, 5)[::2, 0])
    assert stranger is not None and match_sound(one, stranger).score < 0.3
    assert levels(np.zeros(120_000, np.float32)) is None and levels(sound[:1000]) is None


def test_flat_pictures_are_like_nothing() -> None:
    flat = np.full((6, 24, 40), 90, np.uint8)
    noise = np.random.default_rng(0).integers(88, 92, (6, 24, 40)).astype(np.uint8)
    assert match_sight(flat, flat).score < 0.01
    assert match_sight(noise, noise).score < 0.5


def test_the_index_finds_what_exhaustive_search_finds() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.nn.functional.normalize(torch.randn(300, 16, generator=generator), dim=1)
    own = torch.randint(300, (30_000,), generator=generator)
    noise = 0.1 * torch.randn(30_000, 16, generator=generator)
    vectors = torch.nn.functional.normalize(centres[own] + noise, dim=1)
    index = Index(vectors)
    assert len(index.centres) > 1
    queries = torch.nn.functional.normalize(vectors[:200] + 0.05 * torch.randn(200, 16, generator=generator), dim=1)
    scores, found = index.search(queries, 3)
    exact = (queries @ vectors.T).topk(3, 1)
    assert float((found[:, 0] == exact.indices[:, 0]).double().mean()) > 0.97
    assert bool((scores[:, :-1] >= scores[:, 1:]).all())
    few, none = Index(vectors[:2]).search(queries[:1], 5)
    assert none[0, 2:].tolist() == [-1, -1, -1] and few.shape == (1, 5)


def test_sets_that_cannot_be_compared(train: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for a, b in ((empty, train), (train, empty)):
        with pytest.raises(StaleError, match="holds no clips"):
            contamination(a, b)
    with pytest.raises(StaleError, match="does not exist"):
        contamination(train, tmp_path / "none")
    (empty / "broken.mp4").write_bytes(b"no clip")
    said: list[str] = []
    with pytest.raises(StaleError, match="Nothing in"):
        contamination(train, empty, said.append)
    assert any("broken.mp4" in line for line in said)
    one = tmp_path / "one"
    one.mkdir()
    (one / "0.mp4").symlink_to(train / "0.mp4")
    assert contamination(one, one).contaminated == {"0.mp4"}
