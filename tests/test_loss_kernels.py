"""Softmax and loss kernels: NumPy float64, PyTorch, limits in closed form, bits of the levels."""

import numpy as np
import pytest
from helpers import DTYPES, FUSED_LEVELS, ISA_LEVELS, padded

from minidl import kernels, losses

SIZES = [1, 2, 3, 7, 8, 9, 10, 15, 16, 17, 31, 33, 64, 100, 257, 300]
ROWS = [0, 1, 2, 3, 7, 15, 16, 17, 33]

# Kernel, its parameter, and its twin in NumPy float64.
CASES = [
    ("cross_entropy_label", 0.0, losses.CrossEntropy()),
    ("cross_entropy_label", 0.1, losses.CrossEntropy(label_smoothing=0.1)),
    ("cross_entropy_probability", 0.0, losses.CrossEntropy()),
    ("cross_entropy_probability", 0.1, losses.CrossEntropy(label_smoothing=0.1)),
    ("binary_cross_entropy", 0.0, losses.BinaryCrossEntropy()),
    ("mse", 0.0, losses.MSE()),
    ("mae", 0.0, losses.MAE()),
    ("huber", 0.7, losses.Huber(delta=0.7)),
]
IDS = [f"{name}-{param}" for name, param, _ in CASES]
CROSS_ENTROPIES = ["cross_entropy_label", "cross_entropy_probability"]
MEANS = ["binary_cross_entropy", "mse", "mae", "huber"]


@pytest.fixture(params=ISA_LEVELS)
def isa(request):
    with kernels.use_isa(request.param):
        yield request.param


def draw(name, rows, n, dtype, seed=0):
    """Return logits and targets as the kernel reads them."""
    rng = np.random.default_rng([seed, rows, n])
    z = (3.0 * rng.standard_normal((rows, n))).astype(dtype)
    if name == "cross_entropy_label":
        return z, rng.integers(0, n, rows)
    if name == "cross_entropy_probability":
        return z, rng.dirichlet(np.ones(n), rows).astype(dtype)
    if name == "binary_cross_entropy":
        return z, rng.choice([0.0, 1.0, 0.25], (rows, n)).astype(dtype)
    return z, (3.0 * rng.standard_normal((rows, n))).astype(dtype)


def one_hot(label, n, dtype):
    return np.eye(n, dtype=dtype)[label]


def reference_log_softmax(z):
    z = z.astype(np.float64)
    shifted = z - z.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def reference_hits(name, z, target):
    """Return the share of right answers in each row, by NumPy."""
    if name == "cross_entropy_label":
        return (z.argmax(axis=1) == target).astype(float)
    if name == "cross_entropy_probability":
        return (z.argmax(axis=1) == target.argmax(axis=1)).astype(float)
    if name == "binary_cross_entropy":
        return ((z > 0) == (target > 0.5)).mean(axis=1)
    return np.zeros(len(z))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "param", "twin"), CASES, ids=IDS)
def test_losses_equal_their_float64_twins(isa, name, param, twin, dtype):
    eps = float(np.finfo(dtype).eps)
    shapes = [(5, n) for n in SIZES] + [(rows, 10) for rows in ROWS]
    for rows, n in shapes:
        z, target = draw(name, rows, n, dtype)
        weight = np.random.default_rng(rows).uniform(0.0, 2.0, rows).astype(dtype)
        scale = 1.0 / max(rows, 1)
        row_losses, hits, dz = kernels.loss(name, z, target, weight, scale, param)
        assert row_losses.dtype == hits.dtype == np.float64
        assert dz.dtype == dtype
        if rows == 0:
            assert row_losses.shape == hits.shape == (0,)
            assert dz.shape == (0, n)
            continue
        expected, slope = twin.reference(z, target)
        slope *= rows  # of the row's own loss
        # Rounding: of an argument of exp (its size enters), about 16 operations of an element, and
        # the additions of its lane; twice, because in float64 the twin rounds as well.
        span = float(np.ptp(z, axis=1).max()) if n > 1 else float(np.abs(z).max())
        unit = 2.0 * eps * (16.0 + n / 8.0 + span)
        w = weight.astype(np.float64)
        size = np.maximum(1.0, expected)
        assert np.all(np.abs(row_losses - w * expected) <= unit * w * size)
        if name in MEANS:
            size = np.maximum(np.abs(slope), 1.0 / n)
        else:  # a difference of two probabilities
            t = target if target.ndim == 2 else one_hot(target, n, dtype)
            size = np.exp(reference_log_softmax(z)) + (1 - param) * t + param / n
        bound = unit * scale * w[:, np.newaxis] * size + np.finfo(dtype).tiny
        assert np.all(np.abs(dz - scale * w[:, np.newaxis] * slope) <= bound)
        np.testing.assert_allclose(hits, reference_hits(name, z, target), rtol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "param", "twin"), CASES, ids=IDS)
def test_strides_weights_and_the_gradient_do_not_touch_the_bits(isa, name, param, twin, dtype):
    for n in (1, 2, 8, 10, 16, 17, 33, 100):
        z, target = draw(name, 19, n, dtype, seed=1)
        plain = kernels.loss(name, z, target, None, 0.5, param)
        moved = target if target.ndim == 1 else padded(target, 5, 3)
        far = kernels.loss(name, padded(z, 3, 1), moved, np.ones(19, dtype), 0.5, param)
        for ours, theirs in zip(plain, far, strict=True):
            assert ours.tobytes() == theirs.tobytes()
        row_losses, hits, dz = kernels.loss(name, z, target, None, 0.5, param, gradient=False)
        assert dz is None
        assert row_losses.tobytes() == plain[0].tobytes()
        assert hits.tobytes() == plain[1].tobytes()
        # A power of two as weight changes exponents only.
        heavy = kernels.loss(name, z, target, np.full(19, 4, dtype), 0.5, param)
        assert heavy[0].tobytes() == (4 * plain[0]).tobytes()
        assert heavy[2].tobytes() == (4 * plain[2]).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "param", "twin"), CASES, ids=IDS)
def test_rows_do_not_depend_on_their_neighbours(isa, name, param, twin, dtype):
    for n in (3, 10, 40):
        z, target = draw(name, 35, n, dtype, seed=2)
        whole = kernels.loss(name, z, target, None, 1.0, param)
        for r in range(35):
            one = kernels.loss(name, z[r : r + 1], target[r : r + 1], None, 1.0, param)
            for part, all_rows in zip(one, whole, strict=True):
                assert part.tobytes() == all_rows[r : r + 1].tobytes()


@pytest.mark.skipif(len(FUSED_LEVELS) < 2, reason="needs two levels with fused multiply-add")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "param", "twin"), CASES, ids=IDS)
def test_levels_agree_to_the_last_bit(name, param, twin, dtype):
    for n in SIZES:
        z, target = draw(name, 21, n, dtype, seed=3)
        results = []
        for level in FUSED_LEVELS:
            with kernels.use_isa(level):
                results.append(kernels.loss(name, z, target, None, 1 / 21, param))
        for other in results[1:]:
            for ours, theirs in zip(results[0], other, strict=True):
                assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize(("name", "param", "twin"), CASES, ids=IDS)
def test_losses_equal_torch(isa, name, param, twin):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    for n in (1, 2, 5, 10, 8, 16, 17, 100):
        z, target = draw(name, 12, n, np.float64, seed=4)
        if name == "cross_entropy_probability":
            target *= 1.5  # a sum other than 1 enters the value and the gradient alike
        logits = torch.tensor(z, requires_grad=True)
        y = torch.tensor(target)
        if name in CROSS_ENTROPIES:
            rows = functional.cross_entropy(logits, y, reduction="none", label_smoothing=param)
        elif name == "binary_cross_entropy":
            rows = functional.binary_cross_entropy_with_logits(logits, y, reduction="none").mean(1)
        elif name == "mse":
            rows = functional.mse_loss(logits, y, reduction="none").mean(1)
        elif name == "mae":
            rows = functional.l1_loss(logits, y, reduction="none").mean(1)
        else:
            rows = functional.huber_loss(logits, y, reduction="none", delta=param).mean(1)
        (rows.sum() * 0.125).backward()
        row_losses, _, dz = kernels.loss(name, z, target, None, 0.125, param)
        np.testing.assert_allclose(row_losses, rows.detach().numpy(), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(dz, logits.grad.numpy(), rtol=1e-12, atol=1e-12)


# --- right answers ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_first_of_equal_logits_is_the_answer(isa, dtype):
    rng = np.random.default_rng(5)
    for n in (2, 3, 8, 10, 16, 17, 40):
        z = rng.integers(0, 3, (200, n)).astype(dtype)
        label = rng.integers(0, n, 200)
        hits = kernels.loss("cross_entropy_label", z, label)[1]
        np.testing.assert_array_equal(hits, z.argmax(axis=1) == label)
        t = rng.integers(1, 4, (200, n)).astype(dtype)
        hits = kernels.loss("cross_entropy_probability", z, t)[1]
        np.testing.assert_array_equal(hits, z.argmax(axis=1) == t.argmax(axis=1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_binary_answers_are_cut_at_zero_and_one_half(isa, dtype):
    z = np.array([[0.0, -0.0, 1.0, -1.0, np.finfo(dtype).tiny]], dtype)
    t = np.array([[0.5, 1.0, 0.5, 0.0, 1.0]], dtype)
    assert kernels.loss("binary_cross_entropy", z, t)[1] == pytest.approx(3 / 5)


# --- limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [2, 10, 16, 17, 40])
def test_large_logits_give_exact_limits(isa, n, dtype):
    z = np.full((2, n), -1e4, dtype)
    z[:, 1] = 1e4
    label = np.array([1, 0])
    expected = one_hot([1, 1], n, dtype) - one_hot(label, n, dtype)
    for name, target in [
        ("cross_entropy_label", label),
        ("cross_entropy_probability", one_hot(label, n, dtype)),
    ]:
        row_losses, hits, dz = kernels.loss(name, z, target)
        np.testing.assert_array_equal(row_losses, [0.0, 2e4])
        np.testing.assert_array_equal(hits, [1.0, 0.0])
        np.testing.assert_array_equal(dz, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [2, 10, 16, 17, 40])
def test_a_class_that_is_ruled_out(isa, n, dtype):
    z = np.zeros((2, n), dtype)
    z[:, -1] = -np.inf
    label = np.array([0, n - 1])
    for name, target in [
        ("cross_entropy_label", label),
        ("cross_entropy_probability", one_hot(label, n, dtype)),
    ]:
        row_losses, hits, dz = kernels.loss(name, z, target)
        np.testing.assert_allclose(row_losses, [np.log(n - 1), np.inf], rtol=1e-6)
        np.testing.assert_array_equal(hits, [1.0, 0.0])
        np.testing.assert_array_equal(dz[:, -1], [0.0, -1.0])
        np.testing.assert_allclose(dz[1, :-1], 1 / (n - 1), rtol=1e-6)
        # Smoothing gives every class a share, and the ruled out one an infinite loss.
        row_losses, _, dz = kernels.loss(name, z, target, param=0.1)
        np.testing.assert_array_equal(row_losses, [np.inf, np.inf])
        assert np.isfinite(dz).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "param", "twin"), CASES, ids=IDS)
def test_nan_is_never_a_number(isa, name, param, twin, dtype):
    for n in (1, 2, 8, 10, 16, 17, 40):
        for position in {0, n // 2, n - 1}:
            z, target = draw(name, 5, n, dtype, seed=6)
            z[2, position] = np.nan
            row_losses, _, dz = kernels.loss(name, z, target, None, 1.0, param)
            assert np.isnan(row_losses).tolist() == [False, False, True, False, False]
            assert np.isfinite(dz[[0, 1, 3, 4]]).all()
            assert np.isnan(dz[2, position])
            if name in CROSS_ENTROPIES:
                assert np.isnan(dz[2]).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CROSS_ENTROPIES)
@pytest.mark.parametrize("fill", [np.nan, -np.inf])
def test_rows_without_a_softmax_are_nan_and_no_hit(isa, fill, name, dtype):
    for n in (2, 10, 17):
        z, target = draw(name, 3, n, dtype, seed=7)
        z[0] = fill
        z[1, 0] = np.inf
        z[2, 1] = np.nan
        z[2, 0] = 1e4  # the largest number of its row, but not the answer
        if target.ndim == 1:
            target[:] = 0
        else:
            target[:] = one_hot([0, 0, 0], n, dtype)
        row_losses, hits, dz = kernels.loss(name, z, target)
        assert np.isnan(row_losses).all()
        assert np.isnan(dz).all()
        assert hits.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_binary_cross_entropy_at_the_ends(isa, dtype):
    ends = np.array([[-np.inf], [np.inf], [-1e4], [1e4]], dtype)
    for y, expected, slope in [
        (0.0, [0.0, np.inf, 0.0, 1e4], [0.0, 1.0, 0.0, 1.0]),
        (1.0, [np.inf, 0.0, 1e4, 0.0], [-1.0, 0.0, -1.0, 0.0]),
    ]:
        row_losses, _, dz = kernels.loss("binary_cross_entropy", ends, np.full((4, 1), y, dtype))
        np.testing.assert_array_equal(row_losses, expected)
        np.testing.assert_array_equal(dz[:, 0], slope)


@pytest.mark.parametrize("dtype", DTYPES)
def test_binary_cross_entropy_keeps_its_relative_accuracy(isa, dtype):
    """Where the answer is right, loss and gradient are tiny, and both are e^-|z| to first order."""
    z = np.linspace(5, 80, 200)[:, np.newaxis]
    for sign, y in [(1.0, 1.0), (-1.0, 0.0)]:
        logits = (sign * z).astype(dtype)
        row_losses, _, dz = kernels.loss("binary_cross_entropy", logits, np.full_like(logits, y))
        e = np.exp(-np.abs(logits.astype(np.float64)))
        rtol = 8 * float(np.finfo(dtype).eps)
        np.testing.assert_allclose(row_losses, np.log1p(e)[:, 0], rtol=rtol)
        np.testing.assert_allclose(dz, -sign * e / (1 + e), rtol=rtol)


@pytest.mark.parametrize("name", ["mse", "mae", "huber"])
def test_overflow_of_a_regression_loss_is_infinite_and_its_gradient_is_not(isa, name):
    for n in (1, 5, 20):
        z = np.full((1, n), 1e30, np.float32)
        row_losses, _, dz = kernels.loss(name, z, -z, None, 1.0, 2.0)
        if name == "mse":
            assert row_losses == np.inf
        else:
            assert row_losses == pytest.approx({"mae": 2e30, "huber": 4e30}[name], rel=1e-5)
        assert np.isfinite(dz).all()
        expected = {"mse": 4e30, "mae": 1.0, "huber": 2.0}[name] / n
        np.testing.assert_allclose(dz, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_kinks(isa, dtype):
    d = np.array([[-0.5, -0.25, -0.0, 0.0, 0.25, 0.5]], dtype)
    zero = np.zeros_like(d)
    np.testing.assert_array_equal(6 * kernels.loss("mae", d, zero)[2], [np.sign(d[0])])
    row_losses, _, dz = kernels.loss("huber", d, zero, None, 6.0, 0.25)
    np.testing.assert_array_equal(dz, np.clip(d, -0.25, 0.25))
    assert row_losses[0] == (2 * 0.25 * 0.375 + 2 * 0.25 * 0.125) / 6


# --- softmax ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_equals_numpy(isa, dtype):
    eps = float(np.finfo(dtype).eps)
    for n in [0, *SIZES]:
        for rows in (0, 1, 6):
            z, _ = draw("mse", rows, n, dtype, seed=9)
            if z.size == 0:
                assert kernels.softmax(z).shape == kernels.log_softmax(z).shape == (rows, n)
                continue
            log_p = reference_log_softmax(z)
            p = np.exp(log_p)
            unit = 2.0 * eps * (16.0 + n / 8.0 + float(np.ptp(z, axis=1).max()))
            for x in (z, padded(z, 3, 1)):
                y = kernels.softmax(x)
                assert y.dtype == dtype
                assert np.all(np.abs(y - p) <= unit * p)
                assert np.all(np.abs(kernels.log_softmax(x) - log_p) <= unit * (1 - log_p))
            out = np.full(z.shape, np.nan, dtype)
            kernels.softmax(z, out=out)
            assert out.tobytes() == y.tobytes()
            in_place = z.copy()
            kernels.softmax(in_place, out=in_place)
            assert in_place.tobytes() == y.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_backward_equals_numpy(isa, dtype):
    eps = float(np.finfo(dtype).eps)
    for n in [0, *SIZES]:
        z, dy = draw("mse", 6, n, dtype, seed=10)
        if n == 0:
            assert kernels.softmax_backward(dy, z).shape == (6, 0)
            continue
        y = np.exp(reference_log_softmax(z)).astype(dtype)
        y64, dy64 = y.astype(np.float64), dy.astype(np.float64)
        expected = y64 * (dy64 - (dy64 * y64).sum(axis=1, keepdims=True))
        bound = 2.0 * eps * (8.0 + n / 8.0) * y64 * (np.abs(dy64) + np.abs(dy64).max())
        for pad, offset in [(0, 0), (3, 1)]:
            dz = kernels.softmax_backward(padded(dy, pad, offset), padded(y, pad, offset))
            assert np.all(np.abs(dz - expected) <= bound)


@pytest.mark.skipif(len(FUSED_LEVELS) < 2, reason="needs two levels with fused multiply-add")
@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_has_the_same_bits_on_every_level(dtype):
    for n in SIZES:
        z, dy = draw("mse", 9, n, dtype, seed=11)
        results = []
        for level in FUSED_LEVELS:
            with kernels.use_isa(level):
                y = kernels.softmax(z)
                results.append((y, kernels.log_softmax(z), kernels.softmax_backward(dy, y)))
        for other in results[1:]:
            for ours, theirs in zip(results[0], other, strict=True):
                assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [2, 10, 16, 17, 40])
def test_softmax_at_the_ends(isa, n, dtype):
    z = np.zeros((5, n), dtype)
    z[0, 1] = -np.inf
    z[1, 1] = 1e4
    z[2, 1] = np.inf
    z[3, 1] = np.nan
    z[4] = -np.inf
    y, log_y = kernels.softmax(z), kernels.log_softmax(z)
    assert y[0, 1] == 0.0
    assert log_y[0, 1] == -np.inf
    np.testing.assert_allclose(y[0, 0], 1 / (n - 1), rtol=1e-6)
    np.testing.assert_array_equal(y[1], np.arange(n) == 1)
    np.testing.assert_array_equal(log_y[1], np.where(np.arange(n) == 1, 0, -1e4))
    assert np.isnan(y[2:]).all()
    assert np.isnan(log_y[2:]).all()
