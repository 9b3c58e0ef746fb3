"""The SGD kernel against rational arithmetic, its float64 twin and PyTorch; elements it keeps."""

from fractions import Fraction

import numpy as np
import pytest
from helpers import DTYPES, FUSED_LEVELS, ISA_LEVELS

from minidl import kernels, optim
from minidl.engine.params import aligned_zeros

SIZES = [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 257, 300]

# momentum, dampening, weight_decay, nesterov
OPTIONS = [
    (0.0, 0.0, 0.0, False),
    (0.0, 0.0, 0.01, False),
    (0.9, 0.0, 0.0, False),
    (0.9, 0.3, 0.0, False),
    (0.9, 0.3, 0.01, False),
    (0.9, 0.0, 0.0, True),
    (0.9, 0.0, 0.01, True),
]


@pytest.fixture(params=ISA_LEVELS)
def isa(request):
    with kernels.use_isa(request.param):
        yield request.param


def draw(n, dtype, seed=0):
    """Return parameters, a velocity and a gradient."""
    rng = np.random.default_rng([seed, n])
    return tuple(rng.standard_normal(n).astype(dtype) for _ in range(3))


def step(w, v, g, lr, options, first=False):
    momentum, dampening, weight_decay, nesterov = options
    velocity = v if momentum else None
    return kernels.sgd(w, velocity, g, lr, momentum, dampening, weight_decay, nesterov, first)


def exact_step(w, v, g, lr, options, first):
    """Make one float64 update of one element in rational numbers, rounded as the kernel does."""
    momentum, dampening, weight_decay, nesterov = options

    def fma(a, b, c):
        return float(Fraction(a) * Fraction(b) + Fraction(c))

    if weight_decay:
        g = fma(weight_decay, w, g)
    d = g
    if momentum:
        v = g if first else fma(momentum, v, (1.0 - dampening) * g)
        d = fma(momentum, v, g) if nesterov else v
    return fma(-lr, d, w), v


@pytest.mark.parametrize("level", FUSED_LEVELS)
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_float64_updates_are_exact_to_the_last_bit(level, options, first):
    for n in (1, 8, 37):
        w, v, g = draw(n, np.float64, seed=1)
        pairs = [exact_step(*element, 0.1, options, first) for element in zip(w, v, g, strict=True)]
        with kernels.use_isa(level):
            assert step(w, v, g, 0.1, options, first) is False
        np.testing.assert_array_equal(w, [pair[0] for pair in pairs])
        np.testing.assert_array_equal(v, [pair[1] for pair in pairs])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_updates_equal_the_float64_twin(isa, options, dtype):
    momentum, dampening, weight_decay, nesterov = options
    twin = optim.SGD(0.1, momentum, dampening, nesterov, weight_decay)
    eps = float(np.finfo(dtype).eps)
    for n in SIZES:
        w, v, g = draw(n, dtype, seed=2)
        for first in (True, False):
            expected_w, expected_v = twin.reference(w, g, None if first else v, 0.1)
            # Each of at most 6 operations and 4 rounded constants errs by eps/2 of a size below.
            bound = 5.0 * eps * (np.abs(w) + np.abs(v) + np.abs(g))
            assert step(w, v, g, 0.1, options, first) is False
            assert np.all(np.abs(w - expected_w) <= bound)
            if momentum:
                assert np.all(np.abs(v - expected_v) <= bound)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_fifty_steps_equal_torch(isa, options):
    torch = pytest.importorskip("torch")
    momentum, dampening, weight_decay, nesterov = options
    w, v, _ = draw(45, np.float64, seed=3)
    theirs = torch.tensor(w, requires_grad=True)
    optimizer = torch.optim.SGD(
        [theirs],
        lr=0.05,
        momentum=momentum,
        dampening=dampening,
        weight_decay=weight_decay,
        nesterov=nesterov,
    )
    rng = np.random.default_rng(3)
    for t in range(50):
        g = rng.standard_normal(45)
        optimizer.param_groups[0]["lr"] = lr = 0.05 / (1 + t)
        theirs.grad = torch.tensor(g)
        optimizer.step()
        step(w, v, g, lr, options, first=t == 0)
        np.testing.assert_allclose(w, theirs.detach().numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.skipif(len(FUSED_LEVELS) < 2, reason="needs two levels with fused multiply-add")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_levels_agree_to_the_last_bit(options, dtype):
    for n in SIZES:
        results = []
        for level in FUSED_LEVELS:
            w, v, g = draw(n, dtype, seed=4)
            with kernels.use_isa(level):
                step(w, v, g, 0.1, options)
            results.append(w.tobytes() + v.tobytes())
        assert len(set(results)) == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_nothing_beside_the_parameters_changes(isa, options, dtype):
    for n in SIZES:
        for offset in (0, 1, 3):
            buffers = [np.full(n + 8, 7, dtype) for _ in range(3)]
            w, v, g = (buffer[offset : offset + n] for buffer in buffers)
            w[:], v[:], g[:] = draw(n, dtype, seed=5)
            expected = [x.copy() for x in (w, v, g)]
            step(*expected, 0.1, options)
            step(w, v, g, 0.1, options)
            for buffer, values in zip(buffers, expected, strict=True):
                assert buffer[offset : offset + n].tobytes() == values.tobytes()
                assert np.all(buffer[:offset] == 7)
                assert np.all(buffer[offset + n :] == 7)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_parameters_that_go_past_the_caches_are_the_same(isa, options, dtype):
    """Whole cache lines, whole vectors, tails, and vectors that do not begin on a line, which cannot go."""
    momentum, dampening, weight_decay, nesterov = options
    for n in (*SIZES, 1000):
        for offset in (0, 1, 8):
            room = aligned_zeros(n + 24, dtype)
            room[:] = 7
            expected, v, g = draw(n, dtype, seed=9)
            w = room[offset : offset + n]
            w[:] = expected
            expected_v = v.copy()
            step(expected, expected_v, g, 0.1, options)
            kernels.sgd(
                w, v if momentum else None, g, 0.1, momentum, dampening, weight_decay, nesterov, stream=True
            )
            assert w.tobytes() == expected.tobytes()
            assert v.tobytes() == expected_v.tobytes()
            assert (room[:offset] == 7).all()
            assert (room[offset + n :] == 7).all()
    w, v, g = draw(64, dtype, seed=10)
    bad_w = aligned_zeros(64, dtype)
    bad_w[:], g[33] = w, np.inf
    assert kernels.sgd(bad_w, None, g, 0.1, stream=True) is True
    assert bad_w[33] == w[33]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_bad_gradient_keeps_its_element_and_no_other(isa, options, bad, dtype):
    for n in (1, 8, 16, 19):
        for position in {0, n // 2, n - 1}:
            w, v, g = draw(n, dtype, seed=6)
            clean_w, clean_v = w.copy(), v.copy()
            assert step(clean_w, clean_v, g, 0.1, options) is False
            clean_w[position], clean_v[position] = w[position], v[position]
            g[position] = bad
            assert step(w, v, g, 0.1, options) is True
            assert w.tobytes() == clean_w.tobytes()
            assert v.tobytes() == clean_v.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_overflow_of_the_parameter_or_of_the_velocity_keeps_both(isa, dtype):
    largest = np.finfo(dtype).max
    # The parameter overflows, the velocity does not.
    w, v, g = (np.array([x], dtype) for x in (largest, 0.0, -largest / 2))
    assert kernels.sgd(w, v, g, lr=1.0, momentum=0.9) is True
    assert (w[0], v[0]) == (largest, 0.0)
    # The velocity overflows.
    for lr in (0.0, 1e-30, 0.5):
        for nesterov in (False, True):
            w, v, g = (np.array([x], dtype) for x in (1.0, largest, largest))
            assert kernels.sgd(w, v, g, lr=lr, momentum=0.9, nesterov=nesterov) is True
            assert (w[0], v[0]) == (1.0, largest)
    # Without momentum.
    w, g = np.array([largest], dtype), np.array([-largest], dtype)
    assert kernels.sgd(w, None, g, lr=1.0) is True
    assert w[0] == largest


@pytest.mark.parametrize("dtype", DTYPES)
def test_without_decay_the_gradient_is_used_as_it_is(isa, dtype):
    largest = np.finfo(dtype).max
    g = np.array([-0.0, 0.0, 1.0, np.finfo(dtype).smallest_subnormal] * 9, dtype)
    w, v = np.full(36, largest), np.zeros(36, dtype)
    w = w.astype(dtype)
    assert kernels.sgd(w, v, g, lr=0.25, momentum=0.9, first_step=True) is False
    assert v.tobytes() == g.tobytes()
    assert np.all(w == largest)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_learning_rate_of_zero_changes_no_bit(isa, dtype):
    w, _, g = draw(21, dtype, seed=7)
    before = w.tobytes()
    assert kernels.sgd(w, None, g, lr=0.0) is False
    assert w.tobytes() == before


def test_constants_are_rounded_once(isa):
    """In float32, 1 - dampening is formed in float64: 1 - float32(dampening) would lose bits."""
    dampening = 0.999999
    w, v, g = (np.array([x], np.float32) for x in (0.0, 0.0, 1.0))
    kernels.sgd(w, v, g, lr=0.0, momentum=0.5, dampening=dampening)
    assert v[0] == np.float32(1.0 - dampening)
    assert v[0] != np.float32(1.0) - np.float32(dampening)
