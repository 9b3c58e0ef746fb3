"""Do the draws follow the law that a scheme claims, and would we notice if they did not?

Each check returns how much of its allowance a sample takes: up to 1 is what a good generator does, more is a
verdict against it. Allowances are five standard errors, or a probability of about 1e-5, derived from the law
and the size of the sample; seeds are fixed, so no test is a matter of luck. The second half mutates the
library, fans swapped, sqrt(3) forgotten, the cut not made up for, and requires that a check notices.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from minidl import init
from minidl.errors import MinidlError
from minidl.init import distributions, law, registry, variance_scaling

FAN_IN, FAN_OUT = 2000, 500  # a million elements; far apart: swapped fans are a factor of 4
SMALL_IN, SMALL_OUT = 4, 3
SMALL_DRAWS = 300
TESTED = 4  # Kolmogorov-Smirnov and Anderson-Darling look at every fourth element
# P(sqrt(n) D > x) = 2 exp(-2 x^2) is 1e-5 there; so is P(A^2 > x), by simulation of its limit law
KS_LIMIT = math.sqrt(-0.5 * math.log(0.5e-5))
AD_LIMIT = 10.0


# --- laws -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reference:
    """What is expected of an element: its distribution function, and the moments that follow from it."""

    cdf: object
    bound: float
    mean: float
    moments: dict  # central, by order

    @property
    def variance(self):
        return self.moments[2]


def reference(cdf, bound, center, std):
    """Return the moments of a distribution function, by Gauss-Legendre quadrature.

    With X = m + Y, E[Y^k] is the integral of k y^(k-1) P(Y > y) over y > 0, minus that of
    k y^(k-1) P(Y <= y) over y < 0.
    """
    reach = bound if bound < math.inf else 30 * std
    low = edge(lambda x: cdf(x) > 0.0, center - 2 * reach, center)
    high = edge(lambda x: cdf(x) < 1.0, center + 2 * reach, center)

    def moment(order, about):
        total = 0.0
        for a, b, tail in ((low, about, lambda x: -cdf(x)), (about, high, lambda x: 1.0 - cdf(x))):
            x, weight = panels(a, b)
            total += np.sum(weight * order * (x - about) ** (order - 1) * tail(x))
        return total

    mean = center + moment(1, center)
    return Reference(cdf, bound, mean, {order: moment(order, mean) for order in (2, 3, 4, 8)})


def edge(inside, a, b):
    """Return the point between a, outside, and b, inside, where the support begins."""
    for _ in range(80):
        middle = (a + b) / 2
        a, b = (a, middle) if inside(middle) else (middle, b)
    return b


def panels(a, b, n=300):
    node, weight = np.polynomial.legendre.leggauss(16)
    edges = np.linspace(a, b, n + 1)
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half * (node + 1)).ravel(), (half * weight).ravel()


def claimed(x, fan_in, fan_out):
    """What a scheme says of itself."""
    return reference(
        x.cdf(fan_in, fan_out),
        x.bound(fan_in, fan_out),
        x.law(fan_in, fan_out).center(),
        x.std(fan_in, fan_out),
    )


# --- samples --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """A large weight, that of another layer, and many small ones, with what is expected of them."""

    weight: np.ndarray
    other: np.ndarray
    small: np.ndarray
    expected: Reference
    small_expected: Reference

    @property
    def z(self):
        return (self.weight - self.expected.mean) / math.sqrt(self.expected.variance)

    @property
    def z_other(self):
        return (self.other - self.expected.mean) / math.sqrt(self.expected.variance)

    @functools.cached_property
    def u(self):
        """Some of the elements, sorted and made uniform by the distribution function."""
        some = np.sort(self.weight.ravel()[::TESTED])
        return self.expected.cdf(some)


def sample(x, expected=claimed, shape=(FAN_IN, FAN_OUT)):
    weight, other = (x.init(shape, init.Stream(1, path, "weight"), "float64") for path in ("0", "1"))
    small = [
        x.init((SMALL_IN, SMALL_OUT), init.Stream(seed, "0", "weight"), "float64")
        for seed in range(SMALL_DRAWS)
    ]
    return Sample(weight, other, np.array(small), expected(x, *shape), expected(x, SMALL_IN, SMALL_OUT))


# --- checks ---------------------------------------------------------------------------------------


def check_mean(s):
    return abs(s.z.mean()) * math.sqrt(s.weight.size) / 5


def check_variance(s):
    """The relative standard deviation of a sample variance is sqrt((kurtosis - 1) / n)."""
    kurtosis = s.expected.moments[4] / s.expected.variance**2
    relative = s.weight.var() / s.expected.variance - 1
    return abs(relative) / (5 * math.sqrt((kurtosis - 1) / s.weight.size) + 1e-12)


def check_fourth_moment(s):
    m4, m8 = s.expected.moments[4], s.expected.moments[8]
    spread = math.sqrt((m8 - m4**2) / s.weight.size)
    return abs(((s.weight - s.expected.mean) ** 4).mean() - m4) / (5 * spread)


def check_bound(s):
    """No element exceeds the bound; a bounded law comes close to it, here within 1 %."""
    largest = np.abs(s.weight).max()
    if s.expected.bound == math.inf:
        return 0.0
    near = 1.0 - s.expected.cdf(0.99 * s.expected.bound) + s.expected.cdf(-0.99 * s.expected.bound)
    if largest < 0.99 * s.expected.bound and near > 12 / s.weight.size:  # missed with e^-12 or less
        return math.inf
    return largest / s.expected.bound


def check_kolmogorov_smirnov(s):
    return kolmogorov_smirnov(s.u) / KS_LIMIT


def kolmogorov_smirnov(u):
    n = len(u)
    steps = np.arange(n + 1) / n
    return math.sqrt(n) * max(np.max(steps[1:] - u), np.max(u - steps[:-1]))


def check_anderson_darling(s):
    """Weighs the tails: A^2 = -n - mean((2 i - 1) (log u_i + log(1 - u_(n+1-i))))."""
    u, n = s.u, len(s.u)
    if u[0] <= 0.0 or u[-1] >= 1.0:
        return math.inf
    odd = 2 * np.arange(1, n + 1) - 1
    return (-n - np.mean(odd * (np.log(u) + np.log1p(-u[::-1])))) / AD_LIMIT


def check_positions(s):
    """The law at each position of a small weight, over many seeds; the limit for as many tests."""
    tests = s.small[0].size
    limit = math.sqrt(-0.5 * math.log(0.5e-5 / tests))
    u = np.sort(s.small_expected.cdf(s.small), axis=0).reshape(len(s.small), -1)
    return max(kolmogorov_smirnov(column) for column in u.T) / limit


def correlation(a, b):
    """Return the larger correlation of values and of squares, in units of five standard errors."""
    found = []
    for power in (1, 2):
        x, y = (v**power - (v**power).mean() for v in (a.ravel(), b.ravel()))
        scale = math.sqrt(np.mean(x * x) * np.mean(y * y))
        found.append(abs(np.mean(x * y)) / scale if scale > 0.0 else 0.0)
    return max(found) * math.sqrt(a.size) / 5


def check_rows(s):
    """Inputs: neighbours, and the two halves."""
    half = len(s.z) // 2
    return max(correlation(s.z[1:], s.z[:-1]), correlation(s.z[:half], s.z[half : 2 * half]))


def check_columns(s):
    half = s.z.shape[1] // 2
    return max(correlation(s.z[:, 1:], s.z[:, :-1]), correlation(s.z[:, :half], s.z[:, half : 2 * half]))


def check_layers(s):
    return correlation(s.z, s.z_other)


CHECKS = {
    name.removeprefix("check_"): check
    for name, check in sorted(globals().items())
    if name.startswith("check_")
}


def against(s):
    """Return the checks that a sample fails, with how much of their allowance it takes."""
    taken = {name: float(check(s)) for name, check in CHECKS.items()}
    return {name: share for name, share in taken.items() if not share <= 1.0}


# --- every scheme that claims a law ---------------------------------------------------------------


def examples():
    for kind in sorted(set(registry._classes.values()), key=lambda kind: kind.__name__):
        if kind.__module__.startswith("minidl.init."):
            yield from (eval(text, dict(vars(init))) for text in kind.examples)


def claims_law(x):
    try:
        return isinstance(x.law(FAN_IN, FAN_OUT), init.Law)
    except MinidlError:
        return False


def claims_variance(x):
    try:
        return x.variance(FAN_IN, FAN_OUT) >= 0.0
    except MinidlError:
        return False


WITH_LAW = [x for x in examples() if claims_law(x)]
RANDOM = [x for x in WITH_LAW if x.variance(FAN_IN, FAN_OUT) > 0.0]
INDEPENDENT = [x for x in RANDOM if not x.blockwise]
# Elements of a matrix as a whole depend on each other: a smaller one, and only what holds for each element.
DEPENDENT = [x for x in RANDOM if x.blockwise]


def has_atoms(x, fan_in=FAN_IN, fan_out=FAN_OUT):
    cdf, bound = x.cdf(fan_in, fan_out), x.bound(fan_in, fan_out)
    grid = np.linspace(-min(bound, 1e3), min(bound, 1e3), 2001)
    edges = [np.nextafter(x, -np.inf) for x in (-bound, bound)] if bound < math.inf else []
    inside = float(np.max(np.abs(cdf(grid) - cdf(np.nextafter(grid, -np.inf)))))
    return inside > 1e-6 or any(cdf(np.nextafter(x, np.inf)) - cdf(x) > 1e-6 for x in edges)


CONTINUOUS = [x for x in INDEPENDENT if not has_atoms(x)]


@pytest.mark.parametrize("x", CONTINUOUS, ids=repr)
def test_draws_follow_the_law(x):
    assert against(sample(x)) == {}


@pytest.mark.parametrize("x", DEPENDENT, ids=repr)
def test_elements_of_structured_weights_follow_the_law(x):
    """Fewer checks: a rotation has rows of fixed length, so its squares are not independent."""
    try:
        s = sample(x, shape=(400, 100))
    except MinidlError:
        pytest.skip("needs a layer")
    kept = {"mean", "bound", "kolmogorov_smirnov", "layers"} | (
        set() if has_atoms(x, 400, 100) else {"positions"}
    )
    assert not kept & set(against(s))
    assert s.weight.var() == pytest.approx(s.expected.variance, rel=0.02)


@pytest.mark.parametrize("x", WITH_LAW, ids=repr)
def test_claims_agree(x):
    """Variance, standard deviation, mean and bound are those of the distribution function."""
    for fan_in, fan_out in [(FAN_IN, FAN_OUT), (SMALL_IN, SMALL_OUT), (7, 7), (3, 500)]:
        variance, bound = x.variance(fan_in, fan_out), x.bound(fan_in, fan_out)
        assert x.std(fan_in, fan_out) == pytest.approx(math.sqrt(variance), rel=1e-12)
        found = x.law(fan_in, fan_out)
        assert found.variance() == pytest.approx(variance, rel=1e-12)
        assert found.bound() == pytest.approx(bound, rel=1e-12)
        cdf = x.cdf(fan_in, fan_out)
        if bound < math.inf:
            assert cdf(bound) == pytest.approx(1.0, abs=1e-15)
            assert cdf(np.nextafter(-bound, -np.inf)) == pytest.approx(0.0, abs=1e-15)
        if variance > 0.0:
            by_hand = claimed(x, fan_in, fan_out)
            tolerance = 1e-3 if has_atoms(x, fan_in, fan_out) else 1e-7
            assert by_hand.variance == pytest.approx(variance, rel=tolerance)
            assert by_hand.mean == pytest.approx(found.center(), abs=tolerance * math.sqrt(variance))
        grid = np.linspace(-4, 4, 101) * math.sqrt(variance) + found.center()
        assert np.all(np.diff(cdf(grid)) >= 0.0)


@pytest.mark.parametrize("x", [x for x in WITH_LAW if x not in RANDOM], ids=repr)
def test_constants_are_their_law(x):
    weight = x.init((30, 20), 0, "float64")
    value = x.law(30, 20).center()
    assert np.all(weight == value)
    np.testing.assert_array_equal(x.cdf(30, 20)([value - 1e-9, value]), [0.0, 1.0])


PLACES = [
    {"activation": name, "input_activation": name, "index": 1, "depth": 3}
    for name in ("relu", "tanh", "sigmoid", "sine(30.0)", "selu")
]
PLACES += [{**PLACES[0], "residual_branches": 3, "branch_pos": pos, "branch_layers": 2} for pos in (0, 1)]


def fill(x, shape):
    """Fill the first layer of a few that a scheme serves."""
    for place in PLACES:
        spec = init.LayerSpec("1", shape, **place)
        weight, bias = np.empty(shape), np.empty(shape[1])
        try:
            chosen = x.resolve(spec)[0]
            x.init_layer(spec, 3, weight, bias)
        except MinidlError:
            continue
        return chosen, weight, bias
    pytest.skip("serves no plain layer of that shape")


@pytest.mark.parametrize("shape", [(600, 200), (200, 600), (300, 300)])
@pytest.mark.parametrize("x", [x for x in examples() if x not in WITH_LAW], ids=repr)
def test_variance_without_a_law(x, shape):
    """Five standard errors, with the kurtosis of the sample, and one per cent for what is not independent."""
    chosen, weight, _ = fill(x, shape)
    if not claims_variance(chosen):
        pytest.skip("claims no variance")
    variance = chosen.variance(*shape)
    if variance == 0.0:
        assert np.ptp(weight) == 0.0
        return
    kurtosis = np.mean((weight - weight.mean()) ** 4) / weight.var() ** 2
    tolerance = 5 * math.sqrt((kurtosis - 1) / weight.size) + 0.01
    assert np.mean(weight**2) == pytest.approx(variance, rel=tolerance) or weight.var() == pytest.approx(
        variance, rel=tolerance
    )


@pytest.mark.parametrize("x", list(examples()), ids=repr)
def test_variance_of_the_bias(x):
    """Of the bias, or of the part that is no multiple of the sum of the weights: Centered takes that off."""
    chosen, weight, bias = fill(x, (20, 20_000))
    expected = chosen.bias_variance(20, 20_000)
    if expected == 0.0:
        assert np.ptp(bias) == 0.0 or type(chosen).init_layer is not init.Initializer.init_layer
        return
    total = weight.sum(axis=0)
    slope = np.cov(bias, total)[0, 1] / max(total.var(), 1e-300)
    shares = []
    for b in (bias, bias - slope * total):
        kurtosis = max(np.mean((b - b.mean()) ** 4) / b.var() ** 2, 3.0)
        shares.append(abs(b.var() / expected - 1) / (5 * math.sqrt((kurtosis - 1) / b.size)))
    assert min(shares) <= 1.0


# --- mutants --------------------------------------------------------------------------------------
# The laws of the schemes, written out by hand from the papers: a mutation that changes what is drawn and what
# is claimed together must be noticed, too.

SQRT3 = math.sqrt(3)
TAU = 0.87962566103423978  # standard deviation of a normal law cut at 2


def normal(std):
    return stats.norm(scale=std), math.inf


def uniform(bound):
    return stats.uniform(-bound, 2 * bound), bound


def truncated(std, cut=2.0, tau=TAU):
    s = std / tau
    return stats.truncnorm(-cut, cut, scale=s), cut * s


PAPERS = {
    "He()": lambda n, m: normal(math.sqrt(2 / n)),
    "He('uniform')": lambda n, m: uniform(math.sqrt(6 / n)),
    "He('uniform', slope=0.5)": lambda n, m: uniform(math.sqrt(4.8 / n)),
    "He(mode='fan_out')": lambda n, m: normal(math.sqrt(2 / m)),
    "He('truncated_normal')": lambda n, m: truncated(math.sqrt(2 / n)),
    "Xavier()": lambda n, m: uniform(math.sqrt(6 / (n + m))),
    "Xavier('normal', gain=5/3)": lambda n, m: normal(5 / 3 * math.sqrt(2 / (n + m))),
    "LeCun()": lambda n, m: normal(math.sqrt(1 / n)),
    "LeCun('uniform')": lambda n, m: uniform(math.sqrt(3 / n)),
    "VarianceScaling(3.0, 'fan_geo', 'uniform')": lambda n, m: uniform(3 / (n * m) ** 0.25),
    "TruncatedNormal(0.5)": lambda n, m: truncated(0.5),
    "TruncatedNormal(0.5, cut=1.0, std_is='pre')": lambda n, m: truncated(0.5, 1.0, 1.0),
    "Uniform(-0.3, 0.3)": lambda n, m: uniform(0.3),
    "Normal(0.02)": lambda n, m: normal(0.02),
}


def judged(text, expected=None):
    """Return the checks that a scheme fails, against its paper."""

    def by_paper(x, fan_in, fan_out):
        known, bound = PAPERS[text](fan_in, fan_out)
        return reference(known.cdf, bound, 0.0, known.std())

    return against(sample(eval(text, dict(vars(init)) | {"math": math}), expected or by_paper))


@pytest.mark.parametrize("text", PAPERS)
def test_schemes_follow_their_papers(text):
    assert judged(text) == {}


def in_family(distribution, make):
    """Return a mutation: another law for the given variance."""
    return lambda patch: patch.setitem(variance_scaling.LAWS, distribution, make)


def in_fans(mode, rule):
    return lambda patch: patch.setitem(variance_scaling.FANS, mode, rule)


def in_scale(kind, rule):
    return lambda patch: patch.setattr(kind, "scale", property(rule))


def in_draw(kind, draw):
    return lambda patch: patch.setattr(kind, "draw", draw)


def clamp(self, view, key):
    """Cut by moving what is outside onto the bound."""
    normal = init.Normal(self.pre_std)
    normal.draw(view, key)
    np.clip(view, -self.bound(), self.bound(), out=view)


def twelve_uniforms(self, view, key):
    """The sum of twelve uniform numbers, whose tails are too light."""
    total = np.zeros(view.shape)
    part = np.empty(view.shape)
    for i in range(12):
        distributions.random.fill_uniform(part, (key[0] + i, key[1]), -0.5, 0.5)
        total += part
    view[...] = self.sigma * total


def one_row(self, view, key):
    """The same numbers for each input."""
    row = np.empty((1, *view.shape[1:]))
    distributions.random.fill_normal(row, key, 0.0, self.sigma)
    view[...] = row


def one_column(self, view, key):
    one_row(self, view.T, key)


def one_sign(self, view, key):
    """Signs by row: each element has the right law, and squares do not show it."""
    distributions.random.fill_normal(view, key, 0.0, self.sigma)
    np.abs(view, out=view)
    view *= np.where(np.arange(len(view)) % 2, -1.0, 1.0)[:, None]


def one_stream(patch):
    """The stream of the path is lost: all layers are the same."""
    fill = law.Law.fill
    same = init.Stream(0, "same")
    patch.setattr(
        law.Law, "fill", lambda self, view, stream, fan_in=None, fan_out=None: fill(self, view, same)
    )


# mutation, scheme that must suffer, a check that must notice, how the library is changed
MUTANTS = [
    ("fans swapped", "He()", "variance", in_fans("fan_in", lambda n, m: float(m))),
    ("fans swapped", "He(mode='fan_out')", "variance", in_fans("fan_out", lambda n, m: float(n))),
    ("fans swapped", "LeCun('uniform')", "bound", in_fans("fan_in", lambda n, m: float(m))),
    ("fans added, not averaged", "Xavier()", "variance", in_fans("fan_avg", lambda n, m: n + m)),
    (
        "arithmetic for geometric mean",
        "VarianceScaling(3.0, 'fan_geo', 'uniform')",
        "variance",
        in_fans("fan_geo", lambda n, m: (n + m) / 2),
    ),
    (
        "sqrt(3) dropped: the standard deviation as bound",
        "He('uniform')",
        "variance",
        in_family("uniform", lambda v: init.Uniform(-math.sqrt(v), math.sqrt(v))),
    ),
    (
        "the bound as standard deviation",
        "He()",
        "variance",
        in_family("normal", lambda v: init.Normal(math.sqrt(3 * v))),
    ),
    ("the variance as standard deviation", "LeCun()", "variance", in_family("normal", init.Normal)),
    (
        "uniform on one side",
        "LeCun('uniform')",
        "mean",
        in_family("uniform", lambda v: init.Uniform(0.0, 2 * math.sqrt(3 * v))),
    ),
    (
        "the cut not made up for",
        "He('truncated_normal')",
        "variance",
        lambda patch: patch.setattr(distributions, "truncated_std", lambda cut: 1.0),
    ),
    (
        "the cut made up for although the user forbids it",
        "TruncatedNormal(0.5, cut=1.0, std_is='pre')",
        "bound",
        lambda patch: patch.setattr(
            init.TruncatedNormal, "pre_std", property(lambda x: x.sigma / distributions.truncated_std(x.cut))
        ),
    ),
    ("clamped, not cut", "TruncatedNormal(0.5)", "kolmogorov_smirnov", in_draw(init.TruncatedNormal, clamp)),
    ("clamped, not cut", "TruncatedNormal(0.5)", "anderson_darling", in_draw(init.TruncatedNormal, clamp)),
    (
        "cut at one",
        "TruncatedNormal(0.5)",
        "bound",
        in_draw(
            init.TruncatedNormal,
            lambda x, view, key: distributions.random.fill_truncated_normal(
                view, key, 0.0, x.sigma / distributions.truncated_std(1.0), -1.0, 1.0
            ),
        ),
    ),
    (
        "0.93 % too wide, as truncated complex numbers are in JAX",
        "Normal(0.02)",
        "variance",
        in_draw(
            init.Normal,
            lambda x, view, key: distributions.random.fill_normal(view, key, 0.0, x.sigma * 1.0093),
        ),
    ),
    ("gain forgotten", "Xavier('normal', gain=5/3)", "variance", in_scale(init.Xavier, lambda x: 1.0)),
    ("slope forgotten", "He('uniform', slope=0.5)", "variance", in_scale(init.He, lambda x: 2.0)),
    ("slope not squared", "He('uniform', slope=0.5)", "bound", in_scale(init.He, lambda x: 2 / 1.5)),
    ("light tails", "Normal(0.02)", "fourth_moment", in_draw(init.Normal, twelve_uniforms)),
    ("one row for all", "He()", "rows", in_draw(init.Normal, one_row)),
    ("one column for all", "He()", "columns", in_draw(init.Normal, one_column)),
    ("signs by row", "He()", "positions", in_draw(init.Normal, one_sign)),
    ("one stream for all", "Uniform(-0.3, 0.3)", "layers", one_stream),
]


@pytest.mark.parametrize(
    ("text", "check", "mutate"), [mutant[1:] for mutant in MUTANTS], ids=[mutant[0] for mutant in MUTANTS]
)
def test_mutants_are_noticed(text, check, mutate, monkeypatch):
    mutate(monkeypatch)
    assert check in judged(text)


@pytest.mark.parametrize("text", ["He()", "He('uniform')", "TruncatedNormal(0.5)"])
def test_mutants_that_claim_the_truth_are_noticed_by_the_claim(text, monkeypatch):
    """A draw that is not what the object says is noticed without a paper."""
    kind = type(eval(text, dict(vars(init))).law(FAN_IN, FAN_OUT))
    assert judged(text, claimed) == {}
    draw = kind.draw

    def wider(self, view, key):
        draw(self, view, key)
        view *= 1.01

    monkeypatch.setattr(kind, "draw", wider)
    assert "variance" in judged(text, claimed)


def test_each_check_kills_a_mutant():
    assert {mutant[2] for mutant in MUTANTS} == set(CHECKS)


def test_limits():
    """The limits of the two tests of a law, against SciPy; kurtosis and eighth moment by hand."""
    assert stats.kstwobign.sf(KS_LIMIT) == pytest.approx(1e-5, rel=0.01)
    u = np.sort(np.random.default_rng(0).uniform(size=1000))
    assert kolmogorov_smirnov(u) == pytest.approx(math.sqrt(1000) * stats.kstest(u, "uniform").statistic)
    found = reference(stats.norm(1.0, 2.0).cdf, math.inf, 1.0, 2.0)
    assert found.mean == pytest.approx(1.0)
    assert [found.moments[k] for k in (2, 4, 8)] == pytest.approx([4.0, 3 * 16, 105 * 256], rel=1e-9)
    assert found.moments[3] == pytest.approx(0.0, abs=1e-9)
    found = reference(stats.uniform(-0.5, 1.0).cdf, 0.5, 0.0, 1.0)
    assert found.moments[4] / found.variance**2 == pytest.approx(1.8, rel=1e-9)
    found = reference(stats.truncnorm(-2, 2).cdf, 2.0, 0.0, 1.0)
    assert math.sqrt(found.variance) == pytest.approx(TAU, rel=1e-12)
    assert found.moments[4] / found.variance**2 == pytest.approx(2.3655367171, rel=1e-9)
