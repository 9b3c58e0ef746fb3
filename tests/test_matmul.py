"""The matrix product: against NumPy float64, against the contract bit by bit, on every level."""

import numpy as np
import pytest
from helpers import (
    DTYPES,
    FUSED_LEVELS,
    ISA_LEVELS,
    contract_float32,
    padded,
    product_bound,
    uniform,
)

from minidl import kernels
from minidl.errors import DtypeError, OptionError, ShapeError
from minidl.kernels import packing

SIZES = (0, 1, 2, 3, 5, 6, 7, 12, 13, 16, 17, 31, 33, 64, 65, 100, 255, 256, 257, 300, 513)


def random_shapes(count, seed):
    rng = np.random.default_rng(seed)
    return [tuple(int(rng.choice(SIZES)) for _ in range(3)) for _ in range(count)]


@pytest.mark.parametrize("level", ISA_LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_product_against_numpy(level, dtype):
    rng = np.random.default_rng(1)
    with kernels.use_isa(level):
        for m, n, k in [*random_shapes(40, 2), (400, 70, 30), (1, 1000, 300), (1000, 1, 300)]:
            a, b = uniform(rng, (m, k), dtype), uniform(rng, (k, n), dtype)
            bias = uniform(rng, n, dtype)
            got = kernels.matmul(a, b, bias=bias)
            exact = a.astype(np.float64) @ b.astype(np.float64) + bias
            bound = product_bound(a, b, dtype) + np.finfo(dtype).eps * (1 + np.abs(exact))
            assert got.dtype == a.dtype
            assert (np.abs(got - exact) <= bound).all(), (m, n, k)


@pytest.mark.parametrize("level", FUSED_LEVELS)
def test_float32_follows_the_contract_bit_by_bit(level):
    rng = np.random.default_rng(3)
    with kernels.use_isa(level):
        for m, n, k in [*random_shapes(12, 4), (7, 100, 600), (48, 20, 257)]:
            a, b = uniform(rng, (m, k), "float32"), uniform(rng, (k, n), "float32")
            bias = uniform(rng, n, "float32")
            expected = contract_float32(a, b, bias)
            np.testing.assert_array_equal(kernels.matmul(a, b, bias=bias), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_for_levels_strides_threads_and_packing(dtype):
    rng = np.random.default_rng(5)
    for m, n, k in [*random_shapes(15, 6), (96, 1024, 64), (60, 2048, 300), (130, 40, 513)]:
        a, b = uniform(rng, (m, k), dtype), uniform(rng, (k, n), dtype)
        bias = uniform(rng, n, dtype)
        expected = kernels.matmul(a, b, bias=bias, n_threads=1)
        at, bt = np.asfortranarray(a), np.asfortranarray(b)
        doubled = np.repeat(np.repeat(a, 2, axis=0), 3, axis=1)[::2, ::3]
        variants = [(a, b), (at, b), (a, bt), (at, bt), (padded(a), padded(b)), (doubled, b)]
        variants += [(a[::-1][::-1], b), (np.flip(np.flip(a, 1).copy(), 1), b)]
        for level in FUSED_LEVELS:
            with kernels.use_isa(level):
                for left, right in variants:
                    got = kernels.matmul(left, right, bias=bias)
                    np.testing.assert_array_equal(got, expected)
                got = kernels.matmul(a.T.copy(), b.T.copy(), bias=bias, transpose_a=True, transpose_b=True)
                np.testing.assert_array_equal(got, expected)
                for n_threads in (2, 3, 5):
                    got = kernels.matmul(a, b, bias=bias, n_threads=n_threads)
                    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("level", FUSED_LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_alone_gives_the_bits_of_the_row_in_a_batch(level, dtype):
    rng = np.random.default_rng(7)
    a, b = uniform(rng, (37, 300), dtype), uniform(rng, (300, 45), dtype)
    with kernels.use_isa(level):
        batch = kernels.matmul(a, b, activation="tanh")
        for i in range(len(a)):
            np.testing.assert_array_equal(kernels.matmul(a[i : i + 1], b, activation="tanh")[0], batch[i])


@pytest.mark.parametrize("level", FUSED_LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_single_row_against_a_large_matrix_streams_it_with_the_same_bits(level, dtype):
    """Rows alone take another path than rows in a batch, from matrices of half a megabyte on."""
    rng = np.random.default_rng(11)
    with kernels.use_isa(level):
        for n, k in [(1031, 513), (5003, 40), (300, 1700), (131072, 1), (9, 30000)]:
            a, b, bias = (uniform(rng, shape, dtype) for shape in ((3, k), (k, n), n))
            batch = kernels.matmul(a, b, bias=bias, activation="tanh", n_threads=1)
            plain = kernels.matmul(a, b)
            for n_threads in (1, 2, 3):
                for i in range(3):
                    row = kernels.matmul(a[i : i + 1], b, bias=bias, activation="tanh", n_threads=n_threads)
                    np.testing.assert_array_equal(row[0], batch[i])
            for row in (a[1:2], np.repeat(a, 2, axis=1)[1:2, ::2]):
                np.testing.assert_array_equal(kernels.matmul(row, b)[0], plain[1])


@pytest.mark.parametrize("level", ISA_LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_products_that_fetch_ahead_have_the_same_bits(level, dtype):
    """From a quarter of a megabyte on, tiles fetch what is read next; slices of the matrix are smaller.

    One block of rows and several, one group of panels and several, each way that an operand can lie.
    """
    rng = np.random.default_rng(12)
    shapes = [(2, 300, 301), (5, 257, 513), (13, 700, 200), (33, 256, 320), (60, 513, 144)]
    with kernels.use_isa(level):
        for m, k, n in [*shapes, (130, 270, 1100), (300, 520, 270)]:
            a, b = uniform(rng, (m, k), dtype), uniform(rng, (k, n), dtype)
            assert b.nbytes >= 256 * 1024
            got = kernels.matmul(a, b, n_threads=1)
            for left in (a, np.asfortranarray(a)):
                for right in (b, np.asfortranarray(b)):
                    np.testing.assert_array_equal(kernels.matmul(left, right, n_threads=1), got)
            exact = a.astype(np.float64) @ b.astype(np.float64)
            assert (np.abs(got - exact) <= product_bound(a, b, dtype)).all(), (m, k, n)
            for j in range(0, n, 30):
                part = kernels.matmul(a, b[:, j : j + 30].copy(), n_threads=1)
                np.testing.assert_array_equal(got[:, j : j + 30], part)
            for n_threads in (2, 3):
                np.testing.assert_array_equal(kernels.matmul(a, b, n_threads=n_threads), got)
            with kernels.use_packing("never"):
                np.testing.assert_array_equal(kernels.matmul(a, b, n_threads=1), got)


@pytest.mark.parametrize("level", ISA_LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_tail_has_the_bits_of_full_vectors_and_touches_nothing_beside_it(level, dtype):
    """The last vector of a row has from one lane to all; a lies by rows, and by columns."""
    rng = np.random.default_rng(13)
    a, b, bias = (uniform(rng, shape, dtype) for shape in ((20, 100), (100, 96), 96))
    with kernels.use_isa(level):
        for m, k in [(1, 100), (5, 7), (6, 100), (8, 3), (13, 33), (20, 100)]:
            expected = kernels.matmul(a[:m, :k], b[:k], bias=bias)
            for left in (a[:m, :k], np.asfortranarray(a[:m, :k])):
                for n in range(1, 72):
                    room = np.full((m + 1, n + 17), 7, dtype)
                    kernels.matmul(left, b[:k, :n], bias=bias[:n], out=room[:m, :n])
                    np.testing.assert_array_equal(room[:m, :n], expected[:, :n])
                    room[:m, :n] = 7
                    assert (room == 7).all(), (m, n, k)


@pytest.mark.parametrize("level", ISA_LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_few_columns_against_numpy_and_with_the_bits_of_many(level, dtype):
    """A result of a few columns takes other paths than one of many, whatever the strides of b."""
    rng = np.random.default_rng(13)
    with kernels.use_isa(level):
        shapes = [(16, 16), (17, 16), (31, 300), (33, 257), (64, 17), (100, 1000), (257, 255), (15, 600)]
        for m, k in [*shapes, (29, 1024)]:  # the last: all rows want the same places of L1
            a, b, bias = (uniform(rng, shape, dtype) for shape in ((m, k), (k, 40), 40))
            wide = kernels.matmul(a, b, bias=bias, activation="tanh", n_threads=1)
            plain = kernels.matmul(a, b, n_threads=1)
            for n in (*range(1, 14), 17, 20, 21):
                exact = a.astype(np.float64) @ b[:, :n].astype(np.float64)
                rows = padded(a)
                for right in (b[:, :n], b[:, :n].copy(), np.asfortranarray(b[:, :n])):
                    got = kernels.matmul(rows, right)
                    assert (np.abs(got - exact) <= product_bound(a, b[:, :n], dtype)).all(), (m, n, k)
                    np.testing.assert_array_equal(got, plain[:, :n])
                    for n_threads in (1, 2, 3):
                        got = kernels.matmul(a, right, bias=bias[:n], activation="tanh", n_threads=n_threads)
                        np.testing.assert_array_equal(got, wide[:, :n])
                everywhere = np.full((m + 1, n + 3), 7, dtype)
                kernels.matmul(a, b[:, :n], out=everywhere[:m, :n])
                np.testing.assert_array_equal(everywhere[:m, :n], plain[:, :n])
                assert (everywhere[m:] == 7).all()
                assert (everywhere[:, n:] == 7).all()


@pytest.mark.parametrize("level", FUSED_LEVELS)
@pytest.mark.parametrize("n", [1, 2, 4, 6, 10, 20])
def test_few_columns_follow_the_contract_bit_by_bit(level, n):
    rng = np.random.default_rng(14)
    with kernels.use_isa(level):
        for m, k in [(16, 300), (37, 513), (45, 16)]:
            a, b, bias = (uniform(rng, shape, "float32") for shape in ((m, k), (k, n), n))
            np.testing.assert_array_equal(kernels.matmul(a, b, bias=bias), contract_float32(a, b, bias))


@pytest.mark.parametrize("level", ISA_LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_few_rows_times_a_transpose_have_the_bits_of_its_copy(level, dtype):
    """Where rows fill vectors, and are few, a and c are transposed instead of b: the bits stay.

    One and several blocks along k (256) and along the columns of c, and sizes that just fail to qualify.
    """
    rng = np.random.default_rng(15)
    with kernels.use_isa(level):
        for k, n in [(96, 333), (256, 256), (257, 401), (300, 1030), (600, 700)]:
            w, bias = uniform(rng, (n, k), dtype), uniform(rng, n, dtype)
            copy = np.ascontiguousarray(w.T)
            for m in (3, 4, 7, 8, 14, 15, 16, 29, 31, 32, 48, 57, 64, 65):
                a = uniform(rng, (m, k), dtype)
                got = kernels.matmul(a, w.T, n_threads=1)
                np.testing.assert_array_equal(got, kernels.matmul(a, copy, n_threads=1))
                exact = a.astype(np.float64) @ w.T.astype(np.float64)
                assert (np.abs(got - exact) <= product_bound(a, w.T, dtype)).all(), (m, k, n)
                layer = {"bias": bias, "activation": "tanh"}
                expected = kernels.matmul(a, copy, **layer, n_threads=1)
                room = np.full((m + 1, n + 5), 7, dtype)
                for n_threads in (1, 2, 3):
                    kernels.matmul(a, w.T, **layer, out=room[:m, :n], n_threads=n_threads)
                    np.testing.assert_array_equal(room[:m, :n], expected)
                assert (room[m:] == 7).all()
                assert (room[:, n:] == 7).all()


@pytest.mark.parametrize("level", FUSED_LEVELS)
def test_few_rows_times_a_transpose_follow_the_contract_bit_by_bit(level):
    rng = np.random.default_rng(16)
    with kernels.use_isa(level):
        for m, k, n in [(16, 300, 260), (32, 257, 150)]:
            a, w, bias = (uniform(rng, shape, "float32") for shape in ((m, k), (n, k), n))
            np.testing.assert_array_equal(kernels.matmul(a, w.T, bias=bias), contract_float32(a, w.T, bias))


@pytest.mark.parametrize("level", ISA_LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_swapped_product_of_many_terms_needs_no_more_scratch_memory(level, dtype):
    """x^T dz of few classes and many rows: neither is copied, however much there would be to copy."""
    rng = np.random.default_rng(17)
    x, dz = uniform(rng, (9000, 300), dtype), uniform(rng, (9000, 33), dtype)
    with kernels.use_isa(level):
        for classes in (4, 10, 20, 33):
            expected = kernels.matmul(np.ascontiguousarray(x.T), dz[:, :classes].copy(), n_threads=1)
            exact = x.T.astype(np.float64) @ dz[:, :classes].astype(np.float64)
            assert (np.abs(expected - exact) <= product_bound(x.T, dz[:, :classes], dtype)).all()
            for policy in packing.POLICIES:
                with kernels.use_packing(policy):
                    got = kernels.matmul(x.T, dz[:, :classes], n_threads=1)
                np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_out_of_any_layout_is_written_and_nothing_beside_it(dtype):
    rng = np.random.default_rng(8)
    a, b = uniform(rng, (9, 20), dtype), uniform(rng, (20, 19), dtype)
    expected = kernels.matmul(a, b)
    room = np.full((9, 30), 7.0, dtype)
    assert kernels.matmul(a, b, out=room[:, 4:23]).base is room
    np.testing.assert_array_equal(room[:, 4:23], expected)
    assert (room[:, :4] == 7).all()
    assert (room[:, 23:] == 7).all()
    columns = np.empty((9, 19), dtype, order="F")
    kernels.matmul(a, b, out=columns)
    np.testing.assert_array_equal(columns, expected)


def test_activation_epilogue_equals_a_separate_pass():
    rng = np.random.default_rng(9)
    a, b = uniform(rng, (500, 70), "float32"), uniform(rng, (70, 100), "float32")
    plain = kernels.matmul(a, b)
    for name in ("relu", "tanh", "gelu", "leaky_relu(0.3)", "sigmoid"):
        np.testing.assert_array_equal(kernels.matmul(a, b, activation=name), kernels.activation(name, plain))


def test_nan_and_infinity_propagate():
    a = np.array([[1.0, np.nan], [np.inf, 1.0]])
    b = np.eye(2)
    got = kernels.matmul(a, b)
    assert np.isnan(got[0]).all()
    assert got[1, 0] == np.inf
    assert np.isnan(got[1, 1])  # inf * 0


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((np.ones((2, 3)), np.ones((2, 3))), ShapeError, "3 columns of a"),
        ((np.ones((2, 3)), np.ones((3, 2), np.float32)), DtypeError, "float64 and b is float32"),
        ((np.ones((2, 3), int), np.ones((3, 2))), DtypeError, "a: expected"),
        ((np.ones(3), np.ones((3, 2))), ShapeError, "a: expected 2 dimensions"),
        (([[1.0]], np.ones((1, 1))), DtypeError, "a: expected an ndarray"),
    ],
)
def test_bad_arguments(arguments, error, words):
    with pytest.raises(error, match=words):
        kernels.matmul(*arguments)


def test_bad_options():
    a = np.ones((3, 3))
    with pytest.raises(ShapeError, match=r"out: expected shape \(3, 3\)"):
        kernels.matmul(a, a, out=np.ones((2, 3)))
    with pytest.raises(ShapeError, match="overlaps"):
        kernels.matmul(a, a, out=a)
    with pytest.raises(ShapeError, match=r"bias: expected shape \(3,\)"):
        kernels.matmul(a, a, bias=np.ones(2))
    with pytest.raises(OptionError, match="Did you mean 'relu'"):
        kernels.matmul(a, a, activation="rellu")
    with pytest.raises(OptionError, match="n_threads=0"):
        kernels.matmul(a, a, n_threads=0)
