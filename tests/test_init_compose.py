"""Initializers made of others: multiples, clipped laws, blocks, trained weights, plans by path."""

import json
import math
import pickle

import numpy as np
import pytest
from scipy import integrate, stats

import minidl
from minidl import MLP, Dense, Sequential, init
from minidl.errors import OptionError, ShapeError
from minidl.init.from_model import evenly

TRAINED = {
    "0.weight": np.arange(32.0).reshape(4, 8),
    "0.bias": np.arange(8.0) / 8,
    "1.weight": -np.arange(24.0).reshape(8, 3),
}
VALUES = [
    init.Scaled(0.5, init.He()),
    init.Scaled(init.DepthPower(-0.5), init.LeCun()),
    init.Scaled(init.DepthPower(-1, scale=3.0), init.Pair(init.He(), init.Normal(0.1))),
    init.Clipped(init.He(), 2.0),
    init.Clipped(init.Uniform(-0.2, 0.3), at=0.15),
    init.Concat([init.He(), init.Zeros()]),
    init.Concat(["lecun_normal", init.Normal(0.1)], axis=1, sizes=[-1, 1]),
    init.FromModel(TRAINED),
    init.FromModel(TRAINED, paths={"0": "0", "5": "1"}, select="slices"),
    init.Split(init.He(), init.Pair(init.LeCun(), init.Normal(0.1))),
    init.Plan(),
    init.Plan(init.He(), {"0": init.Zeros(), "*.bias": "normal(0.1)"}, input="lecun", output=init.Ones()),
    init.Plan(init.Scaled(2.0, init.He()), [(r"re:\d+\.weight", init.Clipped(init.Normal(0.1), 1.0))]),
]


def spec(path="0", shape=(6, 4), **more):
    return init.LayerSpec(path, shape, **more)


def filled(initializer, layer, seed=0, dtype=np.float64):
    weight, bias = np.full(layer.shape, 7.0, dtype), np.full(layer.n_outputs, 7.0, dtype)
    initializer.init_layer(layer, seed, weight, bias)
    return weight, bias


# --- all of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("x", VALUES, ids=repr)
def test_they_are_values(x):
    assert eval(repr(x), vars(init)) == x
    assert init.from_dict(json.loads(json.dumps(x.to_dict()))) == x
    assert pickle.loads(pickle.dumps(x)) == x
    assert hash(pickle.loads(pickle.dumps(x))) == hash(x)
    assert x != init.He()
    assert len({x, init.from_dict(x.to_dict()), init.He()}) == 2


@pytest.mark.parametrize("x", VALUES, ids=repr)
def test_float32_is_float64_rounded_in_any_layout(x):
    layer = spec(shape=(4, 8))
    single, double = (filled(x, layer, dtype=dtype) for dtype in (np.float32, np.float64))
    for a, b in zip(single, double, strict=True):
        assert (a == b.astype(np.float32)).all()
    turned, bias = filled(x, init.LayerSpec("0", (8, 4), layout="out_in"))
    assert (double[0] == turned.T).all()
    assert (bias == double[1]).all()
    room = np.full((4, 11), 7.0)
    x.init_layer(layer, 0, room[:, :8], np.empty(8))
    assert (room[:, :8] == double[0]).all()
    assert (room[:, 8:] == 7.0).all()


@pytest.mark.parametrize("x", VALUES, ids=repr)
def test_networks_are_saved_with_them(tmp_path, x):
    net = MLP([4, 8, 3], "relu", init=x, seed=3)
    net.save(tmp_path / "net.safetensors")
    loaded = minidl.load(tmp_path / "net.safetensors")
    assert loaded.init == x
    assert loaded.params.flat.tobytes() == net.params.flat.tobytes()
    assert "layer" in str(net.init_plan())


# --- Scaled ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "base",
    [
        init.Normal(0.3, mean=0.1),
        init.Uniform(-0.3, 0.1),
        init.TruncatedNormal(0.2, mean=0.1, cut=1.5, std_is="pre"),
        init.He("uniform"),
        init.Constant(-0.25),
    ],
    ids=repr,
)
def test_scaled(base):
    x = init.Scaled(0.5, base)
    layer = spec(shape=(300, 200))
    ours, theirs = filled(x, layer)[0], filled(base, layer)[0]
    assert (ours == 0.5 * theirs).all()
    assert (x.init((300, 200), rng=3) == np.float32(0.5) * base.init((300, 200), rng=3)).all()
    assert x.variance(300, 200) == pytest.approx(base.variance(300, 200) / 4, rel=1e-12)
    assert x.bound(300, 200) == pytest.approx(base.bound(300, 200) / 2, rel=1e-12)
    law = x.law(300, 200)
    points = np.linspace(-0.6, 0.6, 50)
    for known in (x.cdf(300, 200), law.cdf()):
        np.testing.assert_allclose(known(points), base.cdf(300, 200)(2 * points), atol=1e-12)
    assert law.variance() == pytest.approx(x.variance(300, 200), rel=1e-12)
    assert law.bound() == pytest.approx(x.bound(300, 200), rel=1e-12)
    zero = init.Scaled(0, base)
    assert not filled(zero, layer)[0].any()
    assert zero.law(3, 4) == init.Constant(0.0)
    assert zero.bound(3, 4) == zero.variance(3, 4) == 0.0
    assert list(zero.cdf(3, 4)([-1.0, 0.0, 1.0])) == [0.0, 1.0, 1.0]


def test_scaled_leaves_the_bias():
    base = init.Pair(init.He(), init.Normal(0.2))
    weight, bias = filled(init.Scaled(3.0, base), spec())
    same_weight, same_bias = filled(base, spec())
    assert (bias == same_bias).all()
    assert (weight == 3.0 * same_weight).all()
    assert init.Scaled(3.0, base).bias_variance(6, 4) == pytest.approx(0.04)


def test_scaled_works_on_what_has_no_law():
    array = np.arange(24.0).reshape(6, 4)
    assert (filled(init.Scaled(0.5, array), spec())[0] == array / 2).all()
    with pytest.raises(OptionError, match="no distribution"):
        init.Scaled(0.5, array).variance(6, 4)
    assert init.Scaled(0.5, init.Orthogonal()).variance(8, 4) == pytest.approx(
        init.Orthogonal().variance(8, 4) / 4
    )


def test_scaled_by_depth():
    x = init.Scaled(init.DepthPower(-0.5), init.He())
    plain = spec(index=3, depth=16)
    branch = spec(residual_branches=25, branch_pos=0, branch_layers=2, index=3, depth=52)
    assert x.resolve(plain)[0] == init.Scaled(0.25, init.He())
    assert x.resolve(branch)[0] == init.Scaled(0.2, init.He())
    assert (filled(x, branch)[0] == 0.2 * filled(init.He(), branch)[0]).all()
    assert init.DepthPower(0.5, scale=3.0).of(plain) == 12.0
    with pytest.raises(OptionError, match="depends on the depth"):
        x.variance(3, 4)
    with pytest.raises(OptionError, match="depends on the depth"):
        x.init((3,), rng=0, fan=(3, 4))


def test_numbers_that_do_not_fit():
    weight = np.full((6, 4), 7.0, np.float32)
    with pytest.raises(OptionError, match="too large for float32"):
        init.Scaled(1e30, init.Constant(1e10)).init_layer(spec(), 0, weight)
    assert (weight == 7.0).all()


@pytest.mark.parametrize("factor", [-1.0, float("nan"), float("inf"), "2", None, True])
def test_bad_factors(factor):
    with pytest.raises(OptionError, match="factor"):
        init.Scaled(factor, "he")


def test_bad_powers():
    for power, scale in [(float("nan"), 1.0), ("1", 1.0), (1.0, 0.0), (1.0, -1.0)]:
        with pytest.raises(OptionError):
            init.DepthPower(power, scale)


# --- Clipped --------------------------------------------------------------------------------------

CLIPPED = [
    (init.Clipped(init.Normal(0.5), 2.0), stats.norm(scale=0.5), 1.0),
    (init.Clipped(init.Normal(0.5), 0.3), stats.norm(scale=0.5), 0.15),
    (init.Clipped(init.Normal(0.5), at=40.0), stats.norm(scale=0.5), 40.0),
    (init.Clipped(init.Normal(0.5, mean=0.2), at=0.4), stats.norm(0.2, 0.5), 0.4),
    (init.Clipped(init.Uniform(-0.2, 0.3), at=0.25), stats.uniform(-0.2, 0.5), 0.25),
    (init.Clipped(init.Uniform(-0.2, 0.3), at=0.1), stats.uniform(-0.2, 0.5), 0.1),
    (
        init.Clipped(init.TruncatedNormal(0.5, cut=1.5, std_is="pre"), at=0.6),
        stats.truncnorm(-1.5, 1.5, scale=0.5),
        0.6,
    ),
]


@pytest.mark.parametrize(("x", "law", "b"), CLIPPED, ids=[repr(case[0]) for case in CLIPPED])
def test_clipped_law(x, law, b):
    """Moments by SciPy's quadrature of the density, plus the atoms."""
    low, high = max(-b, law.support()[0]), min(b, law.support()[1])
    inside = [
        integrate.quad(lambda x, k=k: x**k * law.pdf(x), low, high, epsabs=1e-13, limit=200)[0]
        for k in (1, 2)
    ]
    mean = inside[0] + b * (law.sf(b) - law.cdf(-b))
    square = inside[1] + b * b * (law.sf(b) + law.cdf(-b))
    assert x.variance(5, 6) == pytest.approx(square - mean**2, rel=1e-7)
    n = 400_000
    draws = x.init((n // 400, 400), rng=1, dtype="float64").ravel()
    assert np.abs(draws).max() <= x.bound(5, 6)
    for sign, atom in ((1, law.sf(b)), (-1, law.cdf(-b))):  # five standard errors
        share = (draws == sign * b).mean()
        assert abs(share - atom) <= 5 * math.sqrt(atom * (1 - atom) / n) + 1e-12
    points = np.linspace(-1.2 * b, 1.2 * b, 25)
    cdf = x.cdf(5, 6)(points)
    empirical = (draws[:, None] <= points).mean(axis=0)
    assert (np.abs(cdf - empirical) <= 5 * np.sqrt(cdf * (1 - cdf) / n) + 1e-12).all()
    assert x.cdf(5, 6)([-b - 1e-9, b]).tolist() == [0.0, 1.0]


def test_clipped_is_not_truncated():
    """The standard normal at 2: variance 0.9205 with atoms, 0.7737 drawn again."""
    clipped = init.Clipped(init.Normal(1.0), 2.0).variance(1, 1)
    tail, density = stats.norm.sf(2), stats.norm.pdf(2)
    assert clipped == pytest.approx(1 - 4 * density - 2 * tail + 8 * tail, rel=1e-10)
    assert init.TruncatedNormal(1.0, std_is="pre").variance() == pytest.approx(0.7737413, rel=1e-6)


def test_clipped_changes_only_what_is_beyond():
    layer = spec(shape=(300, 200))
    base = init.He()
    ours, theirs = filled(init.Clipped(base, 1.5), layer)[0], filled(base, layer)[0]
    bound = 1.5 * math.sqrt(2 / 300)
    assert (ours == np.clip(theirs, -bound, bound)).all()
    assert init.Clipped(base, 1.5).bound(300, 200) == bound
    assert init.Clipped(base, at=0.1).init((300, 200), rng=3).max() == np.float32(0.1)
    assert (np.abs(filled(init.Clipped("auto", 1.0), layer)[0]) <= 1.0).all()
    with pytest.raises(OptionError, match="atoms at its bounds"):
        init.Clipped(base, 1.0).law(3, 4)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"n_std": 1.0, "at": 1.0}, {"n_std": 0.0}, {"at": -1.0}, {"at": float("nan")}, {"n_std": "2"}],
    ids=repr,
)
def test_bad_bounds(arguments):
    with pytest.raises(OptionError, match=r"n_std|at"):
        init.Clipped("he", **arguments)


def test_a_bound_in_standard_deviations_needs_one():
    with pytest.raises(OptionError, match="no distribution"):
        init.Clipped(np.ones((6, 4)), 1.0).init_layer(spec(), 0, np.empty((6, 4)))


# --- Concat ---------------------------------------------------------------------------------------


def test_blocks_of_inputs_and_of_outputs():
    a, b = init.Constant(1.0), init.Constant(2.0)
    for axis in (0, 1):
        whole = filled(init.Concat([a, b], axis), spec(shape=(4, 6)))[0]
        half = 2 if axis == 0 else 3
        expected = np.ones((4, 6))
        expected[(slice(half, None), slice(None)) if axis == 0 else (slice(None), slice(half, None))] = 2.0
        assert (whole == expected).all()
    sizes = filled(init.Concat([a, b, a], axis=1, sizes=[1, -1, 2]), spec(shape=(2, 7)))[0]
    assert sizes[0].tolist() == [1, 2, 2, 2, 2, 1, 1]
    assert not filled(init.Concat([a, b]), spec(shape=(4, 6)))[1].any()
    empty = filled(init.Concat([a, b], sizes=[0, -1]), spec(shape=(2, 2)))[0]
    assert (empty == 2.0).all()


def test_parts_know_the_fans_of_the_layer_and_draw_apart():
    x = init.Concat([init.He(), init.He()], axis=0)
    layer = spec(shape=(400, 300))
    weight = filled(x, layer)[0]
    n = weight.size
    assert weight.var() == pytest.approx(2 / 400, abs=5 * 2 / 400 * math.sqrt(2 / n))
    correlation = np.corrcoef(weight[:200].ravel(), weight[200:].ravel())[0, 1]
    assert abs(correlation) < 5 / math.sqrt(n / 2)
    assert x.law(400, 300) == init.He().law(400, 300)
    assert x.variance(400, 300) == 2 / 400
    mixed = init.Concat([init.He(), init.LeCun("uniform")])
    assert mixed.bound(4, 4) == math.inf
    for known in (mixed.law, mixed.variance, mixed.cdf):
        with pytest.raises(OptionError, match="the parts differ"):
            known(4, 4)


def test_factors_on_the_learning_rate_that_parts_agree_on():
    here = spec("1", shape=(64, 4), role="hidden", index=1, depth=3)
    mup = init.MuP(32, base=init.He())
    assert init.Concat([mup, mup]).lr_multipliers(here) == mup.lr_multipliers(here)
    mixed = init.Concat([mup, init.He()])
    with pytest.raises(OptionError, match="differ in their lr_multipliers"):
        mixed.check_network([here])


@pytest.mark.parametrize("x", [init.Pair, init.Split])
def test_what_is_known_of_the_weight_is_known_of_both(x):
    weight = init.Clipped(init.He(), n_std=1.5)
    both = x(weight, init.He())
    points = np.linspace(-0.3, 0.3, 13)
    assert both.bound(50, 10) == weight.bound(50, 10)
    assert np.array_equal(both.cdf(50, 10)(points), weight.cdf(50, 10)(points))
    assert (both.mode, both.distribution) == (weight.mode, weight.distribution)
    assert both.lr_multipliers(spec()) in ({}, {"weight": 1.0, "bias": 1.0})


def test_rules_are_parts_too():
    x = init.Concat(["auto", "zeros"], axis=1)
    layer = spec(shape=(50, 40), activation="relu")
    assert x.resolve(layer)[0] == init.Concat([init.auto(layer)[0], init.Zeros()], axis=1)
    weight = filled(x, layer)[0]
    assert weight[:, :20].any()
    assert not weight[:, 20:].any()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (([],), OptionError),
        (("he",), OptionError),
        ((init.He(),), OptionError),
        ((["he"], 2), OptionError),
        ((["he"], True), OptionError),
        ((["he", "he"], 0, [1]), OptionError),
        ((["he", "he"], 0, [-1, -1]), OptionError),
        ((["he", "he"], 0, [-2, 1]), OptionError),
        ((["he", "he"], 0, [1.5, 1]), OptionError),
        ((["he", 3.0],), OptionError),
    ],
    ids=repr,
)
def test_bad_blocks(arguments, error):
    with pytest.raises(error):
        init.Concat(*arguments)


@pytest.mark.parametrize(
    "x",
    [
        init.Concat(["zeros"] * 4),
        init.Concat(["zeros", "ones"], 1, [1, 2]),
        init.Concat(["zeros", "ones"], 1, [4, 1]),
        init.Concat(["zeros", np.ones((9, 9))], 0),
    ],
    ids=["share", "short", "long", "part fails"],
)
def test_blocks_that_do_not_fit_change_nothing(x):
    weight = np.full((6, 4), 7.0)
    with pytest.raises(ShapeError):
        x.init_layer(spec(), 0, weight)
    assert (weight == 7.0).all()


# --- FromModel ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_trained_net_is_copied_exactly(dtype):
    X = np.random.default_rng(0).normal(size=(30, 5))
    trained = MLP([5, 9, 3], "tanh", seed=0, dtype=dtype)
    trained.fit(X, X[:, :3].argmax(axis=1), epochs=3, verbose=0)
    start = init.FromModel(trained)
    again = MLP([5, 9, 3], "tanh", init=start, seed=7, dtype=dtype)
    assert again.params.flat.tobytes() == trained.params.flat.tobytes()
    before = again.params.flat.copy()
    trained.fit(X, X[:, :3].argmax(axis=1), epochs=1, verbose=0)  # does not reach the copy
    assert (MLP([5, 9, 3], "tanh", init=start, dtype=dtype).params.flat == before).all()
    assert init.FromModel(trained.params) == init.FromModel(dict(trained.params)) != start
    assert eval(repr(start), vars(init)) == start


def test_paths_and_missing_biases():
    source = init.FromModel(TRAINED, paths={"7": "1"})
    weight, bias = filled(source, spec("7", (8, 3)))
    assert (weight == TRAINED["1.weight"]).all()
    assert not bias.any()
    weight = np.empty((4, 8))
    source.init_layer(spec("0", (4, 8)), 0, weight)  # the layer has no bias
    assert (weight == TRAINED["0.weight"]).all()
    every = init.FromModel(TRAINED, paths={"[5-9]": "1", "*": "0"})
    assert every.resolve(spec("7", (8, 3)))[1] == "layer 1 of the source"
    assert every.resolve(spec("body", (4, 8)))[1] == "layer 0 of the source"
    chosen, reason = source.resolve(spec("7", (8, 3)))
    assert (chosen, reason) == (init.Fixed(TRAINED["1.weight"]), "layer 1 of the source")


def paper_indices(t, s):
    """The selection of the authors' code (arXiv:2311.18823): a step, or a rounded linear space."""
    return np.arange(s) * (t // s) if t % s == 0 else np.round(np.linspace(0, t - 1, s)).astype(int)


def test_slices():
    for t in range(1, 40):
        for s in range(1, t + 1):
            exact = np.arange(s) * (t - 1) / max(s - 1, 1)
            tie = (t % s > 0) & (np.abs(exact % 1 - 0.5) < 1e-9)  # where theirs depends on rounding errors
            ours, theirs = evenly(s, t), paper_indices(t, s)
            assert (ours[~tie] == theirs[~tie]).all(), (s, t)
            assert (np.abs(ours - exact)[tie] < 0.500001).all()
            assert len(set(ours)) == s
    wide = MLP([5, 12, 8, 3], "relu", seed=1, dtype="float64")
    wide.params["0.bias"] = np.arange(12.0)
    narrow = MLP([5, 7, 4, 3], "relu", init=init.FromModel(wide, select="slices"), dtype="float64")
    first, second = paper_indices(12, 7), paper_indices(8, 4)
    assert (narrow.params["0.weight"] == wide.params["0.weight"][:, first]).all()
    assert (narrow.params["0.bias"] == first).all()
    assert (narrow.params["1.weight"] == wide.params["1.weight"][np.ix_(first, second)]).all()
    assert (narrow.params["2.weight"] == wide.params["2.weight"][second]).all()


def test_what_a_source_cannot_give():
    sizes = [
        (init.FromModel(TRAINED), spec("0", (4, 4)), "has shape .4, 8., the layer .4, 4.*slices"),
        (init.FromModel(TRAINED, select="slices"), spec("0", (5, 8)), "has shape"),
        (
            init.FromModel(TRAINED),
            spec("3", (4, 8)),
            "'3': the source has no '3.weight', it has the layers 0, 1",
        ),
    ]
    for source, layer, message in sizes:
        weight = np.full(layer.shape, 7.0)
        with pytest.raises((OptionError, ShapeError), match=message):
            source.init_layer(layer, 0, weight)
        with pytest.raises((OptionError, ShapeError), match=message):
            source.check_network([layer])
        assert (weight == 7.0).all()
    with pytest.raises(ShapeError, match="dense layers"):
        source.resolve(init.LayerSpec("0", (8, 4, 3, 3), layout="oihw"))
    with pytest.raises(OptionError, match="description of a layer"):
        source.init((4, 8), rng=0)
    bad_bias = init.FromModel({"0.weight": np.ones((4, 8)), "0.bias": np.ones(9)})
    with pytest.raises(ShapeError, match=r"0\.bias"):
        bad_bias.resolve(spec("0", (4, 8)))


@pytest.mark.parametrize(
    "arguments",
    [
        {"source": {}},
        {"source": None},
        {"source": {"0.bias": [1.0]}},
        {"source": {0: [1.0]}},
        {"source": {"0.weight": [[np.nan]]}},
        {"source": TRAINED, "select": "some"},
        {"source": TRAINED, "paths": {"0": "9"}},
        {"source": TRAINED, "paths": {"0": 1}},
        {"source": TRAINED, "paths": ["ab", "0"]},
    ],
    ids=lambda x: str(x)[:60],
)
def test_bad_sources(arguments):
    with pytest.raises(OptionError):
        init.FromModel(**arguments)


# --- Plan -----------------------------------------------------------------------------------------


def marks(plan, sizes=(4, 5, 6, 3), **options):
    """First element of each parameter, after a network was made by a plan of constants."""
    net = MLP(sizes, "tanh", init=plan, seed=0, **options)
    return {name: float(value.flat[0]) for name, value in net.params.items()}


def constant(x):
    return init.Pair(init.Constant(x), init.Constant(x + 0.5))


def test_overrides():
    plan = init.Plan(
        constant(1.0),
        {"1": constant(2.0), "*.bias": init.Constant(9.0), "re:[02]": constant(3.0)},
        output=constant(4.0),
    )
    assert marks(plan) == {
        "0.weight": 3.0, "0.bias": 9.0, "1.weight": 2.0, "1.bias": 2.5, "2.weight": 3.0, "2.bias": 9.0,
    }  # fmt: skip
    plan = init.Plan(
        constant(1.0), {"*.weight": init.Constant(2.0)}, input=constant(3.0), output=constant(4.0)
    )
    assert marks(plan) == {
        "0.weight": 2.0, "0.bias": 3.5, "1.weight": 2.0, "1.bias": 1.5, "2.weight": 2.0, "2.bias": 4.5,
    }  # fmt: skip
    assert marks(init.Plan(constant(1.0), {"1.bias": init.Constant(7.0)}))["1.bias"] == 7.0
    assert (
        marks(init.Plan(constant(1.0), {"*": constant(2.0), "1": constant(3.0)}))["1.weight"] == 2.0
    )  # first wins
    assert marks(init.Plan(constant(1.0), output=constant(4.0)), use_bias=False)["2.weight"] == 4.0


def test_draws_are_those_of_the_initializer_alone():
    """A plan changes who fills a layer, not how."""
    plain = MLP([5, 6, 7, 3], "relu", init="he_normal", seed=3)
    planned = MLP([5, 6, 7, 3], "relu", init=init.Plan("he_normal", {"1": "xavier_normal"}), seed=3)
    other = MLP([5, 6, 7, 3], "relu", init="xavier_normal", seed=3)
    for name in plain.params:
        expected = other if name.startswith("1.") else plain
        assert (planned.params[name] == expected.params[name]).all()
    noisy = MLP([5, 6, 3], init=init.Plan("he_normal", {"*.bias": "lecun_uniform"}), seed=3)
    pair = MLP([5, 6, 3], init=init.Pair("he_normal", "lecun_uniform"), seed=3)
    assert noisy.params.flat.tobytes() == pair.params.flat.tobytes()


def test_the_plan_is_shown():
    net = MLP([4, 5, 3], "relu", init=init.Plan("he", {"*.bias": "normal(0.1)"}, output="zeros"), seed=0)
    shown = str(net.init_plan())
    assert "Pair(weight=He(), bias=Normal(std=0.1))" in shown
    assert "as output layer; bias by '*.bias'" in shown


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (
            init.Plan("he", {"3": "zeros"}),
            r"'3' matches nothing. The layers are 0, 1, 2, their parameters 0.weight",
        ),
        (init.Plan("he", {"0": "ones", "*.gamma": "zeros"}), r"'\*\.gamma' matches nothing"),
        (init.Plan("he", {"re:0.*bias.": "zeros"}), "matches nothing"),
        (init.Plan("he", {"weight": "zeros"}), "matches nothing"),
        (init.Plan("he", {"1": init.Plan("he", {"0": "zeros"})}), "'0' matches nothing"),
        (init.Plan("he", {"1": "mup([2])"}), "base_width"),
    ],
    ids=repr,
)
def test_a_pattern_that_matches_nothing(plan, message):
    with pytest.raises(OptionError, match=message):
        MLP([4, 5, 6, 3], init=plan, seed=0)
    net = Sequential([Dense(5), Dense(6), Dense(3)], init=plan, seed=0)
    with pytest.raises(OptionError, match=message):
        net.predict(np.zeros((2, 4)))
    assert not net.built


def test_an_input_that_is_not_there():
    with pytest.raises(OptionError, match=r"input=\.\.\. matches nothing"):
        MLP([4, 3], init=init.Plan(input="zeros"), seed=0)


@pytest.mark.parametrize(
    "overrides", [{"": "he"}, {3: "he"}, {"re:(": "he"}, "he", 5, ["he"], {"0": "hee"}], ids=repr
)
def test_bad_overrides(overrides):
    with pytest.raises(OptionError):
        init.Plan("he", overrides)


def test_multipliers_and_transfer_through_a_plan():
    plan = init.Plan(init.MuP(4, base="he"), {"1": "he", "2.bias": "zeros"})
    net = MLP([5, 8, 8, 3], init=plan, seed=0)
    assert net.lr_multipliers() == {
        "0.weight": 2.0, "0.bias": 2.0, "1.weight": 1.0, "1.bias": 1.0, "2.weight": 0.5, "2.bias": 1.0,
    }  # fmt: skip
    biases = MLP([5, 8, 3], init=init.Plan(init.MuP(4, base="he"), {"*.bias": "ones"}), seed=0)
    assert biases.lr_multipliers()["0.bias"] == 2.0
    trained = MLP([5, 8, 8, 3], seed=1)
    head = MLP([5, 8, 8, 7], init=init.Plan(init.FromModel(trained), output="zeros"), seed=2)
    for name in ("0.weight", "1.weight", "1.bias"):
        assert (head.params[name] == trained.params[name]).all()
    assert not head.params["2.weight"].any()


# --- all layers are seen before any is filled -----------------------------------------------------


def test_check_network_is_called_once_with_all_its_layers():
    from dataclasses import dataclass

    seen, filled_layers = [], []

    @dataclass(frozen=True, repr=False)
    class Watches(init.Initializer):
        name: str = "a"

        def check_network(self, specs):
            assert not filled_layers
            seen.append((self.name, [layer.path for layer in specs]))
            if self.name == "bad":
                raise OptionError("bad")

        def init_layer(self, layer, seed, weight, bias=None):
            filled_layers.append(layer.path)
            weight[...] = 1.0

    shared = Watches()
    layers = [Dense(3, init=shared), Dense(3), Dense(3, init=Watches("b")), Dense(3, init=shared)]
    Sequential(layers, n_inputs=2, init=shared, seed=0)
    assert seen == [("a", ["0", "1", "3"]), ("b", ["2"])]
    assert filled_layers == ["0", "1", "2", "3"]
    filled_layers.clear()
    net = Sequential([Dense(3, init=Watches()), Dense(3, init=Watches("bad"))], seed=0)
    with pytest.raises(OptionError, match="bad"):
        net.build(4)
    assert not filled_layers
    assert not net.built
