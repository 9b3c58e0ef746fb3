"""The roofs of the machine and the stopwatch: the work behind the rates is checked, never the rates."""

import math

import numpy as np
import pytest
from helpers import DTYPES, ISA_LEVELS, padded, product_bound, uniform
from minidl.kernels.timing import matmul_seconds

from minidl import kernels
from minidl.errors import DtypeError, OptionError, ShapeError
from minidl.kernels import machine


@pytest.fixture(params=ISA_LEVELS)
def isa(request):
    with kernels.use_isa(request.param):
        yield request.param


# --- the chains behind the peak -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 11])
def test_chains_follow_the_closed_form(steps, dtype, isa):
    """With a = 1/2 every step is exact in binary, so the closed form holds to the bit."""
    got = machine.fma_chains(steps, 0.5, 1.0, dtype)
    assert got.dtype == dtype
    start = np.arange(got.size, dtype=np.float64)
    assert np.array_equal(got, 2 + (start - 2) * 0.5**steps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_chains_are_independent_and_hide_the_latency(dtype, isa):
    start = machine.fma_chains(0, 0.5, 1.0, dtype)
    assert start.size >= 10
    assert np.array_equal(start, np.arange(start.size))


@pytest.mark.parametrize("dtype", DTYPES)
def test_chains_end_at_the_fixed_point_without_special_numbers(dtype, isa):
    """After many steps nothing has grown, vanished or become NaN: a peak is not that of denormals."""
    assert (machine.fma_chains(10**6, 0.5, 1.0, dtype) == 2).all()
    assert np.allclose(machine.fma_chains(10**4, -0.25, 3.0, dtype), 3.0 / 1.25)


# --- the rates ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_the_peak_is_a_rate(dtype, n_threads, isa):
    rate = machine.fma_peak(dtype, n_threads, seconds=0.0)
    assert math.isfinite(rate)
    assert rate > 0


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("n_bytes", [1, 8, 1000, 2**20])
@pytest.mark.parametrize(
    "rate_of", [machine.copy_bandwidth, machine.triad_bandwidth, machine.handover_bandwidth]
)
def test_bandwidth_is_a_rate(rate_of, n_bytes, n_threads):
    rate = rate_of(n_bytes, n_threads, seconds=0.0)
    assert math.isfinite(rate)
    assert rate > 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: machine.fma_peak(n_threads=0), "n_threads=0: expected an integer from 1 to 1024"),
        (lambda: machine.fma_peak(seconds=-1), "seconds=-1: expected a number >= 0"),
        (lambda: machine.fma_peak(seconds=math.nan), "seconds=nan: expected a number >= 0"),
        (lambda: machine.copy_bandwidth(0), "n_bytes=0: expected an integer >= 1"),
        (lambda: machine.triad_bandwidth(1.5), "n_bytes=1.5: expected an integer >= 1"),
        (lambda: machine.handover_bandwidth(n_threads=0), "n_threads=0: expected an integer from 1 to 1024"),
        (lambda: machine.fma_chains(-1, 0.5, 1.0), "steps=-1: expected an integer >= 0"),
    ],
)
def test_wrong_options_of_the_roofs(call, words):
    with pytest.raises(OptionError, match=words):
        call()


@pytest.mark.parametrize("call", [machine.fma_peak, lambda dtype: machine.fma_chains(1, 0.5, 1.0, dtype)])
def test_wrong_dtypes_of_the_roofs(call):
    with pytest.raises(DtypeError, match="dtype='float16': expected 'float32' or 'float64'"):
        call("float16")


# --- the stopwatch --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_threads", [None, 1, 2])
@pytest.mark.parametrize("transposed", ["", "a", "b"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 5, 3), (33, 300, 17)])
def test_what_is_timed_is_the_product(shape, transposed, n_threads, dtype):
    m, k, n = shape
    rng = np.random.default_rng(0)
    a = uniform(rng, (k, m) if transposed == "a" else (m, k), dtype)
    b = uniform(rng, (n, k) if transposed == "b" else (k, n), dtype)
    a, b = a.T if transposed == "a" else a, b.T if transposed == "b" else b
    out = padded(np.full((m, n), np.nan, dtype))
    seconds = matmul_seconds(a, b, out, repeats=3, n_threads=n_threads)
    assert 0 < seconds < math.inf
    truth = a.astype(np.float64) @ b.astype(np.float64)
    assert (np.abs(out - truth) <= product_bound(a, b, dtype)).all()
    assert np.array_equal(out, kernels.matmul(a, b))


def test_wrong_arguments_of_the_stopwatch():
    a, out = np.ones((4, 4)), np.empty((4, 4))
    with pytest.raises(OptionError, match="repeats=0: expected an integer >= 1"):
        matmul_seconds(a, a, out, repeats=0)
    with pytest.raises(OptionError, match="n_threads=0"):
        matmul_seconds(a, a, out, n_threads=0)
    with pytest.raises(ShapeError, match="out: expected contiguous rows"):
        matmul_seconds(a, a, out.T)
    with pytest.raises(ShapeError, match="out: expected shape"):
        matmul_seconds(a, a, np.empty((4, 3)))
    with pytest.raises(DtypeError):
        matmul_seconds(a, a.astype(np.float32), out)
