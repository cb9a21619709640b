"""The sight codec on pictures made here."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stale_diffusion.errors import StaleError
from stale_diffusion.senses import sight
from stale_diffusion.senses.sight import Sight

Frames = NDArray[np.uint8]


def psnr(a: Frames, b: Frames) -> float:
    return float(-10 * np.log10(np.mean((a.astype(float) - b) ** 2) / 255**2))


@pytest.fixture(scope="module")
def movie() -> Frames:
    """A sky over a dark ground, and a ball that moves."""
    t, y, x = np.mgrid[:48, :96, :160].astype(np.float32)
    ball = (y - 40) ** 2 + (x - 30 - 2 * t) ** 2 < 144
    sky = np.stack([0.5 + y / 200, 0.6 + y / 300, 0.9 - y / 400], -1)
    ground = np.stack([0.2 + 0.1 * np.sin(x / 3), 0.3 + 0 * x, 0.1 + 0 * x], -1)
    picture = np.where((y > 60)[..., None], ground, sky)
    picture[ball] = (0.9, 0.2, 0.1)
    return np.asarray(picture * 255, np.uint8)


def test_transform_is_orthonormal_and_inverts(movie: Frames) -> None:
    coefficients = sight.analyse(movie)
    centred = movie.astype(np.float64) / 255 - 0.5
    np.testing.assert_allclose((coefficients.astype(np.float64) ** 2).sum(), (centred**2).sum(), rtol=1e-4)
    np.testing.assert_allclose(sight.synthesise(coefficients), movie / 255, atol=1e-4)


def test_small_picture_of_a_flat_frame_is_one_cosine() -> None:
    coefficients = sight.analyse(np.full((48, 96, 160, 3), 200, np.uint8))
    cosines = sight.small_picture(coefficients)
    assert np.abs(cosines[:, 0]).min() > 1
    assert np.abs(cosines[:, 1:]).max() < 1e-3 * np.abs(cosines[:, 0]).max()
    sight.add_small_picture(coefficients, -cosines)
    assert np.abs(coefficients).max() < 1e-3 * np.abs(cosines).max()


def test_blocks_invert(movie: Frames) -> None:
    coefficients = sight.analyse(movie)
    kept = sight.from_blocks(sight.to_blocks(coefficients))
    np.testing.assert_array_equal(kept[:, :, :, :12, :, :12], coefficients[:, :, :, :12, :, :12])
    assert not kept[:, :, :, 12:].any()


def test_round_trip(movie: Frames) -> None:
    codec = Sight()
    bits = codec.encode(movie)
    for stream in codec.streams:
        assert bits[stream.name].shape == (1, stream.tokens, stream.bits)
        assert bits[stream.name].dtype == np.int8
        assert set(np.unique(bits[stream.name])) == {-1, 1}
    decoded = codec.decode(bits)
    assert decoded.shape == movie.shape
    assert psnr(movie, decoded) > 27


def test_the_fine_code_adds_to_the_coarse_one(movie: Frames) -> None:
    codec = Sight()
    bits = codec.encode(movie)
    other = {**bits, "sight.fine": codec.encode(movie[::-1, ::-1].copy())["sight.fine"]}
    assert psnr(movie, codec.decode(bits)) > psnr(movie, codec.decode(other)) + 3


def test_segments_are_independent(movie: Frames) -> None:
    codec = Sight()
    other = movie[:, ::-1].copy()
    both = codec.encode(np.concatenate([movie, other]))
    for name, value in codec.encode(other).items():
        np.testing.assert_array_equal(both[name][1:], value)
    np.testing.assert_array_equal(codec.decode(both)[48:], codec.decode(codec.encode(other)))


def test_flat_frames_stay_flat() -> None:
    codec = Sight()
    for level in (0, 20, 90, 200):
        flat = np.full((48, 96, 160, 3), level, np.uint8)
        error = codec.decode(codec.encode(flat)).astype(int) - flat
        assert np.abs(error).max() <= 12


def test_a_rotten_bit_costs_a_block_not_the_picture(movie: Frames) -> None:
    codec = Sight()
    bits = codec.encode(movie)
    whole = codec.decode(bits)
    rotten = {name: value.copy() for name, value in bits.items()}
    rotten["sight.fine"][0, 65, 40] *= -1  # group 1, row 0, column 5
    changed = np.argwhere(codec.decode(rotten) != whole)
    assert len(changed)
    (_, y0, x0, _), (t1, y1, x1, _) = changed.min(0), changed.max(0)
    assert t1 < 20
    assert y0 >= 0
    assert y1 < 24
    assert x0 >= 72
    assert x1 < 104


@pytest.mark.parametrize("shape", [(47, 96, 160, 3), (48, 90, 160, 3), (48, 96, 160)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(StaleError, match="cannot be encoded"):
        Sight().encode(np.zeros(shape, np.uint8))


def test_no_segments() -> None:
    codec = Sight()
    bits = codec.encode(np.zeros((0, 96, 160, 3), np.uint8))
    assert bits["sight.fine"].shape == (0, 360, 128)
    assert codec.decode(bits).shape == (0, 96, 160, 3)
