"""Factors on the learning rate, from the optimizer to the ops: against NumPy float64 and PyTorch."""

import itertools
import json
import pickle

import numpy as np
import pytest
from helpers import DTYPES

import minidl
from minidl import MLP, SGD, Activation, Dense, Sequential, init, lowering, optim
from minidl.engine.reference import Reference
from minidl.errors import DivergenceError, OptionError

NAMES = ["0.weight", "0.bias", "2.weight", "3.weight", "3.bias"]
FACTORS = {"0.weight": 0.5, "0.bias": 4.0, "2.*": 0.0, "3.bias": 0.25}
RULES = [
    {},
    {"weight_decay": 0.1},
    {"momentum": 0.9},
    {"momentum": 0.9, "weight_decay": 0.1},
    {"momentum": 0.9, "dampening": 0.3},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
]


def network(dtype="float64", seed=3, **options):
    """Padded rows, a layer without a bias, a layer without parameters."""
    layers = [Dense(37, "tanh"), Activation("silu"), Dense(9, "gelu", use_bias=False), Dense(4)]
    return Sequential(layers, n_inputs=11, seed=seed, dtype=dtype, **options)


def data(dtype="float64", rows=24, columns=11):
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, columns)).astype(dtype), rng.integers(0, 4, rows)


def sgd_ops(net):
    return [op for op in net.program.ops if op.kind.name == "SGD"]


# --- the values -----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", RULES, ids=str)
def test_steps_are_those_of_numpy(options):
    """The gradients are ours (tested elsewhere), the update is written out here."""
    optimizer = SGD(lr=0.1, lr_multipliers=FACTORS, **options)
    net, (X, y) = network(), data()
    w = {name: value.copy() for name, value in net.params.items()}
    velocity = {}
    factors = {"0.weight": 0.5, "0.bias": 4.0, "2.weight": 0.0, "3.weight": 1.0, "3.bias": 0.25}
    mu, decay = options.get("momentum", 0.0), options.get("weight_decay", 0.0)
    for step in range(4):
        net.gradients(X, y)
        for name, value in w.items():
            g = net.grads[name] + decay * value
            if mu:
                kept = 1.0 - options.get("dampening", 0.0)
                velocity[name] = g if step == 0 else mu * velocity[name] + kept * g
                g = g + mu * velocity[name] if options.get("nesterov") else velocity[name]
            w[name] = value - 0.1 * factors[name] * g
        net.train_step(X, y, optimizer=optimizer)
        for name, value in w.items():
            np.testing.assert_allclose(net.params[name], value, rtol=1e-12, atol=1e-13, err_msg=name)
    assert (net.params["2.weight"] == network().params["2.weight"]).all()  # frozen
    assert not (net.params["0.weight"] == network().params["0.weight"]).any()


@pytest.mark.parametrize("options", RULES, ids=str)
def test_steps_are_those_of_torch_with_a_group_for_each_parameter(options):
    torch = pytest.importorskip("torch")
    net, (X, y) = network(), data()
    w = {name: torch.tensor(value.copy(), requires_grad=True) for name, value in net.params.items()}
    factors = SGD(lr_multipliers=FACTORS).lr_factors(net.lr_multipliers())
    groups = [{"params": [w[name]], "lr": 0.1 * f} for name, f in zip(w, factors, strict=True)]
    theirs = torch.optim.SGD(groups, lr=0.1, **options)
    gelu = torch.nn.functional.gelu
    for _ in range(4):
        h = torch.nn.functional.silu(torch.tanh(torch.tensor(X) @ w["0.weight"] + w["0.bias"]))
        z = gelu(h @ w["2.weight"]) @ w["3.weight"] + w["3.bias"]
        theirs.zero_grad()
        torch.nn.functional.cross_entropy(z, torch.tensor(y)).backward()
        theirs.step()
        net.train_step(X, y, optimizer=SGD(lr=0.1, lr_multipliers=FACTORS, **options))
        for name, value in w.items():
            np.testing.assert_allclose(net.params[name], value.detach().numpy(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_power_of_two_is_a_learning_rate_of_its_own(dtype):
    """lr * 2 is exact, so the parameters must be, bit for bit, those of twice the learning rate."""
    X, y = data(dtype)
    for options in RULES:
        net, double, single = (network(dtype) for _ in range(3))
        multipliers = {"*.bias": 2.0, "2.weight": 2.0}
        net.train_step(X, y, optimizer=SGD(lr=0.1, lr_multipliers=multipliers, **options))
        double.train_step(X, y, optimizer=SGD(lr=0.2, **options))
        single.train_step(X, y, optimizer=SGD(lr=0.1, **options))
        for name in NAMES:
            same = double if name in ("0.bias", "2.weight", "3.bias") else single
            assert (net.params[name] == same.params[name]).all(), name
        assert (double.params["0.bias"] != single.params["0.bias"]).any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", RULES[::2], ids=str)
def test_threads_do_not_matter(dtype, options):
    X, y = data(dtype, rows=100)
    trained = []
    for n_threads in (1, 2, 3):
        net = network(dtype)
        optimizer = SGD(lr=0.05, lr_multipliers=FACTORS, **options)
        net.fit(X, y, optimizer=optimizer, epochs=3, batch_size=32, n_threads=n_threads, verbose=0)
        trained.append(net.params.flat.tobytes())
    assert len(set(trained)) == 1


def test_pads_stay_zero_and_all_elements_are_updated_once():
    net, (X, y) = network("float32"), data("float32")
    net.fit(X, y, optimizer=SGD(lr=0.1, momentum=0.5, lr_multipliers=FACTORS), epochs=2, verbose=0)
    covered = net.params.flat.copy()
    for view in net.params.values():
        view[...] = 0.0
    assert not net.params.flat.any()
    assert covered.any()
    spans = [(op.operands["params"].offset, op.operands["params"].cols) for op in sgd_ops(net)]
    assert spans[0][0] == 0
    for (start, size), (following, _) in itertools.pairwise(spans):
        assert start + size == following
    assert sum(spans[-1]) == net.params.layout.size


def test_reference_of_the_optimizer_and_of_the_engine():
    w, g = np.array([1.0, -2.0]), np.array([0.5, 0.25])
    optimizer = SGD(momentum=0.5, weight_decay=0.1)
    new, v = optimizer.reference(w, g, None, lr=0.1, lr_factor=3.0)
    same, same_v = optimizer.reference(w, g, None, lr=0.1 * 3.0)
    assert (new == same).all()
    assert (v == same_v).all()

    net, (X, y) = network(), data()
    optimizer = SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01, lr_multipliers=FACTORS)
    net.train_step(X, y, optimizer=optimizer)
    run = Reference(net.program, network().params.flat)
    run.step({"x": X, "target": y.reshape(-1, 1)}, lr=0.1, sgd=optimizer, first_update=True)
    np.testing.assert_allclose(net.params.flat, run.flat["param"], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(net.training.velocity.flat, run.flat["state"], rtol=1e-11, atol=1e-13)


# --- the program ----------------------------------------------------------------------------------


def test_the_program_without_factors_is_what_it_was():
    X, y = data()
    listings = []
    for multipliers in ("init", {}, {"*": 1.0}):
        net = network()
        net.train_step(X, y, optimizer=SGD(lr_multipliers=multipliers))
        (op,) = sgd_ops(net)
        assert op.attributes == {}
        assert op.operands["params"].name == "params"
        listings.append(str(net.program))
    assert listings[0] == listings[1] == listings[2]
    assert "lr]" not in listings[0]


def test_neighbours_of_equal_factor_are_one_op():
    X, y = data()
    for multipliers, expected in [
        ({"*": 2.0}, [2.0]),
        ({"0.*": 2.0, "2.*": 2.0}, [2.0, 1.0]),
        ({"2.*": 0.5}, [1.0, 0.5, 1.0]),
        ({"*.bias": 2.0}, [1.0, 2.0, 1.0, 2.0]),
    ]:
        net = network()
        net.train_step(X, y, optimizer=SGD(lr_multipliers=multipliers))
        assert [op.attributes["lr_factor"] for op in sgd_ops(net)] == expected
    assert "[2 lr]" in str(net.program)
    meets = dict(zip((op.text() for op in net.program.ops), net.program.barriers(), strict=True))
    assert [meets[op.text()] for op in sgd_ops(net)] == [True, False, False, False]


def test_the_update_behind_each_gradient_is_left_out(monkeypatch):
    monkeypatch.setattr(lowering, "LARGE_VECTOR", 0)
    monkeypatch.setattr(lowering, "SEARCH_SHARE", float("inf"))
    X, y = data()
    kinds = {}
    for multipliers in ({}, {"0.*": 2.0}):
        net = network()
        net.train_step(X, y, optimizer=SGD(lr_multipliers=multipliers))
        kinds[len(multipliers)] = [op.kind.name for op in net.program.ops]
    assert "GUARD" in kinds[0]
    assert "GUARD" not in kinds[1]


def test_a_new_mapping_makes_a_new_program_and_a_new_velocity():
    net, (X, y) = network(), data()
    net.train_step(X, y, optimizer=SGD(lr=0.1, momentum=0.9, lr_multipliers={"0.*": 2.0}))
    net.train_step(X, y)
    assert net.training.velocity_steps == 2
    before = net.params["0.weight"].copy()
    net.train_step(X, y, optimizer=SGD(lr=0.1, momentum=0.9, lr_multipliers={"0.*": 0.0}))
    assert net.training.velocity_steps == 1
    assert (net.params["0.weight"] == before).all()
    net.reset()
    net.train_step(X, y, optimizer=SGD(lr=0.1))
    assert len(sgd_ops(net)) == 1


def test_an_update_that_overflows_is_found_in_any_range():
    net, (X, y) = network("float32"), data("float32")
    with pytest.raises(DivergenceError, match="overflowed"):
        net.train_step(X, y, optimizer=SGD(lr=1e20, lr_multipliers={"3.bias": 1e30}))
    assert np.isfinite(net.params.flat).all()


# --- the option -----------------------------------------------------------------------------------


def test_patterns():
    required = dict.fromkeys(NAMES, 1.0)
    for multipliers, expected in [
        ("init", ()),
        ({}, ()),
        ({"*": 1}, ()),
        ({"0.weight": 2}, (2.0, 1.0, 1.0, 1.0, 1.0)),
        ({"*.bias": 0.5, "0.*": 3.0}, (3.0, 0.5, 1.0, 1.0, 0.5)),  # the first one decides
        ({"0.*": 3.0, "*.bias": 0.5}, (3.0, 3.0, 1.0, 1.0, 0.5)),
        ({"[23].weight": 2.0, "*": 0}, (0.0, 0.0, 2.0, 2.0, 0.0)),
    ]:
        assert SGD(lr_multipliers=multipliers).lr_factors(required) == expected
    assert SGD().lr_factors({**required, "0.bias": 2.0}) == (1.0, 2.0, 1.0, 1.0, 1.0)
    assert SGD(lr_multipliers={}).lr_factors({**required, "0.bias": 2.0}) == ()


def test_a_pattern_that_matches_nothing_changes_nothing():
    X, y = data()
    for make in (network, lambda: Sequential([Dense(3), Dense(4)])):  # built and not built yet
        net = make()
        state = net.params.flat.copy() if net.built else None
        for train in (net.fit, net.train_step):
            with pytest.raises(OptionError, match=r"'9\.\*' matches no parameter.*0\.weight"):
                train(X, y, optimizer=SGD(lr_multipliers={"0.*": 2.0, "9.*": 0.5}))
        assert net.training.optimizer is None
        assert net.built == (state is not None)
        assert state is None or (net.params.flat == state).all()


@pytest.mark.parametrize(
    "bad",
    [
        None,
        "bias",
        "",
        2.0,
        ["0.weight"],
        {"0.weight": -1.0},
        {"0.weight": float("nan")},
        {"0.weight": float("inf")},
        {"0.weight": "2"},
        {"0.weight": True},
        {0: 1.0},
        [("0.*", 1.0), ("0.*", 2.0)],
        np.ones(2),
    ],
    ids=repr,
)
def test_bad_mappings(bad):
    with pytest.raises(OptionError, match="lr_multipliers"):
        SGD(lr_multipliers=bad)


def test_optimizer_is_a_value():
    optimizer = SGD(0.1, momentum=0.9, lr_multipliers={"*.bias": 2, "0.*": 0.5})
    assert repr(optimizer) == "SGD(lr=0.1, momentum=0.9, lr_multipliers={'*.bias': 2.0, '0.*': 0.5})"
    assert eval(repr(optimizer)) == optimizer
    assert pickle.loads(pickle.dumps(optimizer)) == optimizer
    assert SGD.from_dict(json.loads(json.dumps(optimizer.to_dict()))) == optimizer
    assert hash(optimizer) == hash(SGD(0.1, momentum=0.9, lr_multipliers={"*.bias": 2.0, "0.*": 0.5}))
    assert optimizer != SGD(0.1, momentum=0.9, lr_multipliers={"0.*": 0.5, "*.bias": 2.0})  # order decides
    none = SGD(lr_multipliers={})
    assert none != SGD()
    assert repr(none) == "SGD(lr=0.01, lr_multipliers={})"
    assert SGD.from_dict(json.loads(json.dumps(none.to_dict()))) == none
    assert SGD.from_dict({"name": "sgd", "lr": 0.1}) == SGD(0.1)  # a file without the field
    assert optim.get("momentum").lr_multipliers == "init"


# --- what initializers require --------------------------------------------------------------------


def test_a_network_asks_its_initializers():
    net = MLP([6, 64, 32, 3], "relu", init=init.MuP(16), seed=0)
    expected = {
        "0.weight": 4.0, "0.bias": 4.0, "1.weight": 0.5, "1.bias": 2.0, "2.weight": 0.5, "2.bias": 1.0,
    }  # fmt: skip
    assert net.lr_multipliers() == expected
    assert network().lr_multipliers() == dict.fromkeys(NAMES, 1.0)
    mixed = Sequential([Dense(8, init=init.MuP(4)), Dense(3, use_bias=False)], n_inputs=5, seed=0)
    assert mixed.lr_multipliers() == {"0.weight": 2.0, "0.bias": 2.0, "1.weight": 1.0}
    with pytest.raises(minidl.errors.ShapeError):
        Sequential([Dense(3)], init=init.MuP(4)).lr_multipliers()


def test_the_optimizer_uses_them_unless_it_has_its_own():
    X, y = data(columns=6)
    required = {"0.weight": 4.0, "0.bias": 4.0, "1.weight": 0.25, "1.bias": 1.0}
    trained = {}
    for key, multipliers in {"init": "init", "same": required, "none": {}}.items():
        net = MLP([6, 64, 4], "relu", init="mup(base_width=16)", seed=0, dtype="float64")
        net.train_step(X, y, optimizer=SGD(lr=0.1, lr_multipliers=multipliers))
        trained[key] = net.params.flat.tobytes()
        assert len(sgd_ops(net)) == (1 if key == "none" else 3)
    assert trained["init"] == trained["same"] != trained["none"]
    fresh = MLP([6, 64, 4], "relu", init="mup(base_width=16)", seed=0)
    assert len(sgd_ops(fresh)) == 3  # also before the first training


def test_an_initializer_of_the_user():
    from dataclasses import dataclass

    @dataclass(frozen=True, repr=False)
    class Slow(init.Initializer):
        factor: float = 0.5

        def law(self, fan_in, fan_out):
            return init.Normal(0.1)

        def lr_multipliers(self, spec):
            return {"weight": self.factor}

    net = MLP([3, 4, 2], init=init.Pair(Slow(), "zeros"), seed=0)
    assert net.lr_multipliers() == {"0.weight": 0.5, "0.bias": 1.0, "1.weight": 0.5, "1.bias": 1.0}
    assert init.Scaled(2.0, Slow()).lr_multipliers(None) == {"weight": 0.5}
    assert init.Clipped(Slow(), 2.0).lr_multipliers(None) == {"weight": 0.5}
    with pytest.raises(OptionError, match=r"lr_multipliers of 0\.weight=-1"):
        MLP([3, 4, 2], init=Slow(-1.0), seed=0).lr_multipliers()


@pytest.mark.parametrize("multipliers", ["init", {"0.*": 3.0, "*.bias": 0.5}], ids=str)
def test_training_goes_on_after_saving(tmp_path, multipliers):
    X, y = data(columns=6)
    net = MLP([6, 32, 4], "tanh", init=init.MuP(8), seed=1, dtype="float64")
    net.fit(X, y, optimizer=SGD(lr=0.02, momentum=0.9, lr_multipliers=multipliers), epochs=2, verbose=0)
    net.save(tmp_path / "net.safetensors")
    loaded = minidl.load(tmp_path / "net.safetensors")
    assert loaded.training.optimizer == net.training.optimizer
    assert loaded.lr_multipliers() == net.lr_multipliers()
    copied = pickle.loads(pickle.dumps(net))
    for each in (net, loaded, copied):
        each.partial_fit(X, y)
    assert net.params.flat.tobytes() == loaded.params.flat.tobytes() == copied.params.flat.tobytes()
