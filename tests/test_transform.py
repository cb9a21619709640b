"""Gray code, lapped transform, quantisers and the class code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stale_diffusion.senses.transform import (
    ClassCode,
    LevelCode,
    allot,
    dct,
    gray_decode,
    gray_encode,
    lapped,
    lloyd_max,
    quantise,
)


@given(st.integers(1, 12), st.data())
def test_gray_code_is_a_bijection(bits: int, data: st.DataObject) -> None:
    levels = np.array(data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=1, max_size=20)))
    code = gray_encode(levels, bits)
    assert code.dtype == np.int8
    assert set(np.unique(code)) <= {-1, 1}
    np.testing.assert_array_equal(gray_decode(code), levels)


def test_neighbouring_levels_differ_in_one_bit_and_the_first_bit_is_the_half() -> None:
    code = gray_encode(np.arange(64), 6)
    assert (np.abs(np.diff(code.astype(int), axis=0)).sum(1) == 2).all()
    np.testing.assert_array_equal(code[:, 0], np.repeat([-1, 1], 32))


@pytest.mark.parametrize(("n", "block"), [(48, 8), (96, 16), (160, 16)])
def test_lapped_transform_is_orthonormal_and_crosses_borders(n: int, block: int) -> None:
    rows = lapped(n, block)
    np.testing.assert_allclose(rows @ rows.T, np.eye(n), atol=1e-12)
    reach = np.abs(rows[block : 2 * block]).max(0) > 1e-9
    assert reach[block // 2 : block].all()  # the second block's functions begin half a block early
    assert not reach[: block // 2].any()


def test_one_lapped_block_is_the_dct() -> None:
    np.testing.assert_allclose(lapped(16, 16), dct(16), atol=1e-12)


def test_lloyd_max_finds_the_known_gaussian_levels() -> None:
    samples = np.random.default_rng(0).standard_normal(400_000)
    np.testing.assert_allclose(lloyd_max(samples, 1), [-0.7979, 0.7979], atol=0.01)
    np.testing.assert_allclose(lloyd_max(samples, 2, rounds=100), [-1.510, -0.4528, 0.4528, 1.510], atol=0.02)


def test_quantise_takes_the_nearest_level() -> None:
    levels = np.array([-2.0, -0.5, 0.5, 2.0])
    values = np.random.default_rng(0).uniform(-3, 3, 1000)
    nearest = np.abs(values[:, None] - levels).argmin(1)
    np.testing.assert_array_equal(quantise(values, levels), nearest)


def test_allotment_prefers_variance_and_gives_all_bits_away() -> None:
    errors = [[v * 4.0**-b for b in range(7)] for v in (64.0, 4.0, 1.0, 0.0001)]
    bits = allot(errors, 9)
    assert bits.tolist() == [5, 3, 1, 0] or bits.tolist() == [5, 2, 2, 0]
    with pytest.raises(ValueError, match="do not fit"):
        allot(errors, 25)


def test_level_code_round_trip_is_its_own_rounding_and_survives_the_file() -> None:
    values = np.random.default_rng(0).laplace(size=(3000, 6)) * np.array([8, 4, 2, 1, 0.5, 0.01])
    code, kept = LevelCode.fit(values, 16)
    assert code.width == 16
    assert kept.tolist() == sorted(kept, key=lambda k: -values[:, k].var())
    bits = code.encode(values[:, kept])
    np.testing.assert_array_equal(code.decode(bits), code.round(values[:, kept]))
    again = LevelCode.load(code.tensors("x"), "x")
    np.testing.assert_array_equal(again.decode(bits), code.decode(bits))
    error = ((code.decode(bits) - values[:, kept]) ** 2).sum(1).mean()
    assert error < 0.1 * values.var(0).sum()


def test_class_code_takes_the_class_of_least_error() -> None:
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(500, 4)) * [3, 0.1, 0.1, 0.1]
    steep = rng.normal(size=(500, 4)) * [0.1, 0.1, 0.1, 3]
    codes, bases = [], []
    for x in (flat, steep):
        basis = np.linalg.eigh(x.T @ x)[1][:, ::-1].T.astype(np.float32)
        code, kept = LevelCode.fit(x @ basis.T, 7)
        codes.append(code)
        bases.append(basis[kept])
    both = ClassCode(tuple(bases), tuple(codes))
    bits = both.encode(np.concatenate([flat, steep]))
    assert bits.shape == (1000, 8)
    chosen = gray_decode(bits[:, :1])
    assert chosen[:500].mean() < 0.1
    assert chosen[500:].mean() > 0.9
    decoded = both.decode(bits)
    errors = ((decoded - np.concatenate([flat, steep])) ** 2).sum(1)
    np.testing.assert_allclose(errors, both.errors(np.concatenate([flat, steep])).min(1), atol=1e-4)
    np.testing.assert_array_equal(ClassCode.load(both.tensors("y"), "y").decode(bits).shape, decoded.shape)
