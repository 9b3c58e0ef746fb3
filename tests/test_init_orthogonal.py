"""Orthogonal weights: the Haar measure, Orthogonal, SemiOrthogonal, SphereCoordinate.

Moments of the Haar measure are closed forms (Weingarten). All seeds are fixed, tolerances are five standard
errors or derived.
"""

import math

import numpy as np
import pytest
from helpers import FUSED_LEVELS, needs_fused
from init_helpers import draw, gaussian
from scipy import stats

from minidl import init, kernels
from minidl.init.orthogonal import haar

EPS = {"float32": np.finfo(np.float32).eps, "float64": np.finfo(np.float64).eps}


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
