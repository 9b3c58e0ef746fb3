"""Sparse and deterministic weights, and the contract that all structured schemes share.

Expected matrices come from the papers, written out with NumPy here. All seeds are fixed, tolerances are five
standard errors or derived. The other schemes: test_init_orthogonal, test_init_identity, test_init_mirrored.
"""

import json
import math
import pickle

import numpy as np
import pytest
from helpers import FUSED_LEVELS, needs_fused
from init_helpers import draw, weights_of
from scipy import linalg, stats

from minidl import init, kernels
from minidl.errors import OptionError, ShapeError
from minidl.init.sinusoidal import ALL_ZERO, waves
from minidl.init.zero import hadamard

# --- Sparse ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "kept", "std"),
    [
        (init.Sparse(), 15, 1.0),
        (init.Sparse(nonzero=4, std=0.5), 4, 0.5),
        (init.Sparse(nonzero=500), 200, 1.0),
        (init.Sparse(sparsity=0.9), 20, 1.0),
        (init.Sparse(sparsity=0.0, std=2.0), 200, 2.0),
        (init.Sparse(sparsity=0.999), 1, 1.0),
        (init.Sparse(sparsity=0.75, gain="relu"), 50, math.sqrt(2 / 50)),
        (init.Sparse(nonzero=8, gain=1.0), 8, math.sqrt(1 / 8)),
    ],
    ids=repr,
)
def test_sparse(x, kept, std):
    w = draw(x, (200, 2000))
    assert np.all(np.count_nonzero(w, axis=0) == kept)
    values = w[w != 0.0]
    assert stats.kstest(values, stats.norm(scale=std).cdf).pvalue > 1e-4
    density = kept / 200
    assert x.variance(200, 2000) == pytest.approx(density * std**2, rel=1e-9)
    assert np.mean(w**2) == pytest.approx(density * std**2, rel=5 * math.sqrt(2 / values.size))
    # each input is read by about as many outputs: binomial
    reads = np.count_nonzero(w, axis=1)
    assert np.all(np.abs(reads - 2000 * density) <= 5 * math.sqrt(2000 * density * (1 - density)))
    grid = np.array([-1.0, -1e-9, 0.0, 0.3])
    expected = density * stats.norm(scale=std).cdf(grid) + (1 - density) * np.array([0, 0, 1, 1])
    np.testing.assert_allclose(x.cdf(200, 2000)(grid), expected, rtol=1e-8)


def test_sparse_positions_are_random_pairs():
    """Two outputs share a fixed number of inputs by chance only: hypergeometric."""
    w = draw(init.Sparse(nonzero=10), (50, 600)) != 0.0
    shared = (w[:, 0::2] & w[:, 1::2]).sum(axis=0)
    law = stats.hypergeom(50, 10, 10)
    assert abs(shared.mean() - law.mean()) < 5 * law.std() / math.sqrt(300)
    assert abs(shared.var() - law.var()) < 5 * law.var() * math.sqrt(2 / 300)


def test_sparse_keeps_the_outputs_that_were_there():
    for x in (init.Sparse(), init.Sparse(sparsity=0.5, gain="tanh")):
        np.testing.assert_array_equal(draw(x, (40, 9)), draw(x, (40, 70))[:, :9])


def test_sparse_positions_and_values_are_independent():
    few, many = draw(init.Sparse(nonzero=5), (40, 9)), draw(init.Sparse(nonzero=20), (40, 9))
    chosen = few != 0.0
    np.testing.assert_array_equal(few[chosen], many[chosen])


def test_sparse_of_nothing():
    w = draw(init.Sparse(sparsity=1.0), (4, 3))
    assert np.all(w == 0.0)
    assert (init.Sparse(sparsity=1.0).variance(4, 3), init.Sparse(sparsity=1.0).bound(4, 3)) == (0.0, 0.0)


# --- ZerO, IDInit, Sinusoidal ---------------------------------------------------------------------


def test_hadamard_is_that_of_scipy():
    for n in (1, 2, 4, 64):
        np.testing.assert_array_equal(hadamard(n, n), linalg.hadamard(n))
    np.testing.assert_array_equal(hadamard(5, 12), linalg.hadamard(16)[:5, :12])


@pytest.mark.parametrize("shape", [(4, 4), (7, 3), (3, 4), (3, 6), (9, 10), (1, 1), (1, 5)])
def test_zero(shape):
    n_in, n_out = shape
    p = 2 ** math.ceil(math.log2(n_out))
    # as the paper's algorithm 1 multiplies it, with the factor of the authors' code
    product = np.eye(n_out, p) @ (linalg.hadamard(p) / math.sqrt(p)) @ np.eye(p, n_in)
    expected = np.eye(n_out, n_in) if n_out <= n_in else product
    w = draw(init.ZerO(), shape)
    np.testing.assert_allclose(w.T, expected, rtol=1e-15)
    assert np.mean(w**2) == pytest.approx(init.ZerO().variance(*shape), rel=1e-14)
    assert np.abs(w).max() == pytest.approx(init.ZerO().bound(*shape), rel=1e-15)
    if n_out == p:
        np.testing.assert_allclose(w @ w.T, np.eye(n_in), atol=1e-14)
    kernel = init.ZerO().init((n_out, n_in, 3), 0, "float64", layout="oiw")
    np.testing.assert_array_equal(kernel[:, :, 1], w.T)
    assert np.count_nonzero(kernel) == np.count_nonzero(w)


def test_zero_breaks_what_a_padded_identity_cannot():
    """All units of a widening layer differ, where those of the identity beyond n_in are equal (and zero)."""
    zero, eye = draw(init.ZerO(), (5, 8)), draw(init.Identity(), (5, 8))
    assert len(np.unique(zero, axis=1).T) == 8
    assert len(np.unique(eye, axis=1).T) == 6


def branch(pos, shape=(6, 6), **more):
    return init.LayerSpec("3", shape, residual_branches=4, branch_pos=pos, branch_layers=2, **more)


@pytest.mark.parametrize(
    ("x", "last"),
    [(init.ZerO(), 0.0), (init.IDInit(), 1e-6), (init.IDInit(0.5, epsilon=0.25), 0.25)],
    ids=repr,
)
def test_the_end_of_a_branch(x, last):
    end, before = weights_of(x, [branch(1), branch(0)])
    np.testing.assert_array_equal(end, last * np.eye(6))
    np.testing.assert_array_equal(before, draw(x, (6, 6)))
    for spec, w in ((branch(1), end), (branch(0), before)):
        chosen, reason = x.resolve(spec)
        assert chosen.variance(6, 6) == pytest.approx(np.mean(w**2), rel=1e-12)
        assert ("branch" in reason) == (spec.branch_pos == 1)
    kernel = np.full((4, 4, 3), np.nan)
    x.init_layer(branch(1, (4, 4, 3), layout="oiw"), 0, kernel)
    assert np.abs(kernel).max() == last


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (7, 3), (1, 5), (6, 4)])
def test_idinit(shape):
    n_in, n_out = shape
    expected = np.zeros(shape)
    for n in range(max(shape)):
        expected[n % n_in, n % n_out] = 2.0
    w = draw(init.IDInit(tau=2.0), shape)
    np.testing.assert_array_equal(w, expected)
    assert np.linalg.matrix_rank(w) == min(shape)
    assert np.mean(w**2) == pytest.approx(init.IDInit(2.0).variance(*shape), rel=1e-15)
    kernel = init.IDInit().init((4, 2, 3), 0, "float64", layout="oiw").reshape(4, 6)
    np.testing.assert_array_equal(kernel, draw(init.IDInit(), (6, 4)).T)


@pytest.mark.parametrize("shape", [(64, 64), (64, 256), (5, 3), (3, 5), (1, 3), (300, 40), (2, 3)])
def test_sinusoidal(shape):
    n_in, n_out = shape
    j, k = np.arange(n_in)[:, None], np.arange(1, n_out + 1)
    sines = np.sin(k * (2 * np.pi * j / n_in + 2 * np.pi / n_out))
    np.testing.assert_allclose(waves(n_in, n_out), sines, atol=1e-15 * 4 * np.pi * (n_out + 2))
    for x, fan in [
        (init.Sinusoidal(), (n_in + n_out) / 2),
        (init.Sinusoidal(2.0, mode="fan_in"), n_in / 4),
        (init.Sinusoidal(mode="fan_out"), n_out),
    ]:
        w = draw(x, shape)
        amplitude = math.sqrt(1 / fan / np.mean(sines**2))
        np.testing.assert_allclose(w, amplitude * sines, atol=1e-12 * amplitude)
        assert np.mean(w**2) == pytest.approx(1 / fan, rel=1e-13)
        assert x.variance(*shape) == pytest.approx(1 / fan, rel=1e-15)
        sums = np.abs(w.sum(axis=0))
        assert np.all(sums[k % n_in != 0] < 1e-12 * amplitude * n_in)


@pytest.mark.parametrize(
    ("n_out", "n_in", "rank"), [(64, 64, 31), (128, 64, 32), (64, 128, 63), (256, 64, 64), (101, 101, 50)]
)
def test_sinusoidal_loses_rank(n_out, n_in, rank):
    assert np.linalg.matrix_rank(draw(init.Sinusoidal(), (n_in, n_out))) == rank
    assert np.linalg.matrix_rank(draw(init.Orthogonal(), (n_in, n_out))) == min(n_in, n_out)


def test_sinusoidal_where_all_sines_are_zero():
    found = {(i, o) for i in range(1, 12) for o in range(1, 12) if not waves(i, o).any()}
    assert found == ALL_ZERO
    for shape in found:
        weight = np.full(shape, 7.0)
        with pytest.raises(ShapeError, match="layer 'x'"):
            init.Sinusoidal().init_layer(init.LayerSpec("x", shape), 0, weight)
        assert np.all(weight == 7.0)


def test_sinusoidal_is_not_what_mean_field_theory_says():
    """In a linear network of 20 layers q doubles with each layer, though the variance is 1 / n."""
    w = draw(init.Sinusoidal(), (64, 64))
    z = np.random.default_rng(0).normal(size=(200, 64))
    for _ in range(20):
        z = z @ w
    assert 2**18 < np.mean(z**2) < 2**21
    assert "waves" in init.Sinusoidal().suits("tanh").reason


# --- the contract of all of them ------------------------------------------------------------------

SCHEMES = [
    init.Orthogonal(),
    init.Orthogonal(gain="relu"),
    init.SemiOrthogonal(gain=2.0),
    init.SphereCoordinate(9, scale=0.5),
    init.Identity(gain=0.5),
    init.Dirac(gain=0.5),
    init.DeltaOrthogonal(gain=2.0),
    init.Sparse(),
    init.Sparse(sparsity=0.5, gain="relu"),
    init.Mirrored(),
    init.Mirrored("lecun_normal", slope=0.2),
    init.ZerO(gain=0.5),
    init.IDInit(tau=0.5, epsilon=1e-3),
    init.Sinusoidal(gain="relu", mode="fan_in"),
]


@pytest.mark.parametrize("x", SCHEMES, ids=repr)
def test_is_a_value_with_everything_filled_in(x):
    assert eval(repr(x), vars(init)) == x
    assert pickle.loads(pickle.dumps(x)) == x
    assert hash(pickle.loads(pickle.dumps(x))) == hash(x)
    assert init.from_dict(json.loads(json.dumps(x.to_dict()))) == x
    assert x.formula
    assert x.assumes
    assert x.fails
    assert x.paper
    assert x.distribution != "none"
    for text in x.examples:
        assert type(eval(text, vars(init))) is type(x)
    assert x.formula[:20] in x.describe(64, 32)


@pytest.mark.parametrize("shape", [(6, 6), (12, 4), (4, 12), (66, 34)])
@pytest.mark.parametrize("x", SCHEMES, ids=repr)
def test_dtype_strides_and_layout(x, shape):
    double = draw(x, shape)
    assert np.isfinite(double).all()
    np.testing.assert_array_equal(draw(x, shape, dtype="float32"), double.astype(np.float32))
    padded = np.full((shape[0], shape[1] + 3), 7.0, np.float32)
    x.init(shape, init.Stream(0, "0", "weight"), out=padded[:, :-3])
    np.testing.assert_array_equal(padded[:, :-3], double.astype(np.float32))
    assert np.all(padded[:, -3:] == 7.0)
    np.testing.assert_array_equal(draw(x, shape[::-1], layout="out_in"), double.T)
    kernel = draw(x, (shape[1], shape[0], 1, 1), layout="oihw")  # a dense weight
    np.testing.assert_array_equal(kernel[:, :, 0, 0], double.T)
    bias = np.full(shape[1], 7.0)
    spec = init.LayerSpec("0", shape, input_activation=activation_for(x))
    x.init_layer(spec, 0, np.empty(shape), bias)
    assert np.all(bias == 0.0)
    assert np.all(draw(x, (0, 4)).shape == (0, 4))
    assert draw(x, (4, 0)).shape == (4, 0)


def activation_for(x):
    return f"leaky_relu({x.slope})" if isinstance(x, init.Mirrored) and x.slope else "relu"


RANDOM = [x for x in SCHEMES if x.distribution not in ("deterministic",)]


@pytest.mark.parametrize("x", RANDOM, ids=repr)
def test_seed_and_path_matter(x):
    a = draw(x, (20, 20))
    assert not np.array_equal(a, draw(x, (20, 20), seed=1))
    assert not np.array_equal(a, x.init((20, 20), init.Stream(0, "1", "weight"), "float64"))
    np.testing.assert_array_equal(a, draw(x, (20, 20)))


@needs_fused
@pytest.mark.parametrize("x", SCHEMES, ids=repr)
def test_same_bits_on_all_levels_and_for_all_threads(x):
    seen = set()
    for level in FUSED_LEVELS:
        for threads in (1, 4):
            with kernels.use_isa(level):
                kernels.set_num_threads(threads)
                seen.add(draw(x, (70, 48)).tobytes())
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: init.Orthogonal(gain=0.0), "gain=0.0"),
        (lambda: init.Orthogonal(gain=math.nan), "gain=nan"),
        (lambda: init.Orthogonal(gain="rellu"), "Did you mean 'relu'"),
        (lambda: init.SemiOrthogonal(gain=True), "gain=True"),
        (lambda: init.SphereCoordinate(0), "dim=0"),
        (lambda: init.SphereCoordinate(3, scale=-1.0), "scale=-1.0"),
        (lambda: init.Identity(gain=-1.0), "gain=-1.0"),
        (lambda: init.Dirac(gain=math.inf), "gain=inf"),
        (lambda: init.Sparse(sparsity=1.1), "sparsity=1.1"),
        (lambda: init.Sparse(sparsity=-0.1), "sparsity=-0.1"),
        (lambda: init.Sparse(sparsity=math.nan), "sparsity=nan"),
        (lambda: init.Sparse(nonzero=0), "nonzero=0"),
        (lambda: init.Sparse(nonzero=2.5), "nonzero=2.5"),
        (lambda: init.Sparse(std=0.0), "std=0.0"),
        (lambda: init.Sparse(nonzero=3, sparsity=0.5), "give one"),
        (lambda: init.Sparse(std=1.0, gain=1.0), "give one"),
        (lambda: init.Sparse(sparsity=1.0, gain=1.0), "no gain"),
        (lambda: init.Mirrored("hee"), "init='hee'"),
        (lambda: init.Mirrored(slope=-0.5), "slope=-0.5"),
        (lambda: init.ZerO(gain=0), "gain=0"),
        (lambda: init.IDInit(tau=-1), "tau=-1"),
        (lambda: init.IDInit(epsilon=0.0), "epsilon=0.0"),
        (lambda: init.Sinusoidal(mode="fan"), "mode='fan'"),
        (lambda: init.Sinusoidal().variance(0, 3), "fan_in=0"),
        (lambda: init.Orthogonal().variance(3, 0), "fan_out=0"),
        (lambda: init.Identity().variance(0, 1), "fan_in=0"),
        (lambda: init.Sparse().variance(0, 1), "fan_in=0"),
    ],
)
def test_bad_options(make, match):
    with pytest.raises(OptionError, match=match):
        make()


@pytest.mark.parametrize("x", [x for x in SCHEMES if type(x) is not init.SphereCoordinate], ids=repr)
def test_no_scheme_about_matrices_fills_a_bias(x):
    weight, bias = np.full((4, 4), 7.0), np.full(4, 7.0)
    with pytest.raises(ShapeError, match="matrices"):
        init.Pair("zeros", x).init_layer(init.LayerSpec("0", (4, 4)), 0, weight, bias)
    assert np.all(weight == 7.0)
    assert np.all(bias == 7.0)


@pytest.mark.parametrize(
    "x",
    [
        init.Orthogonal(1e39),
        init.Identity(1e39),
        init.Dirac(1e39),
        init.ZerO(1e39),
        init.IDInit(1e39),
        init.Sinusoidal(1e39),
        init.Sparse(std=1e39),
        init.SphereCoordinate(3, 1e39),
    ],
    ids=repr,
)
def test_what_does_not_fit_into_the_dtype_is_refused(x):
    out = np.full((4, 4), 7.0, np.float32)
    with pytest.raises(OptionError, match="float32"):
        x.init((4, 4), 0, out=out)
    assert np.all(out == 7.0)
    assert np.isfinite(draw(x, (4, 4))).all()


def test_identity_points_to_dirac():
    with pytest.raises(ShapeError, match=r"layer 'c'.*Dirac"):
        init.Identity().init_layer(init.LayerSpec("c", (2, 2, 3), layout="oiw"), 0, np.zeros((2, 2, 3)))


def test_verdicts_of_deterministic_schemes():
    """Identities with relu pass what is positive; with sigmoid nothing; a small gain loses the signal."""
    ok, reason = init.Identity().suits("relu")
    assert ok
    assert "identities q goes from 1 to 0.5" in reason
    assert not init.Identity().suits("sigmoid")
    assert not init.Identity(gain=0.1).suits("relu")
    assert not init.IDInit(tau=3.0).suits("identity")
    assert init.Orthogonal("relu").suits("relu")
    assert not init.Orthogonal().suits("relu")


@pytest.mark.parametrize("x", [x for x in SCHEMES if not isinstance(x, init.Law)], ids=repr)
def test_suits_looks_as_deep_as_it_is_told(x):
    ok, reason = x.suits("sigmoid", 20, 1e6)
    assert not ok
    assert reason.endswith(".")


def test_a_deeper_chain_loses_more():
    assert init.Identity(gain=0.6).suits("relu", depth=5)
    assert not init.Identity(gain=0.6).suits("relu", depth=30)


@needs_fused
def test_golden_values():
    with kernels.use_isa(FUSED_LEVELS[0]):
        for x, values in GOLDEN.items():
            w = draw(init.get(x), (4, 2))
            assert [v.hex() for v in w.ravel().tolist()] == values, x


GOLDEN = {
    "orthogonal": [
        "-0x1.858db6e92cdb0p-4",
        "-0x1.05d13bb52f62fp-3",
        "-0x1.c4b2c386f5ccdp-1",
        "0x1.ae650271676e4p-2",
        "-0x1.2aab615829dc7p-2",
        "-0x1.ac33c2b3187bfp-1",
        "0x1.68c1995b8b488p-2",
        "0x1.4fd05bf799272p-2",
    ],
    "semi_orthogonal": [
        "-0x1.858db6e92cdb0p-4",
        "-0x1.05d13bb52f62fp-3",
        "-0x1.c4b2c386f5ccdp-1",
        "0x1.ae650271676e4p-2",
        "-0x1.2aab615829dc7p-2",
        "-0x1.ac33c2b3187bfp-1",
        "0x1.68c1995b8b488p-2",
        "0x1.4fd05bf799272p-2",
    ],
    "sphere_coordinate(5)": [
        "-0x1.6230ebe5d3482p-5",
        "0x1.825c8c2ce3bacp-2",
        "-0x1.74ffb8dc00910p-2",
        "0x1.b700b31a07361p-2",
        "-0x1.876f56f4fe636p-4",
        "-0x1.b6b02d8f8d9d9p-1",
        "0x1.040bff5ccc7f9p-1",
        "0x1.3f2078227ecbfp-3",
    ],
    "sparse(nonzero=2)": [
        "-0x1.e55fb453aba18p+0",
        "-0x1.225ffb4b992a9p+0",
        "-0x1.9547759cd7277p-1",
        "0x0.0p+0",
        "0x0.0p+0",
        "0x0.0p+0",
        "0x0.0p+0",
        "-0x1.c099ee43e81fep-1",
    ],
    "mirrored": [
        "-0x1.b60e824896320p-4",
        "0x1.b60e824896320p-4",
        "-0x1.fd10427afd6f1p-1",
        "0x1.fd10427afd6f1p-1",
        "0x1.b60e824896320p-4",
        "-0x1.b60e824896320p-4",
        "0x1.fd10427afd6f1p-1",
        "-0x1.fd10427afd6f1p-1",
    ],
    "sinusoidal": [
        "0x0.0p+0",
        "0x0.0p+0",
        "-0x1.279a74590331cp+0",
        "0x0.0p+0",
        "0x0.0p+0",
        "0x0.0p+0",
        "0x1.279a74590331cp+0",
        "0x0.0p+0",
    ],
}
