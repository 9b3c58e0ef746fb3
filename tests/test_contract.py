"""The promises of minidl-num-1 (minidl/engine/README.md), one by one, and what they rest on."""

import ctypes
import platform
import re
from pathlib import Path

import golden
import numpy as np
import pytest
from golden import BATCH, EPOCHS, GOLDEN, GOLDEN_WIDE, PARTIAL, digest, trained, trained_wide
from helpers import (
    DTYPES,
    ELSEWHERE,
    FUSED_LEVELS,
    ISA_LEVELS,
    at_offset,
    needs_fused,
    needs_linux,
    python,
    uniform,
)

import minidl
from minidl import MLP, SGD, kernels
from minidl.config import config
from minidl.engine import program
from minidl.errors import DtypeError, OptionError
from minidl.kernels import _leaf, packing

# --- one constant for every way to compute ---------------------------------------------------------


@pytest.mark.parametrize("policy", packing.POLICIES)
@pytest.mark.parametrize("level", FUSED_LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_constant_for_levels_packing_and_threads(dtype, level, policy):
    """A change here breaks a promise: it needs a new name for the contract and a changelog entry."""
    with kernels.use_isa(level), kernels.use_packing(policy):
        for n_threads in range(1, 9):
            assert digest(trained(dtype, BATCH, n_threads)) == GOLDEN[dtype], n_threads
            assert digest(trained_wide(dtype, n_threads)) == GOLDEN_WIDE[dtype], n_threads


@pytest.mark.parametrize("policy", packing.POLICIES)
@pytest.mark.parametrize("level", ISA_LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_last_batch_of_another_size(dtype, level, policy):
    """Batches of 36 and 5 rows; the level without FMA agrees with itself as well."""
    with kernels.use_isa(level):
        expected = trained(dtype, PARTIAL, epochs=4)
        assert digest(expected) != digest(trained(dtype, PARTIAL, epochs=3))
        with kernels.use_packing(policy):
            for n_threads in (2, 3, 5, 8):
                assert digest(trained(dtype, PARTIAL, n_threads, epochs=4)) == digest(expected), n_threads


@needs_fused
@pytest.mark.parametrize("policy", packing.POLICIES)
def test_the_environment_chooses_level_and_packing(policy):
    script = (
        "import golden as t; from minidl import kernels; from minidl.kernels.packing import packing;"
        "print(kernels.isa(), packing(), *[t.digest(t.trained(d, t.BATCH)) for d in t.GOLDEN])"
    )
    for level in FUSED_LEVELS:
        done = python("-c", script, MINIDL_ISA=level, MINIDL_PACKING=policy, PYTHONHASHSEED="1")
        assert done.stdout.split() == [level, policy, *GOLDEN.values()]


@pytest.mark.parametrize("policy", packing.POLICIES)
@pytest.mark.parametrize("level", ISA_LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_predictions_do_not_depend_on_how_rows_are_batched(dtype, level, policy):
    net = MLP([300, 1050, 50, 7], "gelu", seed=3, dtype=dtype)
    X, _ = golden.data(dtype, 613, 300)
    with kernels.use_isa(level):
        whole = net.predict(X, n_threads=1)
        assert len(np.unique(whole, axis=0)) == len(X)
        with kernels.use_packing(policy):
            for step, n_threads in ((613, 4), (256, 2), (100, 1), (37, 3), (5, 1)):
                parts = [net.predict(X[i : i + step], n_threads=n_threads) for i in range(0, 613, step)]
                assert np.concatenate(parts).tobytes() == whole.tobytes(), step
            for i in (0, 255, 256, 612):
                assert net.predict(X[i : i + 1]).tobytes() == whole[i : i + 1].tobytes()


# --- packing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_packing_is_forced_and_put_back(dtype):
    """What a packed panel holds is a copy: only then may a column beyond b be read as +0, not as NaN."""
    rng = np.random.default_rng(0)
    a, b = uniform(rng, (60, 300), dtype), uniform(rng, (300, 70), dtype)
    expected = kernels.matmul(a, b)
    assert packing.packing() == "auto"
    for policy in ("always", "never"):
        with kernels.use_packing(policy):
            assert packing.packing() == policy
            for left, right in ((a, b), (a, np.asfortranarray(b)), (np.asfortranarray(a), b)):
                assert kernels.matmul(left, right).tobytes() == expected.tobytes()
    with pytest.raises(ZeroDivisionError), kernels.use_packing("always"):
        raise ZeroDivisionError
    assert packing.packing() == "auto"


def test_an_unknown_policy_is_an_error():
    with pytest.raises(OptionError, match=r"packing='sometimes' is unknown.*always, auto, never"):
        packing.set_packing("sometimes")
    assert packing.packing() == "auto"
    done = python("-c", "import minidl.kernels", check=False, MINIDL_PACKING="sometimes")
    assert done.returncode != 0
    assert "MINIDL_PACKING='sometimes' is unknown" in done.stderr
    assert "packing        never" in python("-m", "minidl", "config", MINIDL_PACKING="never").stdout


# --- where the data lie ----------------------------------------------------------------------------


def everything(net, X, y, weight):
    """Train, evaluate, predict and differentiate on the arrays as they lie; return all results as bytes."""
    net = minidl.Sequential(net.layers, n_inputs=net.n_inputs, seed=5, dtype=net.dtype)
    options = {"loss": "mse", "sample_weight": weight, "n_threads": 2}
    for _ in range(3):
        net.train_step(X, y, optimizer=SGD(lr=0.05, momentum=0.9), **options)
    net.fit(X, y, optimizer=SGD(lr=0.05, momentum=0.9), batch_size=7, verbose=0, **options)
    loss = net.gradients(X, y, **options)
    scores = net.evaluate(X, y, loss="mse", sample_weight=weight)
    results = [net.params.flat.tobytes(), net.grads.flat.tobytes(), net.predict(X).tobytes()]
    return [*results, loss, scores["loss"]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_features_targets_and_weights_at_every_byte(dtype):
    rng = np.random.default_rng(1)
    net = MLP([21, 18, 5], "tanh", seed=5, dtype=dtype)
    X, y = uniform(rng, (19, 21), dtype), uniform(rng, (19, 5), dtype)
    weight = rng.uniform(0.5, 2, 19).astype(dtype)
    expected = everything(net, X, y, weight)
    wide = np.full((19, 40), np.nan, dtype)
    for offset in range(64):  # those that are no multiple of the item size are copied
        x_there, y_there = at_offset(X, offset), at_offset(y, (offset * 5 + 8) % 64)
        assert x_there.ctypes.data % 64 == offset
        assert everything(net, x_there, y_there, at_offset(weight, 63 - offset)) == expected, offset
        inside = at_offset(wide, offset)[:, 9:30]  # rows further apart than they are long
        inside[...] = X
        assert everything(net, inside, y, weight) == expected, offset


# name -> the operands, and the call; operands that are written are copied by the call
def kernel_calls(rng, dtype):
    m, n, k = 7, 21, 300
    a, b, bias = uniform(rng, (m, k), dtype), uniform(rng, (k, n), dtype), uniform(rng, n, dtype)
    z, t = uniform(rng, (m, n), dtype), uniform(rng, (m, n), dtype)
    w, v, g = (uniform(rng, 133, dtype) for _ in range(3))
    row = np.zeros(m, dtype)

    def update(w, v, g):
        kernels.sgd(w, v, g, lr=0.1, momentum=0.9, weight_decay=0.01)
        return np.concatenate([w, v])

    return {
        "matmul": ((a, b, bias, z.copy()), lambda a, b, c, out: kernels.matmul(a, b, bias=c, out=out)),
        "matmul of columns": ((a.T.copy(), b.T.copy()), lambda a, b: kernels.matmul(a.T, b.T)),
        "matmul with epilogue": ((a, b), lambda a, b: kernels.matmul(a, b, activation="gelu")),
        "activation": ((z, t.copy()), lambda z, out: kernels.activation("silu", z, out=out)),
        "activation_gradient": ((z, t.copy()), lambda z, out: kernels.activation_gradient("gelu", z, out)),
        "activation_backward": ((z, t), lambda z, t: kernels.activation_backward("tanh", z, t)),
        "vmath": ((z, t.copy()), lambda z, out: kernels.vmath("exp", z, out=out)),
        "softmax": ((z, t.copy()), lambda z, out: kernels.softmax(z, out=out)),
        "log_softmax": ((z, t.copy()), lambda z, out: kernels.log_softmax(z, out=out)),
        "softmax_backward": ((z, t), kernels.softmax_backward),
        "sum of rows": ((z, row), lambda z, out: kernels.reduce("sum", z, 1, out=out)),
        "sum of columns": ((z, bias.copy()), lambda z, out: kernels.reduce("sum", z, 0, out=out)),
        "max of rows": ((z, row), lambda z, out: kernels.reduce("max", z, 1, out=out)),
        "max of columns": ((z, bias.copy()), lambda z, out: kernels.reduce("max", z, 0, out=out)),
        "argmax": ((z,), kernels.argmax),
        "all_finite": ((z,), lambda z: np.array(kernels.all_finite(z))),
        "cross entropy": (
            (z, np.abs(t), np.abs(w[:m])),
            lambda z, t, w: np.concatenate(
                [x.ravel() for x in kernels.loss("cross_entropy_probability", z, t, weight=w)]
            ),
        ),
        "labels": (
            (z, np.arange(m)),
            lambda z, t: np.concatenate([x.ravel() for x in kernels.loss("cross_entropy_label", z, t)]),
        ),
        "sgd": ((w, v, g), update),
    }


KERNELS = tuple(kernel_calls(np.random.default_rng(2), "float32"))


@pytest.mark.parametrize("policy", packing.POLICIES)
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_operands_of_kernels_at_every_byte(dtype, name, policy):
    operands, call = kernel_calls(np.random.default_rng(2), dtype)[name]
    expected = call(*(x.copy() for x in operands)).tobytes()
    size = np.dtype(dtype).itemsize
    with kernels.use_packing(policy):
        for offset in range(0, 64, size):
            together = [at_offset(x, (offset + i * 3 * 8) % 64) for i, x in enumerate(operands)]
            alone = [
                [x.copy() if j != i else at_offset(x, offset) for j, x in enumerate(operands)]
                for i in range(len(operands))
            ]
            for placed in (together, *alone):
                if all(x.flags.aligned for x in placed):  # not so int64 labels between two float32
                    assert call(*placed).tobytes() == expected, offset


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_operands_between_two_items_are_copied_or_refused(dtype, name):
    operands, call = kernel_calls(np.random.default_rng(2), dtype)[name]
    expected = call(*(x.copy() for x in operands)).tobytes()

    def outcome(placed):
        try:
            return call(*placed).tobytes()
        except DtypeError as error:
            return str(error)

    for i in range(len(operands)):
        for offset in (1, 2, 63):
            placed = [x.copy() if j != i else at_offset(x, offset) for j, x in enumerate(operands)]
            before = [x.copy() for x in placed]
            result = outcome(placed)
            if isinstance(result, bytes):
                assert result == expected
            else:
                assert "starts at an address that is no multiple of its item size: " in result
                for x, y in zip(placed, before, strict=True):
                    np.testing.assert_array_equal(x, y)


# --- memory that must not matter -------------------------------------------------------------------


@pytest.mark.parametrize("policy", packing.POLICIES)
@pytest.mark.parametrize("level", ISA_LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_poison_in_buffers_panels_and_pads_changes_nothing(dtype, level, policy, monkeypatch):
    """All memory of a bound program starts as NaN: activations and their pads, scratch, packed panels."""

    def poisoned(n, dtype, **options):
        real = aligned_zeros(n, dtype, **options)
        real.view(np.uint8)[...] = 0xFF
        assert n == 0 or np.isnan(real[0])
        requests.append(n)
        return real

    aligned_zeros, requests = program.aligned_zeros, []
    with kernels.use_isa(level), kernels.use_packing(policy):
        for n_threads in (1, 3):
            expected = [trained(dtype, PARTIAL, n_threads, epochs=2), trained_wide(dtype, n_threads)]
            with monkeypatch.context() as patch:
                patch.setattr(program, "aligned_zeros", poisoned)
                nets = [trained(dtype, PARTIAL, n_threads, epochs=2), trained_wide(dtype, n_threads)]
            assert len(requests) >= 4  # buffers and scratch of two programs
            for net, other in zip(nets, expected, strict=True):
                assert np.isfinite(net.params.flat).all()
                assert digest(net) == digest(other)
                inside = np.zeros(net.params.layout.size, bool)
                for name in net.params:
                    net.params.layout.view(inside, name)[...] = True
                assert not inside.all()
                for store in (net.params, net.grads, net.training.velocity):
                    assert not store.flat[~inside].any()


@pytest.mark.parametrize("policy", packing.POLICIES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_batch_of_nan_leaves_nothing_behind(dtype, policy):
    """The second batch meets buffers, panels and scratch that the first one has filled with NaN."""
    rng = np.random.default_rng(4)
    net = MLP([40, 30, 20, 3], "gelu", seed=0, dtype=dtype)
    X, y = uniform(rng, (33, 40), dtype), rng.integers(0, 3, 33)
    with kernels.use_packing(policy):
        loss, expected = net.gradients(X, y), net.grads.flat.tobytes()
        good = net.params.flat.copy()
        net.params.flat[...] = np.nan
        net.gradients(np.full_like(X, np.nan), y, check_finite=False)
        assert np.isnan(net.grads["1.weight"]).all()
        net.params.flat[...] = good
        assert net.gradients(X[:7], y[:7]) != loss  # fewer rows: NaN stays below them
        assert net.gradients(X, y) == loss
        assert net.grads.flat.tobytes() == expected


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="MALLOC_PERTURB_ is of glibc")
def test_what_malloc_hands_out_does_not_matter():
    """Stand-alone products take their scratch from malloc, here filled with numbers of about 1e38."""
    script = """
import hashlib, numpy as np
from minidl import kernels
sha = hashlib.sha256()
for dtype in ("float32", "float64"):
    for m, n, k in ((1, 7, 3), (50, 33, 300), (13, 1100, 257), (64, 5, 64)):
        i = np.arange(m * k + n * k, dtype=dtype) % 97 / 64 - 0.75
        a, b = i[: m * k].reshape(m, k), i[m * k :].reshape(k, n)
        for right in (b, np.asfortranarray(b), np.repeat(np.repeat(b, 2, 0), 2, 1)[::2, ::2]):
            for left in (a, np.repeat(np.repeat(a, 2, 0), 2, 1)[::2, ::2]):
                sha.update(kernels.matmul(left, right, n_threads=2).tobytes())
print(sha.hexdigest())
"""
    runs = {
        (policy, byte): python("-c", script, MINIDL_PACKING=policy, MALLOC_PERTURB_=byte).stdout
        for policy in packing.POLICIES
        for byte in ("0", "1", "128")
    }
    assert len(set(runs.values())) == 1
    assert len(runs["auto", "0"].strip()) == 64


# --- what it rests on, and what it excludes --------------------------------------------------------

# <fenv.h> of Linux: the modes that are not to nearest
ROUNDING_MODES = {
    "x86_64": (0x400, 0x800, 0xC00),
    "aarch64": (0x400000, 0x800000, 0xC00000),
}.get(platform.machine(), ())


@pytest.mark.parametrize("level", FUSED_LEVELS)
def test_the_leaves_do_not_contract_and_round_to_nearest(level):
    with kernels.use_isa(level):
        assert _leaf.deviations() == []


@needs_linux
@pytest.mark.skipif(not ROUNDING_MODES, reason="rounding modes of this CPU unknown")
@pytest.mark.parametrize("level", ISA_LEVELS)
def test_another_rounding_mode_is_reported(level):
    libm = ctypes.CDLL("libm.so.6")
    with kernels.use_isa(level):
        before = _leaf.deviations()
        for mode in ROUNDING_MODES:
            assert libm.fesetround(mode) == 0
            try:
                found = _leaf.deviations()
            finally:
                libm.fesetround(0)
            assert found == [*before, "the rounding mode is not to nearest"]
        assert _leaf.deviations() == before


@pytest.mark.parametrize("level", ISA_LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_thread_of_a_team_rounds_ties_to_even(dtype, level):
    eps = np.finfo(dtype).eps
    a = np.empty((64, 2), dtype)
    a[:, 0] = np.where(np.arange(64) % 2, 1 + eps, 1)
    a[:, 1] = eps / 2
    expected = np.where(np.arange(64) % 2, 1 + 2 * eps, 1).astype(dtype)[:, None]
    one = np.ones((2, 1), dtype)
    with kernels.use_isa(level):
        for n_threads in (1, 2, 5):
            np.testing.assert_array_equal(kernels.matmul(a, one, n_threads=n_threads), expected)
            np.testing.assert_array_equal(kernels.matmul(-a, one, n_threads=n_threads), -expected)


@pytest.mark.skipif(not FUSED_LEVELS or platform.machine() == "aarch64", reason="portable code has FMA there")
def test_a_cpu_without_fma_is_reported_as_outside_the_contract():
    told = python("-m", "minidl", "config", MINIDL_ISA="portable").stdout
    assert "isa            portable\n" in told
    assert "numerics       without FMA: bits differ from minidl-num-1\n" in told
    with kernels.use_isa("portable"):
        assert config()["numerics"].startswith("without FMA")
        assert digest(trained("float32", BATCH)) != GOLDEN["float32"]
    with kernels.use_isa(FUSED_LEVELS[0]):
        assert config()["numerics"] == "minidl-num-1"


@pytest.mark.parametrize(("dtype", "epochs", "tolerance"), [("float32", 1, 1e-5), ("float64", 4, 1e-12)])
def test_a_cpu_without_fma_agrees_within_rounding(dtype, epochs, tolerance):
    assert epochs < EPOCHS
    with kernels.use_isa("portable"):
        portable = trained(dtype, BATCH, epochs=epochs)
    other = trained(dtype, BATCH, epochs=epochs)
    np.testing.assert_allclose(portable.params.flat, other.params.flat, rtol=0, atol=tolerance)


def test_the_page_that_makes_the_promises_names_tests_that_exist():
    text = (Path(program.__file__).parent / "README.md").read_text()
    named = re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", text)
    assert len(named) > 8
    for file, test in named:
        assert f"def {test}" in (ELSEWHERE / file).read_text(), (file, test)
