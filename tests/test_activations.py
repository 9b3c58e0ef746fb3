"""Activations: table, parsing, NumPy twins and kernels, against mpmath, PyTorch and each other."""

import math

import mpmath
import numpy as np
import pytest
from scipy import special

from minidl import activations, kernels
from minidl.errors import OptionError
from minidl.kernels import activation, activation_backward, activation_gradient

LEVELS = kernels.available_isa()
FUSED = [level for level in LEVELS if level != "portable"]
DTYPES = [np.float32, np.float64]

SPECS = [*activations.names(), "leaky_relu(0.3)", "leaky_relu(0)", "elu(0.5)", "celu(0.4)", "sine(30)"]


def mp_relu6(x):
    return min(max(x, mpmath.mpf(0)), mpmath.mpf(6))


def mp_softplus(x):
    return mpmath.log1p(mpmath.exp(x))


def mp_elu(x, a):
    return x if x > 0 else a * mpmath.expm1(x)


def mp_gelu_tanh(x):
    u = mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf(0.044715) * x**3)
    return x * (1 + mpmath.tanh(u)) / 2


# written from the papers, independently of the table under test
EXACT = {
    "identity": lambda x: x,
    "relu": lambda x: max(x, mpmath.mpf(0)),
    "leaky_relu": lambda x, a: x if x > 0 else a * x,
    "relu6": mp_relu6,
    "relu_squared": lambda x: max(x, mpmath.mpf(0)) ** 2,
    "elu": mp_elu,
    "selu": lambda x: mpmath.mpf("1.0507009873554804934") * mp_elu(x, mpmath.mpf("1.6732632423543772848")),
    "celu": lambda x, a: x if x > 0 else a * mpmath.expm1(x / a),
    "gelu": lambda x: x * mpmath.ncdf(x),
    "gelu_tanh": mp_gelu_tanh,
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "mish": lambda x: x * mpmath.tanh(mp_softplus(x)),
    "softplus": mp_softplus,
    "softsign": lambda x: x / (1 + abs(x)),
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "log_sigmoid": lambda x: -mp_softplus(-x),
    "tanh": mpmath.tanh,
    "lecun_tanh": lambda x: mpmath.mpf("1.7159") * mpmath.tanh(2 * x / 3),
    "hard_tanh": lambda x: min(max(x, mpmath.mpf(-1)), mpmath.mpf(1)),
    "hard_sigmoid": lambda x: mp_relu6(x + 3) / 6,
    "hard_swish": lambda x: x * mp_relu6(x + 3) / 6,
    "arctan": mpmath.atan,
    "sine": lambda x, w: mpmath.sin(w * x),
}


@pytest.fixture(params=LEVELS)
def level(request):
    with kernels.use_isa(request.param):
        yield request.param


def points(spec, n=60, seed=0):
    """Pre-activations of all sizes that occur, none within 1e-3 of a kink."""
    rng = np.random.default_rng(seed)
    z = np.concatenate([rng.normal(0, 2, n // 2), rng.uniform(-30, 30, n // 4), [1e-5, -1e-5, 12.5, -9.5]])
    kinks = activations.get(spec).kinks
    return z[[all(abs(x - k) > 1e-3 for k in kinks) for x in z]]


def mp_value_and_derivative(spec, z):
    """act(z) and act'(z) in 40 digits, rounded to float64."""
    record = activations.get(spec)
    with mpmath.workdps(40):
        params = [mpmath.mpf(p) for p in record.params]

        def function(x):
            return EXACT[record.name](x, *params)

        pairs = [(function(mpmath.mpf(float(x))), mpmath.diff(function, mpmath.mpf(float(x)))) for x in z]
        y, d = zip(*pairs, strict=True)
        return np.array([float(v) for v in y]), np.array([float(v) for v in d])


# --- the table ------------------------------------------------------------------------------------


def test_python_and_c_tables_agree():
    from minidl.kernels import _leaf

    table = {}
    for name in activations.names():
        record = activations.get(name)
        table[name] = (record.saves, len(record.params))
    assert table == _leaf.activation_table()


def test_every_activation_has_an_exact_formula_here():
    assert set(EXACT) == set(activations.names())


@pytest.mark.parametrize("spec", SPECS)
def test_strings_read_back(spec):
    record = activations.get(spec)
    assert activations.get(str(record)) == record
    assert hash(activations.get(str(record))) == hash(record)
    assert activations.get(record) is record


@pytest.mark.parametrize(
    ("text", "name", "params"),
    [
        ("swish", "silu", ()),
        ("linear", "identity", ()),
        ("logistic", "sigmoid", ()),
        (" sin( 30 ) ", "sine", (30.0,)),
        ("leaky_relu(negative_slope=0.2)", "leaky_relu", (0.2,)),
        ("elu()", "elu", (1.0,)),
        ("celu(+.5)", "celu", (0.5,)),
        ("softmax", "softmax", ()),
    ],
)
def test_get(text, name, params):
    record = activations.get(text)
    assert (record.name, record.params) == (name, params)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ReLU", "Did you mean 'relu'"),
        ("rleu(1)", "Did you mean 'relu'"),
        (None, "unknown"),
        (np.tanh, "unknown"),
        ("relu(1)", "takes no parameters"),
        ("elu(beta=2)", "takes alpha=1"),
        ("elu(1, 2)", "takes alpha=1"),
        ("elu(1, alpha=2)", "takes alpha=1"),
        ("elu(alpha=1, alpha=2)", "expected a name"),
        ("elu(", "expected a name"),
        ("elu(x)", "expected a name"),
        ("elu(1)(2)", "expected a name"),
        ("elu('1')", "alpha='1'"),
        ("elu(True)", "alpha=True"),
        ("elu(-1)", "alpha=-1"),
        ("celu(0)", "alpha=0"),
        ("leaky_relu(-0.1)", "negative_slope=-0.1"),
        ("sine(0)", "w0=0"),
        ("elu(1e400)", "alpha=inf"),
    ],
)
def test_get_refuses(text, message):
    with pytest.raises(OptionError, match=message.replace("(", r"\(")):
        activations.get(text)


def test_record_checks_its_parameters():
    with pytest.raises(OptionError, match="takes no parameters"):
        activations.Activation("relu", (1.0,))
    with pytest.raises(OptionError, match="alpha"):
        activations.Activation("elu", ("1",))
    with pytest.raises(OptionError, match="unknown"):
        activations.Activation("swish")
    assert activations.Activation("elu").params == (1.0,)


@pytest.mark.parametrize("spec", SPECS)
def test_output_range_and_monotone_are_true(spec):
    record = activations.get(spec)
    z = np.unique(np.concatenate([np.linspace(-60, 60, 20001), np.linspace(-3, 3, 20001), [-1e7, 1e7]]))
    y = activations.forward(record, z)
    low, high = record.output_range
    slack = 1e-12 * (1 + abs(y))
    assert np.all((y >= low - slack) & (y <= high + slack))
    # the bounds are approached: within 1e-6, or beyond 10 where they are infinite
    assert y.min() < -10 if low == -math.inf else y.min() - low < 1e-6
    assert y.max() > 10 if high == math.inf else high - y.max() < 1e-6
    assert record.monotone == bool(np.all(np.diff(y) >= -1e-12 * (1 + abs(y[1:]))))


@pytest.mark.parametrize("spec", SPECS)
def test_kinks_are_the_jumps_of_the_derivative(spec):
    record = activations.get(spec)
    h = 2.0**-20
    z = np.arange(-8.0, 8.0, 2.0**-6)  # kinks lie on this grid
    jump = np.abs(activations.derivative(record, z + h) - activations.derivative(record, z - h))
    bound = 4e3 * h  # largest second derivative: 30^2 of sine(30), times 2 h
    assert tuple(z[jump > bound]) == record.kinks


# --- the NumPy twins ------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", SPECS)
def test_twins_against_mpmath(spec):
    z = points(spec)
    y, d = mp_value_and_derivative(spec, z)
    scale = max([1.0, *activations.get(spec).params])  # sine(30) rounds 30 z
    tolerance = {"rtol": 1e-14, "atol": 5e-15 * scale * scale}
    np.testing.assert_allclose(activations.forward(spec, z), y, **tolerance)
    np.testing.assert_allclose(activations.derivative(spec, z), d, **tolerance)


def test_softmax_twin():
    z = np.array([[0.0, math.log(3.0)], [1e4, 1e4]])
    np.testing.assert_allclose(activations.forward("softmax", z), [[0.25, 0.75], [0.5, 0.5]])
    with pytest.raises(OptionError, match="no element-wise derivative"):
        activations.derivative("softmax", z)


# --- the kernels ----------------------------------------------------------------------------------


def rounding_of_angle(spec, z, level):
    """What the rounding of w0 z does to sin(w0 z) and its derivative, where there is no FMA to undo it."""
    if spec != "sine(30)" or level in FUSED:
        return 0.0, 0.0
    angle = 30 * np.abs(z).astype(np.float64) * np.finfo(z.dtype).eps
    return angle, 30 * angle


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_kernels_against_mpmath(spec, dtype, level):
    z = points(spec).astype(dtype)
    y, d = mp_value_and_derivative(spec, z)
    eps = float(np.finfo(dtype).eps)
    y_slack, d_slack = rounding_of_angle(spec, z, level)
    assert np.all(np.abs(activation(spec, z) - y) <= 6 * eps * np.maximum(1, np.abs(y)) + y_slack)
    gradient = activation_gradient(spec, z)
    assert gradient.dtype == dtype
    assert np.all(np.abs(gradient - d) <= 8 * eps * np.maximum(1, np.abs(d)) + d_slack)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_kernels_against_twins(spec, dtype, level):
    rng = np.random.default_rng(1)
    z = np.concatenate([rng.normal(0, 2, 4000), rng.uniform(-40, 40, 4000), rng.normal(0, 1e-3, 101)])
    z = z.astype(dtype)
    kinks = np.array(activations.get(spec).kinks)
    z = z[np.all(np.abs(z[:, None] - kinks) > 1e-5, axis=1)]
    eps = float(np.finfo(dtype).eps)
    y, d = activations.forward(spec, z), activations.derivative(spec, z)
    y_slack, d_slack = rounding_of_angle(spec, z.astype(np.float64), "the twin")
    if level == "portable":
        y_slack, d_slack = rounding_of_angle(spec, z, level)
    assert np.all(np.abs(activation(spec, z) - y) <= 6 * eps * np.maximum(1, np.abs(y)) + y_slack)
    assert np.all(np.abs(activation_gradient(spec, z) - d) <= 8 * eps * np.maximum(1, np.abs(d)) + d_slack)


@pytest.mark.parametrize("name", ["gelu", "silu", "mish", "softplus", "log_sigmoid", "sigmoid", "elu"])
def test_tails_keep_their_digits(name, level):
    """Where y fades to 0 the relative error stays a few ulp; forms with 1 + erf or 1 + tanh lose it."""
    z = -np.concatenate([np.geomspace(1e-6, 1, 15), np.linspace(1.1, 35, 40)])
    z = -z if name == "log_sigmoid" else z
    exact, _ = mp_value_and_derivative(name, z)
    np.testing.assert_allclose(activation(name, z), exact, rtol=8 * np.finfo(np.float64).eps)
    z = z[np.abs(z) < 12].astype(np.float32)
    exact, _ = mp_value_and_derivative(name, z)
    np.testing.assert_allclose(activation(name, z), exact, rtol=8 * np.finfo(np.float32).eps)


LIMITS = {  # at -inf and inf; None: no limit
    "identity": (-math.inf, math.inf),
    "leaky_relu": (-math.inf, math.inf),
    "log_sigmoid": (-math.inf, 0.0),
    "elu": (-1.0, math.inf),
    "celu": (-1.0, math.inf),
    "selu": (-1.7580993408473766, math.inf),
    "softsign": (-1.0, 1.0),
    "tanh": (-1.0, 1.0),
    "lecun_tanh": (-1.7159, 1.7159),
    "hard_tanh": (-1.0, 1.0),
    "arctan": (-math.pi / 2, math.pi / 2),
    "relu6": (0.0, 6.0),
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "sine": (math.nan, math.nan),
}


@pytest.mark.parametrize("name", activations.names())
@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_and_infinity(name, dtype, level):
    z = np.array([math.nan, -math.inf, math.inf, *[0.5] * 20], dtype)
    y = activation(name, z)
    assert np.isnan(y[0])
    np.testing.assert_allclose(y[1:3], LIMITS.get(name, (0.0, math.inf)), rtol=1e-6)
    assert np.isfinite(y[3:]).all()
    if name == "sine":
        return
    # the derivative has a limit too, that of the largest number
    biggest = np.finfo(dtype).max
    d = activation_gradient(name, np.array([-math.inf, math.inf, -biggest, biggest], dtype))
    np.testing.assert_allclose(d[:2], d[2:], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_slope_of_gelu_ends_at_zero(dtype, level):
    """Not near it: from where z Phi'(z) is less than half the smallest number of the dtype."""
    end = -14.7 if dtype == np.float32 else -39.1
    z = np.array([end, -100, -np.finfo(dtype).max, -math.inf], dtype)
    assert not activation_gradient("gelu", z).any()
    assert (activation_gradient("gelu", -z) == 1).all()


def float64_sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


SMOOTH = {  # in float64, by functions of NumPy and SciPy that keep the digits of a small result
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "gelu": lambda x: x * special.ndtr(x),
    "gelu_tanh": lambda x: x * float64_sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "sigmoid": float64_sigmoid,
    "silu": lambda x: x * float64_sigmoid(x),
    "softplus": lambda x: np.logaddexp(0, x),
    "tanh": np.tanh,
}
# measured over 5.6 million arguments, rounded up; the tails of the two gelu are the exponential of a large
# number, whose relative error is that number's absolute one
MAX_ULP = {"elu": 1.0, "gelu": 8.0, "gelu_tanh": 220.0, "mish": 4.8, "sigmoid": 2.42}
MAX_ULP |= {"silu": 3.6, "softplus": 1.8, "tanh": 2.54}


@pytest.mark.parametrize("name", SMOOTH)
def test_float32_in_ulp(name, level):
    """Over every size of float32 that is not the limit, of both signs, normal results only."""
    bits = np.random.default_rng(5).integers(0, 0x42B00000, 400_000, dtype=np.uint32)  # up to 88
    x = bits.view(np.float32) * np.array([1, -1], np.float32).repeat(200_000)
    exact = SMOOTH[name](x.astype(np.float64))
    normal = np.abs(exact) > np.finfo(np.float32).tiny
    y, exact = activation(name, x)[normal].astype(np.float64), exact[normal]
    ulp = np.abs(y - exact) / np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    assert ulp.max() <= MAX_ULP[name]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_threads", [1, 2])
def test_results_larger_than_the_caches(dtype, n_threads):
    """They are written around the caches, pages in turn: the same numbers, and none beside them."""
    n = (18 << 20) // np.dtype(dtype).itemsize
    buffer = np.full(n + 40, -7, dtype)
    rng = np.random.default_rng(6)
    x, dy = rng.normal(0, 2, (2, n)).astype(dtype)
    calls = {
        "value": lambda i, **options: activation("tanh", x[i], **options),
        "derivative": lambda i, **options: activation_gradient("silu", x[i], **options),
        "backward": lambda i, **options: activation_backward("elu", dy[i], x[i], **options),
        "vmath": lambda i, **options: kernels.vmath("exp", x[i], **options),
    }
    for offset in (0, 1, 13):
        for name, call in calls.items():
            buffer[...] = -7
            out = buffer[offset : offset + n]
            assert call(slice(None), out=out, n_threads=n_threads) is out
            assert np.all(buffer[:offset] == -7)
            assert np.all(buffer[offset + n :] == -7)
            for begin in range(0, n, n // 5):  # small enough to be written as usual
                part = slice(begin, begin + n // 5)
                assert np.array_equal(out[part], call(part)), (name, offset)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_backward_is_the_product(spec, dtype, level):
    rng = np.random.default_rng(2)
    z, dy = rng.normal(0, 3, (2, 77)).astype(dtype)
    expected = dy * activation_gradient(spec, z)
    np.testing.assert_array_equal(activation_backward(spec, dy, z), expected)


@pytest.mark.parametrize("name", activations.names())
def test_nan_gradient_passes_dead_units(name, level):
    z = np.array([-100.0, -0.5, 0.0, 0.5, 100.0])
    assert np.isnan(activation_backward(name, np.full(5, math.nan), z)).all()


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_length_and_offset(spec, dtype, level):
    z = np.random.default_rng(3).normal(0, 3, 64).astype(dtype)
    y, d = activation(spec, z), activation_gradient(spec, z)
    for n in range(41):
        for offset in (0, 3):
            here = slice(offset, offset + n)
            out = np.full(64, -7, dtype)
            activation(spec, z[here], out=out[here])
            np.testing.assert_array_equal(out[here], y[here])
            assert np.all(out[:offset] == -7)
            assert np.all(out[offset + n :] == -7)
            np.testing.assert_array_equal(activation_gradient(spec, z[here]), d[here])


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_behind_a_product(spec, dtype, level):
    """Inside a product the leaves see short rows with a stride; x I is x itself."""
    rng = np.random.default_rng(7)
    for rows, n in [(5, 1), (4, 3), (3, 16), (7, 33), (2, 100)]:
        x = rng.normal(0, 3, (rows, n)).astype(dtype)
        y = kernels.matmul(x, np.eye(n, dtype=dtype), activation=spec)
        np.testing.assert_array_equal(y, activation(spec, x))


@pytest.mark.parametrize("spec", SPECS)
def test_in_place_and_threads(spec):
    z = np.random.default_rng(4).normal(0, 3, (50, 11))
    y = activation(spec, z)
    for n_threads in (1, 2, 3, 5):
        np.testing.assert_array_equal(activation(spec, z, n_threads=n_threads), y)
    assert activation(spec, z, out=z) is z
    np.testing.assert_array_equal(z, y)


@pytest.mark.skipif(len(FUSED) < 2, reason="one level with FMA: nothing to compare")
@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_on_every_level_with_fma(spec, dtype):
    rng = np.random.default_rng(5)
    z = np.concatenate([rng.normal(0, 3, 5000), rng.uniform(-200, 200, 5001)]).astype(dtype)
    results = []
    for isa in FUSED:
        with kernels.use_isa(isa):
            results.append((activation(spec, z).tobytes(), activation_gradient(spec, z).tobytes()))
    assert all(result == results[0] for result in results)


# --- PyTorch --------------------------------------------------------------------------------------


def torch_functions(torch):
    f = torch.nn.functional
    return {
        "identity": lambda x: x * 1.0,
        "relu": f.relu,
        "leaky_relu(0.3)": lambda x: f.leaky_relu(x, 0.3),
        "relu6": f.relu6,
        "relu_squared": lambda x: f.relu(x) ** 2,
        "elu(0.5)": lambda x: f.elu(x, 0.5),
        "selu": f.selu,
        "celu(0.5)": lambda x: f.celu(x, 0.5),  # exact in the float32 that PyTorch keeps it in
        "gelu": f.gelu,
        "gelu_tanh": lambda x: f.gelu(x, approximate="tanh"),
        "silu": f.silu,
        "mish": f.mish,
        "softplus": f.softplus,
        "softsign": f.softsign,
        "sigmoid": torch.sigmoid,
        "log_sigmoid": f.logsigmoid,
        "tanh": torch.tanh,
        "lecun_tanh": lambda x: 1.7159 * torch.tanh(2.0 / 3.0 * x),
        "hard_tanh": f.hardtanh,
        "hard_sigmoid": lambda x: f.relu6(x + 3) / 6,  # the derivative of hardsigmoid is a float32 1/6
        "hard_swish": f.hardswish,
        "arctan": torch.arctan,
        "sine(30)": lambda x: torch.sin(30.0 * x),
    }


def test_against_pytorch():
    """Values and derivatives, the kinks included."""
    torch = pytest.importorskip("torch")
    functions = torch_functions(torch)
    assert {activations.get(spec).name for spec in functions} == set(activations.names())
    kinks = [-3.0, -1.0, 0.0, 1.0, 3.0, 6.0]
    z = np.concatenate([kinks, np.random.default_rng(6).normal(0, 3, 300)])
    for spec, function in functions.items():
        x = torch.tensor(z, requires_grad=True)
        y = function(x)
        y.sum().backward()
        tolerance = {"rtol": 1e-12, "atol": 3e-13, "err_msg": spec}
        np.testing.assert_allclose(activation(spec, z), y.detach().numpy(), **tolerance)
        np.testing.assert_allclose(activation_gradient(spec, z), x.grad.numpy(), **tolerance)
        np.testing.assert_allclose(activations.forward(spec, z), y.detach().numpy(), **tolerance)
        np.testing.assert_allclose(activations.derivative(spec, z), x.grad.numpy(), **tolerance)
