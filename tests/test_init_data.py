"""Initializers that look at data: what they reach, in NumPy float64, and that a failure changes nothing."""

import copy
import json
import math
import pickle
import warnings

import numpy as np
import pytest

import minidl
from minidl import MLP, SGD, Activation, Dense, Sequential, activations, init, kernels, walk
from minidl.errors import DataError, InitWarning, OptionError, ShapeError

ACTIVATIONS = ["relu", "leaky_relu(0.333)", "tanh", "sigmoid", "silu", "gelu", "selu", "softplus"]
SCALES = [0.01, 0.3, 1.0, 3.0, 100.0]
TOL = 0.02
RNG = np.random.default_rng(20)
X = RNG.normal(size=(128, 20)).astype(np.float32).astype(np.float64)  # also numbers of float32
Y = RNG.integers(0, 10, 128)

pytestmark = pytest.mark.filterwarnings("ignore::minidl.errors.InitWarning")


def reference_walk(net, x):
    """Yield path, input and pre-activation of each layer in NumPy float64: the twin of net.walk."""
    x = np.asarray(x, np.float64)
    for path, layer in enumerate(net.layers):
        if f"{path}.weight" in net.params:
            z = x @ net.params[f"{path}.weight"].astype(np.float64)
            if f"{path}.bias" in net.params:
                z = z + net.params[f"{path}.bias"]
            yield str(path), x, z
            x = z
        x = activations.forward(layer.activation, x)


def stds(net, x):
    return np.array([z.std() for _, _, z in reference_walk(net, x)])


def deep(activation, scale=1.0, depth=50, width=32, seed=0, **options):
    start = init.Normal(scale / math.sqrt(width))
    return MLP([20, *[width] * (depth - 1), 10], activation, init=start, seed=seed, **options)


# --- looking into a network -----------------------------------------------------------------------

STACKS = {
    "mlp": [Dense(8, "relu"), Dense(5, "tanh"), Dense(3)],
    "separate activations": [Dense(8), Activation("relu"), Dense(5), Activation("tanh"), Dense(3)],
    "activation first": [Activation("tanh"), Dense(8, "gelu"), Dense(3)],
    "two activations": [Dense(8, "relu"), Activation("sigmoid"), Activation("tanh"), Dense(3)],
    "activation last": [Dense(8, "elu"), Dense(3), Activation("sigmoid")],
    "softmax": [Dense(8, "elu", use_bias=False), Dense(3, "softmax")],
    "only an activation": [Activation("relu")],
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layers", STACKS.values(), ids=STACKS)
def test_preactivations(layers, dtype):
    net = Sequential(layers, n_inputs=20, seed=1, dtype=dtype)
    found = net.preactivations(X)
    expected = {path: z for path, _, z in reference_walk(net, X)}
    assert list(found) == list(expected)
    for path, z in expected.items():
        np.testing.assert_allclose(found[path], z, rtol=0, atol=300 * np.finfo(dtype).eps)
    if layers[-1].activation.name == "identity":
        assert np.array_equal(found[list(found)[-1]], net.predict(X))


def test_walk_sees_changes():
    net = MLP([20, 8, 3], "tanh", seed=0, dtype="float64")
    for spec, x in net.walk(X):
        if spec.path == "0":
            net.params["0.weight"] = 0.0
            net.params["0.bias"] = 0.5
        else:
            assert np.allclose(x, math.tanh(0.5))


def test_walk_refuses_unknown_layers():
    class Mine(Dense):
        pass

    net = Sequential([Dense(3), Mine(2)], n_inputs=20, seed=0)
    with pytest.raises(OptionError, match="layer 1"):
        net.preactivations(X)
    with pytest.raises(ShapeError):
        net.walk(X[:, :3])


def test_astype():
    net = MLP([20, 8, 3], seed=0)
    net.fit(X, Y % 3, optimizer=SGD(0.1, 0.9), verbose=0)
    twin = net.astype("float64")
    assert twin.dtype == "float64"
    assert twin.params.flat.dtype == np.float64
    twin.params.flat[...] = 0.0
    assert net.params["0.weight"].any()
    assert twin.training.steps == 0
    assert net.training.steps > 0
    np.testing.assert_allclose(net.astype("float64").predict(X), net.predict(X), atol=1e-5)
    assert np.array_equal(net.astype("float64").astype("float32").params.flat, net.params.flat)
    assert not Sequential([Dense(3)]).astype("float64").built


def test_reset_with_another_initializer():
    net = MLP([20, 8, 3], seed=0)
    net.reset(init="xavier")
    assert net.init == init.Xavier()
    assert np.array_equal(net.params.flat, MLP([20, 8, 3], init="xavier", seed=0).params.flat)


# --- LSUV -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_lsuv_gives_unit_variance_at_depth_50(activation):
    for scale in SCALES:
        net = deep(activation, scale)
        before = stds(net, X)
        report = init.LSUV(base=None, tol=TOL).fit(net, X)
        after = stds(net, X)
        assert abs(after - 1).max() <= TOL + 1e-4, (activation, scale)
        assert report.converged
        # what is reported is what NumPy finds, in nets that amplify rounding errors too
        np.testing.assert_allclose([layer.before for layer in report.layers], before, rtol=2e-3)
        np.testing.assert_allclose([layer.after for layer in report.layers], after, rtol=2e-3)
        if scale != 1.0:
            assert abs(before - 1).max() > 0.2


def test_lsuv_is_exact_after_one_step_without_bias():
    net = deep("tanh", 3.0, dtype="float64")
    report = init.LSUV(base=None, target_std=0.7).fit(net, X)
    np.testing.assert_allclose(stds(net, X), 0.7, rtol=1e-10)
    assert {layer.iterations for layer in report.layers} == {1}


def test_lsuv_holds_on_other_rows():
    net = MLP([20, *[64] * 20, 10], "tanh", seed=0)
    init.LSUV().fit(net, RNG.normal(size=(1000, 20)))
    # 1000 rows of 20 independent normal features: the standard error of a std over rows is below 1 %
    assert abs(stds(net, RNG.normal(size=(1000, 20))) - 1).max() < 0.05


def test_lsuv_draws_its_base_first():
    net = deep("relu", 100.0, depth=5)
    init.LSUV(base="xavier").fit(net, X)
    other = MLP([20, *[32] * 4, 10], "relu", init="xavier", seed=0)
    for name, value in net.params.items():
        if value.ndim == 2:
            ratio = value / other.params[name]
            np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-5)


def test_lsuv_is_idempotent():
    net = deep("gelu", 3.0)
    scheme = init.LSUV(base=None)
    scheme.fit(net, X)
    once = net.params.flat.copy()
    report = scheme.fit(net, X)
    assert np.array_equal(net.params.flat, once)
    assert not any(layer.iterations for layer in report.layers)


def test_lsuv_with_biases_takes_several_steps():
    net = MLP([20, *[32] * 5, 10], "tanh", init=init.Pair("he", "normal(0.5)"), seed=0, dtype="float64")
    report = init.LSUV(base=None, tol=1e-3, max_iter=30).fit(net, X)
    assert abs(stds(net, X) - 1).max() <= 1e-3
    assert max(layer.iterations for layer in report.layers) > 1


def test_lsuv_says_where_it_does_not_converge():
    net = MLP([20, 8, 10], "tanh", init=init.Pair("he", "normal(0.1)"), seed=0)
    net.params["0.bias"] = np.linspace(-3, 3, 8)  # varies more than allowed, whatever the weight
    with pytest.warns(InitWarning, match=r"Layer 0: .* still .* off after 10 steps"):
        report = init.LSUV(base=None).fit(net, X)
    assert not report.converged
    assert np.isfinite(net.params.flat).all()


def test_lsuv_centers():
    net = deep("relu", 2.0, depth=10, dtype="float64")
    init.LSUV(base=None, center=True, tol=1e-6, max_iter=50).fit(net, X)
    for _, _, z in reference_walk(net, X):
        assert abs(z.mean(axis=0)).max() < 1e-10
        assert abs(z.std() - 1) < 1e-6
    without = Sequential([Dense(8, use_bias=False)], n_inputs=20, seed=0)
    with pytest.raises(OptionError, match="layer 0 has no bias"):
        init.LSUV(center=True).fit(without, X)


@pytest.mark.parametrize("layers", list(STACKS.values())[:-1], ids=list(STACKS)[:-1])
def test_lsuv_serves_every_stack(layers):
    net = Sequential(layers, n_inputs=20, seed=1)
    init.LSUV(base="normal(0.01)").fit(net, X)
    np.testing.assert_allclose(stds(net, X), 1, atol=TOL)


# --- what cannot be repaired ----------------------------------------------------------------------


def finite(net):
    return bool(np.isfinite(net.params.flat).all())


def test_dead_units_give_a_warning():
    net = MLP([20, 8, 8, 10], "relu", seed=0)
    net.params["0.weight"][:, :3] = 0.0
    net.params["0.bias"][:3] = -1.0
    with pytest.warns(InitWarning, match="layer 0 3 of 8"):
        report = init.LSUV(base=None).fit(net, X)
    assert [layer.dead for layer in report.layers] == [3, 0, 0]
    np.testing.assert_allclose(stds(net, X), 1, atol=TOL)


def test_a_dead_layer_gives_a_warning_and_stays():
    net = MLP([20, 8, 8, 10], "relu", seed=0)
    net.params["1.weight"] = 0.0
    with pytest.warns(InitWarning, match="Layer 1: .*nothing to scale by"):
        report = init.LSUV(base=None).fit(net, X)
    assert finite(net)
    assert not net.params["1.weight"].any()
    assert not report.converged
    assert [layer.dead for layer in report.layers] == [0, 8, 10]


@pytest.mark.parametrize("constant", [0.0, 3.0])
def test_constant_inputs_give_a_warning(constant):
    net = MLP([20, 8, 10], "relu", seed=0)
    with pytest.warns(InitWarning, match=r"Layer 0: all 30 rows are alike"):
        init.LSUV().fit(net, np.full((30, 20), constant))
    assert finite(net)


def test_numbers_near_the_ends_of_the_range():
    for factor in (1e-30, 1e30):
        net = MLP([20, 8, 8, 10], "relu", seed=0)
        init.LSUV().fit(net, X * factor)
        z = net.preactivations((X * factor).astype(np.float32))
        assert finite(net)
        np.testing.assert_allclose([z[path].std(dtype=np.float64) for path in "012"], 1, atol=TOL)
    net = MLP([20, 8, 10], "relu", seed=0)
    before = net.params.flat.copy()
    with pytest.raises(OptionError, match="too large for float32"):
        init.LSUV(target_std=1e35).fit(net, X * 1e-30)
    assert np.array_equal(net.params.flat, before)


# --- the protocol, for all schemes ----------------------------------------------------------------

SCHEMES = [
    init.LSUV(),
    init.LSUV(base=None, center=True),
    init.KrahenbuhlWithin(),
    init.KrahenbuhlWithin(base="lecun", directions="pca", bias=0.2),
    init.KrahenbuhlBetween(),
    init.KrahenbuhlBetween(base="xavier"),
    init.WeightNormInit(scale=0.5),
    init.SWIM(max_rows=100),
    init.MetaInit(base="he", steps=3, eps=1e-3),
    init.MetaInit(steps=2, data="random", scales="network"),
    init.GradInit(base="he", steps=4),
    init.GradInit(steps=3, gamma=0.1, scales="network"),
    init.Then(init.Xavier(), init.LSUV(tol=1e-3)),
    init.Then(init.Normal(), init.KrahenbuhlWithin(base=init.Normal(1.0)), init.KrahenbuhlBetween()),
]
#: They choose rows, or draw a number for each row, by its place.
BY_PLACE = (init.KrahenbuhlBetween, init.SWIM, init.MetaInit, init.GradInit, init.Then)
EVERY = pytest.mark.parametrize("scheme", SCHEMES, ids=repr)


def net_for(scheme, dtype="float32", n_inputs=20, **options):
    layers = [Dense(16, "relu"), Dense(12), Activation("leaky_relu"), Dense(10)]
    return Sequential(
        layers, n_inputs=n_inputs, init=options.pop("init", "auto"), seed=4, dtype=dtype, **options
    )


@EVERY
def test_repr_json_pickle(scheme):
    assert eval(repr(scheme), vars(init)) == scheme
    assert init.from_dict(json.loads(json.dumps(scheme.to_dict()))) == scheme
    assert pickle.loads(pickle.dumps(scheme)) == scheme == copy.deepcopy(scheme)
    assert hash(scheme) == hash(pickle.loads(pickle.dumps(scheme)))
    assert scheme != init.LSUV(tol=0.5)
    assert scheme.formula
    assert scheme.assumes
    assert scheme.fails
    assert scheme.needs_data


@EVERY
def test_data_are_not_changed(scheme):
    x, y = X.copy(), Y.copy()
    x.flags.writeable = y.flags.writeable = False
    scheme.fit(net_for(scheme), x, y)
    assert np.array_equal(x, X)
    assert np.array_equal(y, Y)


@EVERY
def test_same_bits_again_and_with_two_threads(scheme):
    found = []
    for threads in (1, 2, 2):
        kernels.set_num_threads(threads)
        net = net_for(scheme)
        scheme.fit(net, X, Y)
        found.append(net.params.flat.tobytes())
    assert found[0] == found[1] == found[2]


@EVERY
def test_float32_is_float64_rounded(scheme):
    if scheme.base is None:
        pytest.skip("starts from the rounded weights of the network")
    x = X.astype(np.float32)
    single, double = net_for(scheme), net_for(scheme, "float64")
    scheme.fit(single, x, Y)
    scheme.fit(double, x, Y)
    assert np.array_equal(single.params.flat, double.astype("float32").params.flat)


@EVERY
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_exception_leaves_the_net_as_it_was(scheme, error, monkeypatch):
    net = net_for(scheme, init=scheme)
    before = net.params.flat.copy(), net.pending_init, copy.deepcopy(net.training)
    original = walk.walk

    def breaks(net, x):
        for step in original(net, x):
            yield step
            breaks.steps += 1
            if breaks.steps == 5:  # in the middle of the second pass
                raise error

    breaks.steps = 0
    monkeypatch.setattr(walk, "walk", breaks)
    with pytest.raises(error):
        scheme.fit(net, X, Y)
    assert np.array_equal(net.params.flat, before[0])
    assert net.pending_init == before[1]
    assert net.training == before[2]
    assert net.init_report is None
    breaks.steps = 0
    with pytest.raises(error):
        net.fit(X, Y, verbose=0)
    assert np.array_equal(net.params.flat, before[0])
    assert net.pending_init is scheme
    monkeypatch.undo()
    net.fit(X, Y, verbose=0)
    assert net.pending_init is None


def test_a_warning_made_an_error_leaves_the_net_as_it_was():
    net = MLP([20, 8, 10], init=init.LSUV(), seed=0)
    before = net.params.flat.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InitWarning):
            net.pending_init.fit(net, np.ones((9, 20)))
    assert np.array_equal(net.params.flat, before)
    assert net.pending_init is not None


@EVERY
def test_row_order_does_not_matter(scheme):
    if isinstance(scheme, BY_PLACE):
        pytest.skip("depends on the places of the rows")
    order = np.random.default_rng(3).permutation(len(X))
    one, other = net_for(scheme, "float64"), net_for(scheme, "float64")
    scheme.fit(one, X, Y)
    scheme.fit(other, X[order], Y[order])
    np.testing.assert_allclose(one.params.flat, other.params.flat, rtol=1e-7, atol=1e-9)


@EVERY
def test_training_runs_it_once(scheme):
    by_hand, by_fit = net_for(scheme, init=scheme), net_for(scheme, init=scheme)
    assert by_fit.pending_init is scheme
    scheme.fit(by_hand, X, Y)
    assert by_hand.pending_init is None
    options = {"optimizer": SGD(0.01), "batch_size": 50, "verbose": 0}
    by_hand.fit(X, Y, **options)
    by_fit.fit(X, Y, **options)
    assert np.array_equal(by_hand.params.flat, by_fit.params.flat)
    report = by_fit.init_report
    by_fit.partial_fit(X, Y)
    by_fit.train_step(X, Y)
    assert by_fit.init_report is report


def test_train_step_and_partial_fit_run_it_too():
    for method in ("train_step", "partial_fit"):
        net = net_for(None, init=init.LSUV())
        getattr(net, method)(X, Y)
        assert net.pending_init is None
        assert net.init_report.converged


def test_rows_are_chosen_by_the_seed():
    many = RNG.normal(size=(300, 20)) * np.linspace(1, 10, 300)[:, None]
    scheme = init.LSUV(max_rows=64)

    def fitted(seed, rows):
        net = MLP([20, 8, 3], init=init.LSUV(max_rows=64), seed=seed)
        scheme.fit(net, rows)
        return net

    assert np.array_equal(fitted(0, many).params.flat, fitted(0, many).params.flat)
    chosen = init.Stream(0, "init", "data", "rows").permutation(300)[:64]
    assert np.array_equal(fitted(0, many).params.flat, fitted(0, many[np.sort(chosen)]).params.flat)
    assert not np.array_equal(fitted(0, many).params.flat, fitted(0, many[:64]).params.flat)
    all_rows = MLP([20, 8, 3], seed=0)
    init.LSUV(max_rows=None).fit(all_rows, many)
    np.testing.assert_allclose(stds(all_rows, many), 1, atol=TOL)


def test_rows_of_weight_zero_do_not_count():
    weight = np.ones(128)
    weight[::2] = 0
    loud = X.copy()
    loud[::2] *= 1000
    net = net_for(None, init=init.LSUV())
    net.fit(loud, Y, sample_weight=weight, optimizer=SGD(1e-12), verbose=0)
    np.testing.assert_allclose(stds(net, X[1::2]), 1, atol=TOL)


# --- without data ---------------------------------------------------------------------------------


def test_use_before_data_is_an_error():
    uses = {"predict": (X,), "predict_proba": (X,), "evaluate": (X, Y), "gradients": (X, Y), "walk": (X,)}
    for net in (MLP([20, 10], init=init.LSUV(), seed=0), Sequential([Dense(10)], init=init.LSUV(), seed=0)):
        for use, arguments in uses.items():
            with pytest.raises(OptionError, match=r"net\.fit\(X, y\).*LSUV\(\.\.\.\)\.fit\(net, X, y\)"):
                getattr(net, use)(*arguments)
        assert net.built == (net.declared_inputs is not None)


def test_a_scheme_without_data_is_an_error():
    scheme = init.LSUV()
    with pytest.raises(OptionError, match="pass X"):
        scheme.fit(MLP([20, 10], seed=0), None)
    with pytest.raises(OptionError, match="needs data and a whole network"):
        scheme.init((3, 2), rng=0)
    with pytest.raises(OptionError, match="needs data and a whole network"):
        scheme.init_layer(init.LayerSpec("0", (3, 2)), 0, np.zeros((3, 2)))
    with pytest.raises(OptionError, match="needs data"):
        scheme.variance(3, 2)
    with pytest.raises(OptionError, match=r"layers\[1\]"):
        Sequential([Dense(3), Dense(2, init=init.LSUV())])
    net = MLP([20, 10], seed=0)
    before = net.params.flat.copy()
    for bad in (X[:, :3], X[0], np.full_like(X, np.nan), X[:0], "text"):
        with pytest.raises((ShapeError, DataError, minidl.errors.DtypeError)):
            scheme.fit(net, bad)
    with pytest.raises(ShapeError):
        scheme.fit(net, X, Y[:-1])
    assert np.array_equal(net.params.flat, before)


def test_a_rule_that_chooses_it_for_one_layer_is_an_error():
    class Choosing(init.Rule):
        def resolve(self, spec):
            return init.LSUV(), "for no reason"

    with pytest.raises(OptionError, match="layer 0"):
        MLP([20, 10], init=Choosing(), seed=0)
    for hidden in (
        init.Plan(init.LSUV()),
        init.Plan("he", {"1": init.SWIM()}),
        init.Scaled(0.5, init.LSUV()),
    ):
        with pytest.raises(OptionError, match="data"):
            MLP([20, 8, 10], init=hidden, seed=0)
    with pytest.raises(OptionError, match="Then"):
        init.LSUV(base=init.LSUV())


def test_a_net_of_unknown_width_is_built_by_fit():
    net = Sequential([Dense(8, "relu"), Dense(3)], init=init.LSUV(), seed=0)
    with pytest.raises(OptionError):
        init.LSUV(target_std=1e300).fit(net, X * 1e-30)
    assert not net.built
    assert net.pending_init is not None
    init.LSUV().fit(net, X)
    known = MLP([20, 8, 3], init=init.LSUV(), seed=0)
    init.LSUV().fit(known, X)
    assert np.array_equal(net.params.flat, known.params.flat)


def test_pending_state_is_copied_saved_and_reset(tmp_path):
    net = MLP([20, 8, 10], init=init.LSUV(tol=0.01), seed=0)
    file = tmp_path / "net.safetensors"
    net.save(file)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), minidl.load(file)):
        assert other.pending_init == net.pending_init == init.LSUV(tol=0.01)
        other.fit(X, Y, verbose=0)
        assert other.pending_init is None
    net.fit(X, Y, verbose=0)
    assert np.array_equal(net.params.flat, other.params.flat)
    net.save(file)
    for again in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), minidl.load(file)):
        assert again.pending_init is None
        assert np.array_equal(again.predict(X), net.predict(X))
    net.reset()
    assert net.pending_init == init.LSUV(tol=0.01)
    assert net.init_report is None


def test_plan_shows_it():
    plan = str(MLP([20, 8, 10], init=init.LSUV(), seed=0).init_plan())
    assert "LSUV()" in plan
    assert "by the first training data" in plan


def test_bad_options():
    for bad in (
        {"tol": 0.0},
        {"tol": math.nan},
        {"max_iter": 0},
        {"target_std": -1.0},
        {"center": "yes"},
        {"max_rows": 0},
        {"base": init.LSUV()},
        {"base": "no_such"},
    ):
        with pytest.raises(OptionError):
            init.LSUV(**bad)


# --- Then -----------------------------------------------------------------------------------------


def test_then_is_one_after_the_other():
    chain = MLP([20, 8, 8, 3], "tanh", seed=0, dtype="float64")
    init.Then("xavier", init.LSUV(target_std=3.0), init.LSUV(target_std=0.5, center=True)).fit(chain, X)
    steps = MLP([20, 8, 8, 3], "tanh", init="xavier", seed=0, dtype="float64")
    init.LSUV(base=None, target_std=3.0).fit(steps, X)
    init.LSUV(base=None, target_std=0.5, center=True).fit(steps, X)
    np.testing.assert_allclose(chain.params.flat, steps.params.flat, rtol=1e-12)


def test_then_refuses():
    for bad in (
        lambda: init.Then("he"),
        lambda: init.Then("he", "xavier"),
        lambda: init.Then(init.LSUV(), init.LSUV()),
        lambda: init.Then("he", init.LSUV(base="xavier")),
        lambda: init.Then("he", init.Then("he", init.LSUV())),
        lambda: init.Then("he", init.LSUV(), max_rows=0),
    ):
        with pytest.raises(OptionError):
            bad()


# --- Krahenbuhl and weight normalization ----------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_units_are_standardized(activation):
    for scheme, mean, std in (
        (init.KrahenbuhlWithin(bias=0.1), 0.1, 1.0),
        (init.KrahenbuhlWithin(directions="pca"), 0.0, 1.0),
        (init.WeightNormInit(scale=0.7), 0.0, 0.7),
    ):
        net = MLP([20, 16, 16, 10], activation, seed=0, dtype="float64")
        report = scheme.fit(net, X)
        assert report.converged
        for _, _, z in reference_walk(net, X):
            np.testing.assert_allclose(z.mean(axis=0), mean, atol=1e-9)
            np.testing.assert_allclose(z.std(axis=0), std, rtol=1e-9)


def test_weight_norm_is_the_formula_of_the_paper():
    net = MLP([20, 16, 3], "tanh", seed=0, dtype="float64")
    init.WeightNormInit().fit(net, X)
    v = init.Normal(0.05).init((20, 16), rng=init.Stream(0, "0", "weight"), dtype=np.float64)
    length = np.linalg.norm(v, axis=0)
    t = X @ v / length
    g = 1 / t.std(axis=0)
    np.testing.assert_allclose(net.params["0.weight"], g * v / length, rtol=1e-9)
    np.testing.assert_allclose(net.params["0.bias"], -t.mean(axis=0) / t.std(axis=0), rtol=1e-7, atol=1e-9)


def test_pca_directions_are_uncorrelated():
    mixed = X @ RNG.normal(size=(20, 20))
    net = MLP([20, 16, 10], "tanh", seed=0, dtype="float64")
    init.KrahenbuhlWithin(directions="pca", max_rows=None).fit(net, mixed)
    z = mixed @ net.params["0.weight"]
    np.testing.assert_allclose(np.corrcoef(z.T), np.eye(16), atol=1e-7)
    # the strongest directions, by NumPy's SVD
    strongest = np.linalg.svd(mixed - mixed.mean(axis=0))[2][:16]
    cosines = (strongest * (net.params["0.weight"] / np.linalg.norm(net.params["0.weight"], axis=0)).T).sum(
        axis=1
    )
    np.testing.assert_allclose(abs(cosines), 1, rtol=1e-8)
    with pytest.warns(InitWarning):  # ten rows have rank nine
        report = init.KrahenbuhlWithin(directions="pca").fit(MLP([20, 16, 3], "relu", seed=0), X[[0] * 10])
    few = init.KrahenbuhlWithin(directions="pca").fit(MLP([20, 16, 3], "relu", seed=0), X[:10])
    assert "the inputs have rank 9: 7 random directions" in few.layers[0].notes
    assert not report.converged


def test_units_without_variation_keep_their_weights():
    for scheme in (init.KrahenbuhlWithin(base=None), init.WeightNormInit(base=None)):
        net = MLP([20, 8, 10], "relu", seed=0)
        net.params["0.weight"][:, 2] = 0.0
        with pytest.warns(InitWarning, match="1 of 8 units do not vary"):
            scheme.fit(net, X)
        assert finite(net)
        assert not net.params["0.weight"][:, 2].any()
        with pytest.warns(InitWarning, match="alike"):
            scheme.fit(net, np.ones((9, 20)))
        assert finite(net)
        with pytest.raises(DataError, match="at least 2"):
            scheme.fit(net, X[:1])


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "identity"])
def test_between_equalizes_the_rates_and_keeps_the_outputs(activation):
    net = MLP([20, 32, 24, 16, 10], activation, init=init.Pair("he", "normal(0.3)"), seed=0, dtype="float64")
    net.params["1.weight"] *= 30
    net.params["2.weight"] /= 7
    before = net.predict(X)
    report = init.KrahenbuhlBetween(tol=1e-6).fit(net, X)
    np.testing.assert_allclose(net.predict(X), before, rtol=1e-9, atol=1e-9 * abs(before).max())
    assert report.converged
    np.testing.assert_allclose(np.prod([layer.gain for layer in report.layers]), 1, rtol=1e-9)
    # other random gradients at the outputs, by NumPy
    rates = []
    for seed in range(20):
        delta = np.random.default_rng(seed).normal(size=before.shape)
        rates.append(reference_rates(net, delta))
    mean = np.sqrt((np.array(rates) ** 2).mean(axis=0))
    np.testing.assert_allclose(mean / np.exp(np.log(mean).mean()), 1, atol=0.15)


def reference_rates(net, delta):
    """Return rms(dW) / rms(W) of each layer of an MLP for given gradients at the outputs."""
    steps = list(reference_walk(net, X))
    rates = []
    for path, x, _ in reversed(steps):
        weight = net.params[f"{path}.weight"]
        rates.append(np.sqrt(((x.T @ delta) ** 2).mean() / (weight**2).mean()))
        if path != "0":
            below = int(path) - 1
            delta = (delta @ weight.T) * activations.derivative(net.layers[below].activation, steps[below][2])
    return rates[::-1]


def test_between_refuses_what_is_not_homogeneous():
    for layers in (
        [Dense(8, "tanh"), Dense(3)],
        [Dense(8, "relu"), Activation("gelu"), Dense(3)],
        [Dense(8), Activation("elu"), Activation("relu"), Dense(3)],
    ):
        with pytest.raises(OptionError, match="not positively homogeneous"):
            init.KrahenbuhlBetween().fit(Sequential(layers, n_inputs=20, seed=0), X)
    with pytest.raises(OptionError, match=r"layer 0.*is 0"):
        init.KrahenbuhlBetween(base="zeros").fit(MLP([20, 8, 3], seed=0), X)
    last = Sequential([Activation("tanh"), Dense(8, "relu"), Dense(3, "softmax")], n_inputs=20, seed=0)
    assert init.KrahenbuhlBetween().fit(last, X).converged


# --- SWIM -----------------------------------------------------------------------------------------


def steep(n):
    x = np.random.default_rng(5).uniform(-1, 1, (n, 2))
    return x, np.tanh(20 * (x[:, 0] + x[:, 1] ** 2 - 0.3)) + 0.3 * x[:, 1]


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "leaky_relu"])
def test_swim_fits_where_random_features_fail(activation):
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.uniform(-1, 1, 500), rng.normal(0.3, 0.01, 500)])[rng.permutation(1000), None]
    y = np.exp(-(((x[:, 0] - 0.3) / 0.01) ** 2))  # a narrow bump
    train, test = slice(0, 700), slice(700, 1000)
    net = MLP([1, 100, 1], activation, seed=0, dtype="float64")
    init.SWIM().fit(net, x[train], y[train], loss="mse")
    ours = net.evaluate(x[test], y[test], loss="mse")["loss"]
    # 100 units of random slope and kink, the last layer by the same least squares
    theirs = []
    for scale in (1, 3, 10, 30):
        W, b = scale * rng.normal(size=(1, 100)), scale * rng.uniform(-1, 1, 100)
        features = np.column_stack([activations.forward(activation, x @ W + b), np.ones(len(x))])
        solution = np.linalg.lstsq(features[train], y[train], rcond=1e-10)[0]
        theirs.append(((features[test] @ solution - y[test]) ** 2).mean())
    assert ours < 1e-3 * y.var()
    assert ours < 0.05 * min(theirs)


def test_swim_weights_are_pairs():
    x, y = steep(60)
    net = MLP([2, 40, 1], "tanh", seed=0, dtype="float64")
    init.SWIM().fit(net, x, y, loss="mse")
    W, b = net.params["0.weight"], net.params["0.bias"]
    out = np.tanh(x @ W + b)
    for unit in range(40):  # each has two rows whose outputs are -1/2 and 1/2, and that lie along its weight
        low = np.flatnonzero(abs(out[:, unit] + 0.5) < 1e-9)
        high = np.flatnonzero(abs(out[:, unit] - 0.5) < 1e-9)
        assert len(low)
        assert len(high)
        direction = x[high[0]] - x[low[0]]
        np.testing.assert_allclose(W[:, unit] * (direction @ direction), math.log(3) * direction, rtol=1e-9)


def test_swim_draws_pairs_where_the_target_changes():
    x = np.linspace(-1, 1, 400)[:, None]
    y = (x > 0.25).astype(float)
    net = MLP([1, 300, 1], "relu", seed=0, dtype="float64")
    init.SWIM().fit(net, x, y, loss="mse")
    kinks = -net.params["0.bias"] / net.params["0.weight"][0]
    # every pair lies across the jump, so a kink lies on one side and its unit rises to the other
    assert np.all(np.sign(net.params["0.weight"][0]) == np.where(kinks < 0.25, 1, -1))
    # the density falls as 1 / distance: most are near it
    assert np.median(abs(kinks - 0.25)) < 0.4


def test_swim_classifies_before_training():
    rng = np.random.default_rng(1)
    centers = rng.normal(size=(10, 8))
    y = rng.integers(0, 10, 600)
    X = centers[y] + 0.3 * rng.normal(size=(600, 8))
    net = MLP([8, 200, 10], "relu", init=init.SWIM(ridge=1e-3), seed=0)
    net.pending_init.fit(net, X[:400], y[:400])
    assert net.evaluate(X[400:], y[400:], loss="cross_entropy")["accuracy"] > 0.9
    two = MLP([8, 100, 1], "tanh", output_activation="sigmoid", seed=0)
    init.SWIM(ridge=1e-3).fit(two, X[:400], y[:400] < 5, loss="binary_cross_entropy")
    assert two.evaluate(X[400:], y[400:] < 5, loss="binary_cross_entropy")["accuracy"] > 0.8


def test_swim_refuses():
    scheme = init.SWIM()
    good = MLP([20, 8, 10], "relu", seed=0)
    for net, match in (
        (MLP([20, 8, 10], "gelu", seed=0), "layer 0: its activation is gelu"),
        (MLP([20, 8, 10], "identity", seed=0), "layer 0: its activation is identity"),
        (MLP([20, 8, 10], "relu", use_bias=False, seed=0), "layer 0: hidden layers need a bias"),
        (MLP([20, 8, 10], output_activation="tanh", seed=0), "does not belong to loss"),
        (Sequential([Activation("relu")], n_inputs=20), "no weights"),
        (Sequential([Dense(8, "relu"), Activation("tanh"), Dense(10)], n_inputs=20), "relu then tanh"),
    ):
        with pytest.raises(OptionError, match=match):
            scheme.fit(net, X, Y)
    with pytest.raises(OptionError, match="needs targets"):
        scheme.fit(good, X)
    with pytest.raises(OptionError, match="same for all rows"):
        scheme.fit(good, np.ones((9, 20)), Y[:9])
    with pytest.raises(DataError, match="at least 3"):
        scheme.fit(good, X[:2], Y[:2])
    with pytest.raises(OptionError, match="base"):
        init.get("swim(base='he')")  # all weights come from the data
    with pytest.warns(InitWarning, match="do not differ"):
        scheme.fit(good, X, np.zeros(128, int))
    assert finite(good)
    for bad in ({"candidates": 0}, {"ridge": -1.0}):
        with pytest.raises(OptionError):
            init.SWIM(**bad)


def test_duplicate_rows_do_not_harm_swim():
    x, y = steep(50)
    net = MLP([2, 100, 1], "tanh", seed=0)
    init.SWIM().fit(net, np.repeat(x, 4, axis=0), np.repeat(y, 4), loss="mse")
    assert finite(net)
    assert net.evaluate(x, y, loss="mse")["loss"] < 0.1


def test_what_they_suit():
    assert init.LSUV().suits("softplus")
    assert init.KrahenbuhlBetween().suits("relu")
    assert not init.KrahenbuhlBetween().suits("tanh")
    assert init.SWIM().suits("tanh")
    assert not init.SWIM().suits("gelu")
    assert init.SWIM().suits("gelu").reason
    assert init.Then("he", init.LSUV()).suits("tanh")
    assert init.MetaInit().suits("gelu")
    assert not init.MetaInit().suits("relu")
    assert not init.Then("he", init.LSUV(), init.KrahenbuhlBetween()).suits("tanh")


def test_a_base_that_the_data_will_mend_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = MLP([20, *[32] * 20, 10], "tanh", init=init.LSUV(base="normal(0.01)"), seed=0)
        net.fit(X, Y, verbose=0)
        init.LSUV(base="normal(3.0)").fit(net, X)


def test_examples_and_registry_cover_all():
    kinds = {kind for kind in vars(init).values() if isinstance(kind, type) and kind.__module__ != "typing"}
    kinds = {kind for kind in kinds if issubclass(kind, init.DataInitializer) and "formula" in vars(kind)}
    assert kinds == {type(scheme) for scheme in SCHEMES}
    for kind in kinds:
        shown = [eval(text, vars(init)) for text in kind.examples]
        assert {type(scheme) for scheme in shown} == {kind}
