"""Structured initializers: orthogonal, identity-like, sparse, mirrored and deterministic weights.

Expected matrices come from the papers, written out with NumPy here; moments of the Haar measure are closed
forms (Weingarten). All seeds are fixed, tolerances are five standard errors or derived.
"""

import json
import math
import pickle

import numpy as np
import pytest
from helpers import FUSED_LEVELS, needs_fused
from scipy import linalg, stats

import minidl
from minidl import activations, init, kernels
from minidl.errors import MinidlError, OptionError, ShapeError
from minidl.init.mirrored import odd_slope
from minidl.init.orthogonal import haar
from minidl.init.sinusoidal import ALL_ZERO, waves
from minidl.init.zero import hadamard
from minidl.kernels import random

EPS = {"float32": np.finfo(np.float32).eps, "float64": np.finfo(np.float64).eps}


def draw(x, shape, seed=0, dtype="float64", **more):
    return x.init(shape, init.Stream(seed, "0", "weight"), dtype, **more)


def gaussian(shape, stream):
    out = np.empty(shape)
    random.fill_normal(out, stream.key, 0.0, 1.0)
    return out


# --- the Haar measure -----------------------------------------------------------------------------


def z_scores(samples):
    """How many standard errors the mean of a statistic is from its value under the Haar measure on O(n)."""
    q = np.asarray(samples)
    n = q.shape[1]
    trace = np.trace(q, axis1=1, axis2=2)
    fourth = n * (n - 1) * (n + 2)
    statistics = {
        "trace": (trace, 0.0),
        "trace^2": (trace**2, 1.0),
        "trace of the square": (np.trace(q @ q, axis1=1, axis2=2), 1.0),
        "sign of the determinant": (np.sign(np.linalg.det(q)), 0.0),
        "q00": (q[:, 0, 0], 0.0),
        "q11": (q[:, 1, 1], 0.0),
        "last": (q[:, -1, -1], 0.0),
        "q00^4": (q[:, 0, 0] ** 4, 3 / (n * (n + 2))),
        "q01^2 q02^2": (q[:, 0, 1] ** 2 * q[:, 0, 2] ** 2, 1 / (n * (n + 2))),
        "q00^2 q11^2": (q[:, 0, 0] ** 2 * q[:, 1, 1] ** 2, (n + 1) / fourth),
        "q00 q01 q10 q11": (q[:, 0, 0] * q[:, 0, 1] * q[:, 1, 0] * q[:, 1, 1], -1 / fourth),
        "q00 q11": (q[:, 0, 0] * q[:, 1, 1], 0.0),
    }
    with np.errstate(divide="ignore"):  # a mutant may have no spread at all
        return {
            name: (x.mean() - expected) / (x.std(ddof=1) / math.sqrt(len(x)))
            for name, (x, expected) in statistics.items()
        }


def p_values(samples):
    """Kolmogorov-Smirnov tests of each position against the law of a coordinate on a sphere."""
    q = np.asarray(samples)
    cdf = init.SphereCoordinate(q.shape[1]).cdf()
    return [stats.kstest(q[:, i, j], cdf).pvalue for i in range(q.shape[1]) for j in range(q.shape[2])]


def is_haar(samples):
    scores = z_scores(samples)
    return max(map(abs, scores.values())) < 5 and min(p_values(samples)) > 1e-5


N = 4
STREAMS = [init.Stream(0, "haar", i) for i in range(3000)]
SAMPLES = np.array([haar(N, N, stream) for stream in STREAMS])
# a rotation that treats no axis like another
ROTATION = np.linalg.qr(np.vander([1.0, 2.0, -3.0, 0.5]))[0]


def test_haar():
    assert is_haar(SAMPLES)


def test_haar_is_invariant_from_both_sides():
    assert is_haar(ROTATION @ SAMPLES)
    assert is_haar(SAMPLES @ ROTATION)
    assert is_haar(SAMPLES.transpose(0, 2, 1))


def test_without_the_signs_it_is_not_haar():
    """The mutant that forgets them, ours and NumPy's QR, is far outside all tolerances."""
    draws = [gaussian((N, N), stream) for stream in STREAMS]
    ours = [q * -np.copysign(1.0, np.diag(g)) for q, g in zip(SAMPLES, draws, strict=True)]
    numpys = [np.linalg.qr(g)[0] for g in draws]
    for mutant in (ours, numpys):
        assert abs(z_scores(mutant)["q00"]) > 50
        assert abs(z_scores(mutant)["trace"]) > 20
        assert min(p_values(mutant)) < 1e-100
        assert not is_haar(mutant)


def test_numpys_qr_with_signs_passes_the_same_tests():
    def corrected(g):
        q, r = np.linalg.qr(g)
        return q * np.copysign(1.0, np.diag(r))

    assert is_haar([corrected(gaussian((N, N), stream)) for stream in STREAMS])


def test_scipys_haar_passes_the_same_tests():
    assert is_haar(stats.ortho_group.rvs(N, size=3000, random_state=0))


@pytest.mark.parametrize("shape", [(7, 3), (5, 4), (9, 1)])
def test_columns_are_uniform_on_the_sphere(shape):
    q = np.array([haar(*shape, stream) for stream in STREAMS[:1000]])
    assert min(p_values(q)) > 1e-5
    for column in q.transpose(2, 0, 1):
        covariance = column.T @ column / len(column)
        error = math.sqrt(2.0) / shape[0] / math.sqrt(len(column))  # Var(x_i x_j) < 2 / n^2
        assert np.all(np.abs(covariance - np.eye(shape[0]) / shape[0]) < 5 * error)


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (2, 2), (5, 3), (33, 33), (64, 31), (130, 100)])
def test_is_the_product_of_the_reflections(shape):
    """Against the reflections applied one by one, and the QR of a matrix built to need just these."""
    rows, columns = shape
    stream = init.Stream(1, *shape)
    g = gaussian(shape, stream)
    q, diagonal = np.eye(rows), np.zeros(columns)
    for k in range(columns):
        v = np.where(np.arange(rows) < k, 0.0, g[:, k])
        diagonal[k] = np.linalg.norm(v)
        v[k] += np.copysign(diagonal[k], v[k])
        q -= 2.0 * np.outer(q @ v, v) / (v @ v)
    expected = q[:, :columns] * -np.copysign(1.0, np.diag(g))
    ours = haar(rows, columns, stream)
    np.testing.assert_allclose(ours, expected, atol=1e-14 * columns)
    again, r = np.linalg.qr(ours * diagonal)
    np.testing.assert_allclose(again * np.sign(np.diag(r)), ours, atol=1e-14 * columns)


# --- Orthogonal and SemiOrthogonal ----------------------------------------------------------------

SHAPES = [(1, 1), (1, 7), (7, 1), (64, 64), (100, 33), (33, 100), (300, 257), (520, 520)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_orthogonal_to_rounding(shape, dtype):
    n = max(shape)
    tolerance = 4 * EPS[dtype] * math.sqrt(n)
    w = draw(init.Orthogonal(), shape, dtype=dtype).astype(np.float64)
    gram = w.T @ w if shape[0] >= shape[1] else w @ w.T
    assert np.abs(gram - np.eye(min(shape))).max() < tolerance
    s = draw(init.SemiOrthogonal(), shape, dtype=dtype).astype(np.float64)
    np.testing.assert_allclose(
        s, w * max(math.sqrt(shape[1] / shape[0]), 1.0), rtol=4 * EPS[dtype], atol=EPS[dtype] ** 2
    )
    np.testing.assert_allclose(
        draw(init.Orthogonal(gain=3.0), shape, dtype=dtype), 3.0 * w, rtol=4 * EPS[dtype], atol=1e-30
    )


def test_orthogonal_wide_is_not_a_transposed_tall_one():
    wide, tall = draw(init.Orthogonal(), (3, 5)), draw(init.Orthogonal(), (5, 3))
    np.testing.assert_allclose(wide @ wide.T, np.eye(3), atol=1e-15)
    np.testing.assert_array_equal(wide, tall.T)  # equal draws, for one of them serves each shape


@pytest.mark.parametrize(
    ("x", "shape", "variance"),
    [
        (init.Orthogonal(), (8, 3), 1 / 8),
        (init.Orthogonal(gain=2.0), (3, 8), 4 / 8),
        (init.SemiOrthogonal(), (8, 3), 1 / 8),
        (init.SemiOrthogonal(gain=2.0), (3, 8), 4 / 3),
        (init.SemiOrthogonal(), (6, 6), 1 / 6),
    ],
    ids=repr,
)
def test_law_of_an_element(x, shape, variance):
    assert x.variance(*shape) == pytest.approx(variance, rel=1e-15)
    draws = np.array([x.init(shape, stream, "float64") for stream in STREAMS[:1500]])
    assert np.mean(draws**2) == pytest.approx(variance, rel=1e-13)  # of each draw, by orthogonality
    assert np.abs(draws).max() <= x.bound(*shape) * (1 + 1e-14)
    cdf = x.cdf(*shape)
    for i in range(shape[0]):
        for j in range(shape[1]):
            assert stats.kstest(draws[:, i, j], cdf).pvalue > 1e-5


def test_sphere_coordinate_law():
    x = np.linspace(-1.2, 1.2, 4001)
    np.testing.assert_allclose(init.SphereCoordinate(3).cdf()(x), np.clip((x + 1) / 2, 0, 1), atol=1e-15)
    arcsine = 0.5 + np.arcsin(np.clip(x, -1, 1)) / np.pi
    np.testing.assert_allclose(init.SphereCoordinate(2).cdf()(x), arcsine, atol=1e-14)
    np.testing.assert_array_equal(
        init.SphereCoordinate(1).cdf()([-1.1, -1, 0, 0.9, 1]), [0, 0.5, 0.5, 0.5, 1]
    )
    for dim in (2, 5, 40):
        # Student's t of dim - 1 degrees of freedom: sqrt(dim - 1) t / sqrt(1 - t^2)
        inside = x[np.abs(x) < 1]
        student = stats.t.cdf(math.sqrt(dim - 1) * inside / np.sqrt(1 - inside**2), dim - 1)
        np.testing.assert_allclose(init.SphereCoordinate(dim).cdf()(inside), student, atol=1e-12)
    law = init.SphereCoordinate(6, scale=2.0)
    w = draw(law, (400, 100))
    assert w.var() == pytest.approx(law.variance(), rel=5 * math.sqrt((3 * 6 / 8 - 1) / w.size))
    assert stats.kstest(w.ravel(), law.cdf()).pvalue > 1e-4
    assert abs(np.corrcoef(w[:, 0], w[:, 1])[0, 1]) < 5 / 20
    np.testing.assert_array_equal(draw(law, (400, 7)), w[:, :7])
    np.testing.assert_array_equal(
        law.init((400,), init.Stream(0, "0", "weight"), "float64", fan=(1, 1)), w[:, 0]
    )


@pytest.mark.parametrize("x", [init.Orthogonal(), init.SemiOrthogonal()], ids=repr)
def test_orthogonal_keeps_the_outputs_that_were_there(x):
    whole = draw(x, (90, 90))
    for n_out in (1, 2, 31, 32, 33, 64, 65, 89):
        np.testing.assert_array_equal(draw(x, (90, n_out)), whole[:, :n_out])


def test_orthogonal_kernels_are_orthogonal_as_matrices():
    flat = init.Orthogonal().init((6, 4, 3, 3), 0, "float64", layout="oihw").reshape(6, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(6), atol=1e-14)
    grouped = init.Orthogonal().init((6, 2, 3), 0, "float64", layout="oiw", groups=3).reshape(3, 2, 6)
    for block in grouped:
        np.testing.assert_allclose(block @ block.T, np.eye(2), atol=1e-14)
    assert not np.allclose(grouped[0], grouped[1])


@needs_fused
def test_orthogonal_has_the_same_bits_for_all_threads_and_levels():
    for shape in [(600, 520), (17, 40)]:
        seen = set()
        for level in FUSED_LEVELS:
            with kernels.use_isa(level):
                for threads in (1, 2, 4):
                    kernels.set_num_threads(threads)
                    seen.add(draw(init.Orthogonal(), shape).tobytes())
        assert len(seen) == 1


def test_orthogonal_on_every_level():
    with kernels.use_isa("portable"):
        portable = draw(init.Orthogonal(), (200, 200))
    np.testing.assert_allclose(portable, draw(init.Orthogonal(), (200, 200)), atol=1e-13)


def test_gain_of_an_activation():
    relu = draw(init.Orthogonal("relu"), (5, 5))
    np.testing.assert_allclose(relu, math.sqrt(2.0) * draw(init.Orthogonal(), (5, 5)), rtol=1e-9)
    assert init.Orthogonal("relu").variance(5, 5) == pytest.approx(2 / 5, rel=1e-9)
    assert init.Orthogonal("leaky_relu(0.5)").variance(8, 1) == pytest.approx(2 / 1.25 / 8, rel=1e-9)


# --- identity, Dirac, delta-orthogonal ------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 5), (5, 2)])
def test_identity(shape):
    for x in (init.Identity(gain=1.5), init.Dirac(gain=1.5)):
        w = draw(x, shape)
        np.testing.assert_array_equal(w, 1.5 * np.eye(*shape))
        assert np.mean(w * w) == pytest.approx(x.variance(*shape), rel=1e-15)
        assert x.bound(*shape) == 1.5


def test_identity_in_groups():
    w = init.Identity().init((3, 8), 0, groups=2)  # 3 inputs and 4 outputs of each group
    np.testing.assert_array_equal(w, np.hstack([np.eye(3, 4), np.eye(3, 4)]))


def convolve(x, kernel, groups=1):
    """Cross-correlate with zeros around, as frameworks do; x (channels, h, w), kernel oihw."""
    n_out, n_in, height, width = kernel.shape
    top, left = height // 2, width // 2
    padded = np.pad(x, [(0, 0), (top, height - 1 - top), (left, width - 1 - left)])
    y = np.zeros((n_out, *x.shape[1:]))
    for o in range(n_out):
        first = o // (n_out // groups) * n_in
        for i in range(n_in):
            for a in range(height):
                for b in range(width):
                    tap = padded[first + i, a : a + x.shape[1], b : b + x.shape[2]]
                    y[o] += kernel[o, i, a, b] * tap
    return y


@pytest.mark.parametrize("window", [(3, 3), (1, 5), (2, 4), (1, 1)])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_dirac_convolves_to_the_identity(window, groups):
    x = np.random.default_rng(0).normal(size=(4, 6, 7))
    shape = (4, 4 // groups, *window)
    kernel = init.Dirac().init(shape, 0, "float64", layout="oihw", groups=groups)
    np.testing.assert_array_equal(convolve(x, kernel, groups), x)
    assert np.mean(kernel**2) == pytest.approx(
        init.Dirac().variance(*init.fans(shape, "oihw", groups=groups)), rel=1e-15
    )


def test_dirac_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    layouts = {3: "oiw", 4: "oihw", 5: "oidhw"}
    for shape, groups in [((4, 4, 3), 1), ((6, 4, 3, 3), 1), ((4, 6, 2, 5), 1), ((6, 2, 3, 4, 5), 3)]:
        expected = torch.nn.init.dirac_(torch.empty(shape), groups=groups).numpy()
        ours = init.Dirac().init(shape, 0, layout=layouts[len(shape)], groups=groups)
        np.testing.assert_array_equal(ours, expected)


def test_delta_orthogonal_keeps_every_length():
    x = np.random.default_rng(0).normal(size=(3, 6, 7))
    for shape in [(3, 3, 3, 3), (5, 3, 3, 5), (8, 3, 1, 1)]:
        kernel = init.DeltaOrthogonal(gain=2.0).init(shape, 0, "float64", layout="oihw")
        assert np.count_nonzero(kernel) == shape[0] * shape[1]
        assert np.linalg.norm(convolve(x, kernel)) == pytest.approx(2 * np.linalg.norm(x), rel=1e-13)
        assert np.mean(kernel**2) == pytest.approx(
            init.DeltaOrthogonal(2.0).variance(*init.fans(shape, "oihw")), rel=1e-13
        )
        # the delta stands in Orthogonal's place for the same stream
        dense = init.Orthogonal(gain=2.0).init((shape[1], shape[0]), 0, "float64")
        np.testing.assert_array_equal(kernel[:, :, shape[2] // 2, shape[3] // 2], dense.T)
    np.testing.assert_array_equal(draw(init.DeltaOrthogonal(), (5, 3)), draw(init.Orthogonal(), (5, 3)))


def test_delta_orthogonal_refuses_to_narrow():
    x = init.DeltaOrthogonal()
    specs = [init.LayerSpec("a", (3, 4, 3, 3), layout="oihw"), init.LayerSpec("b", (4, 2), "in_out")]
    weight = np.full((3, 4, 3, 3), 7.0)
    for attempt in (lambda: x.check_network(specs), lambda: x.init_layer(specs[0], 0, weight)):
        with pytest.raises(ShapeError, match=r"layer 'a'.*4 inputs and 3 outputs"):
            attempt()
    assert np.all(weight == 7.0)
    x.check_network(specs[1:])
    x.init((8, 2, 3), 0, layout="oiw", groups=4)
    with pytest.raises(ShapeError, match="4 inputs and 2 outputs"):
        x.init((8, 4, 3), 0, layout="oiw", groups=4)


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


# --- Mirrored -------------------------------------------------------------------------------------

WIDTHS = [5, 12, 8, 8, 20, 3]


def specs_of(widths, activation, first="identity"):
    depth = len(widths) - 1
    roles = ["input", *["hidden"] * (depth - 2), "output"] if depth > 1 else ["output"]
    return [
        init.LayerSpec(
            str(i),
            (widths[i], widths[i + 1]),
            activation=activation if i < depth - 1 else "identity",
            input_activation=activation if i else first,
            role=roles[i],
            index=i,
            depth=depth,
        )
        for i in range(depth)
    ]


def weights_of(x, specs, seed=0, dtype="float64"):
    made = []
    for spec in specs:
        made.append(np.full(spec.shape, np.nan, dtype))
        x.init_layer(spec, seed, made[-1])
    return made


@pytest.mark.parametrize(
    ("activation", "slope"),
    [("relu", 0.0), ("leaky_relu(0.25)", 0.25), ("gelu", 0.0), ("silu", 0.0), ("hard_swish", 0.0),
     ("softplus", 0.0), ("identity", 1.0)],
)  # fmt: skip
def test_a_mirrored_network_is_linear(activation, slope):
    x = init.Mirrored(slope=slope)
    specs = specs_of(WIDTHS, activation)
    x.check_network(specs)
    weights = weights_of(x, specs)
    inputs = np.random.default_rng(0).normal(size=(50, WIDTHS[0]))
    z = inputs
    for i, w in enumerate(weights):
        z = (activations.forward(activation, z) if i else z) @ w
    # the product of the matrices M, read off the blocks
    product = np.eye(WIDTHS[0])
    for spec, w in zip(specs, weights, strict=True):
        m = w if spec.role == "input" else (1 + slope) * w[: len(w) // 2]
        product = product @ (m if spec.role == "output" else m[:, : m.shape[1] // 2])
    np.testing.assert_allclose(z, inputs @ product, atol=1e-12)


def test_a_deep_mirrored_relu_network_is_an_isometry():
    specs = specs_of([16, *[32] * 99, 16], "relu")
    z = inputs = np.random.default_rng(1).normal(size=(20, 16))
    for i, w in enumerate(weights_of(init.Mirrored(), specs)):
        z = (np.maximum(z, 0.0) if i else z) @ w
    np.testing.assert_allclose(z @ z.T, inputs @ inputs.T, atol=1e-11)


def test_mirrored_network_through_the_engine():
    net = minidl.MLP([6, 10, 8, 4], "relu", init=init.Mirrored(), seed=3, dtype="float64")
    x = np.random.default_rng(0).normal(size=(7, 6))
    np.testing.assert_allclose(net.predict(x) + net.predict(-x), 0.0, atol=1e-14)
    a, b = x[:3], x[3:6]
    np.testing.assert_allclose(net.predict(a + 2 * b), net.predict(a) + 2 * net.predict(b), atol=1e-13)
    variances = [layer.variance for layer in net.init_plan().layers]
    for layer, variance in zip(net.init_plan().layers, variances, strict=True):
        w = net.params[f"{layer.spec.path}.weight"]
        assert np.mean(w**2) == pytest.approx(variance, rel=1e-12)  # orthogonal M: exact for each draw


def test_mirrored_blocks_are_those_of_the_base():
    base = init.He(mode="fan_out")
    m = draw(base, (3, 4))
    np.testing.assert_array_equal(draw(init.Mirrored(base), (6, 8)), np.block([[m, -m], [-m, m]]))
    first = draw(init.Mirrored(base, inputs=False), (3, 8))
    np.testing.assert_array_equal(first, np.hstack([m, -m]))
    last = draw(init.Mirrored(base, outputs=False, slope=1.0), (6, 4))
    np.testing.assert_array_equal(last, np.vstack([m, -m]) / 2)
    assert init.Mirrored(base).variance(6, 8) == base.variance(3, 4)
    assert init.Mirrored(base, outputs=False, slope=1.0).variance(6, 4) == base.variance(3, 4) / 4
    kernel = init.Mirrored().init((8, 6, 3, 3), 0, "float64", layout="oihw")
    half = init.Orthogonal().init((4, 3, 3, 3), 0, "float64", layout="oihw")
    np.testing.assert_array_equal(kernel[4:, 3:], half)
    np.testing.assert_array_equal(kernel[:4, 3:], -half)


def test_an_only_layer_is_not_mirrored():
    (spec,) = specs_of([5, 3], "relu")
    np.testing.assert_array_equal(
        weights_of(init.Mirrored(), [spec])[0],
        init.Orthogonal().init((5, 3), init.Stream(0, "0", "weight"), "float64"),
    )


def test_mirrored_refuses_what_it_cannot_do():
    x = init.Mirrored()
    odd = specs_of([4, 7, 2], "relu")
    for spec in odd:
        weight = np.full(spec.shape, 7.0)
        with pytest.raises(ShapeError, match=f"layer '{spec.path}'.*even number.*got 7"):
            x.init_layer(spec, 0, weight)
        assert np.all(weight == 7.0)
    with pytest.raises(ShapeError, match="layer '0'"):
        x.check_network(odd)
    with pytest.raises(OptionError, match=r"layer '1'.*tanh"):
        x.check_network(specs_of([4, 6, 2], "tanh"))
    with pytest.raises(OptionError, match=r"layer '1'.*slope=0\.2"):
        x.init_layer(specs_of([4, 6, 2], "leaky_relu(0.2)")[1], 0, np.zeros((6, 2)))
    with pytest.raises(OptionError, match=r"layer '1'.*another scheme"):
        x.check_network(specs_of([4, 6, 2], "relu")[1:])
    with pytest.raises(OptionError, match="groups"):
        x.init((4, 4, 3), 0, layout="oiw", groups=2)
    with pytest.raises(ShapeError, match="even"):
        init.Pair(x, x).init_layer(init.LayerSpec("0", (4, 4)), 0, np.zeros((4, 4)), np.zeros(4))
    with pytest.raises(OptionError, match="inputs"):
        init.Mirrored(inputs="yes")
    with pytest.raises(MinidlError):
        minidl.MLP([4, 7, 2], "relu", init=x).build()


def test_which_activations_look_linear():
    linear = {
        "gelu",
        "gelu_tanh",
        "hard_swish",
        "identity",
        "leaky_relu",
        "log_sigmoid",
        "relu",
        "silu",
        "softplus",
    }
    assert {name for name in activations.names() if odd_slope(name) is not None} == linear
    verdict = init.Mirrored(slope=0.01).suits("leaky_relu")
    assert verdict.ok
    assert "1.01" in verdict.reason
    assert not init.Mirrored().suits("tanh")


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
