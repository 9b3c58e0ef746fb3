"""SGD: the options, the learning rates, and the update against torch.optim.SGD."""

import json
import pickle

import numpy as np
import pytest

from minidl import optim, schedules
from minidl.errors import OptionError
from minidl.optim import SGD

OPTIONS = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "dampening": 0.3},
    {"momentum": 0.9, "nesterov": True},
    {"weight_decay": 0.1},
    {"momentum": 0.8, "nesterov": True, "weight_decay": 0.05},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("lr", [0.05, schedules.Exponential(0.1, factor=0.8)], ids=repr)
def test_update_is_that_of_torch(options, lr):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    optimizer = SGD(lr, **options)
    w, velocity = rng.standard_normal(7), None
    theirs = torch.tensor(w, requires_grad=True)
    torch_optimizer = torch.optim.SGD([theirs], lr=1.0, **options)
    for rate in optimizer.learning_rates(0, 12):
        gradient = rng.standard_normal(7)
        w, velocity = optimizer.reference(w, gradient, velocity, rate)
        theirs.grad = torch.from_numpy(gradient)
        torch_optimizer.param_groups[0]["lr"] = float(rate)
        torch_optimizer.step()
        np.testing.assert_allclose(w, theirs.detach().numpy(), rtol=0, atol=1e-14)
    assert (velocity is not None) == optimizer.needs_velocity


def test_difference_from_sutskever():
    """The scaled velocity is the same method until the learning rate changes, as documented."""
    optimizer = SGD(momentum=0.9)
    w, v, ours = 1.0, 0.0, (np.array(1.0), None)
    for t, lr in enumerate([0.1, 0.1, 0.1, 0.01]):
        ours = optimizer.reference(ours[0], ours[0], ours[1], lr)
        v = 0.9 * v - lr * w
        w = w + v
        assert (abs(ours[0] - w) < 1e-15) == (t < 3)


def test_reference_changes_nothing_in_place():
    w, g, v = np.ones(3), np.ones(3), np.ones(3)
    SGD(momentum=0.9, nesterov=True, weight_decay=0.1).reference(w, g, v, 0.1)
    SGD(momentum=0.9).reference(w, g, None, 0.1)[1][...] = 7.0
    for array in (w, g, v):
        np.testing.assert_array_equal(array, np.ones(3))


def test_sgd_is_a_value():
    a = SGD(lr=0.1, momentum=0.9)
    b = SGD(np.float64(0.1), np.float64(0.9), 0, np.bool_(False), 0)
    assert a == b
    assert hash(a) == hash(b)
    assert type(b.nesterov) is bool
    assert pickle.loads(pickle.dumps(a)) == a
    assert a != SGD(lr=0.1)
    with pytest.raises(AttributeError):
        a.lr = 0.2


def test_repr_shows_what_is_not_default():
    assert repr(SGD()) == "SGD(lr=0.01)"
    text = repr(SGD(1, momentum=0.5, dampening=0.1, weight_decay=1e-4))
    assert text == "SGD(lr=1.0, momentum=0.5, dampening=0.1, weight_decay=0.0001)"


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(),
        SGD(0.1, 0.9, 0.0, True, 1e-4),
        SGD(schedules.WarmUp(5, then=schedules.Step(0.1, every=2, factor=0.5)), momentum=0.9),
    ],
    ids=repr,
)
def test_dict_round_trip_through_json(optimizer):
    record = json.loads(json.dumps(optimizer.to_dict()))
    assert SGD.from_dict(record) == optimizer
    assert record == optimizer.to_dict()


def test_bad_dicts():
    with pytest.raises(OptionError, match="Did you mean 'momentum'"):
        SGD.from_dict({"name": "sgd", "momentun": 0.9})
    with pytest.raises(OptionError, match="optimizer='adam' is unknown"):
        SGD.from_dict({"name": "adam"})
    with pytest.raises(OptionError, match="a function cannot be"):
        SGD(lr=lambda step: 0.1).to_dict()


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"lr": 0}, "lr"),
        ({"lr": -0.1}, "lr"),
        ({"lr": float("inf")}, "lr"),
        ({"lr": "0.1"}, "lr"),
        ({"lr": True}, "lr"),
        ({"lr": None}, "lr"),
        ({"lr": schedules.Cosine}, "lr"),
        ({"momentum": 1.0}, "momentum"),
        ({"momentum": -0.1}, "momentum"),
        ({"momentum": "0.9"}, "momentum"),
        ({"momentum": False}, "momentum"),
        ({"momentum": float("nan")}, "momentum"),
        ({"dampening": 1.0}, "dampening"),
        ({"weight_decay": -1e-4}, "weight_decay"),
        ({"weight_decay": float("inf")}, "weight_decay"),
        ({"nesterov": 1}, "nesterov"),
        ({"nesterov": True}, "nesterov"),
        ({"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "nesterov"),
    ],
    ids=str,
)
def test_bad_options_name_the_argument(options, argument):
    with pytest.raises(OptionError, match=rf"^{argument}="):
        SGD(**options)


def test_learning_rates():
    np.testing.assert_array_equal(SGD(0.1).learning_rates(5, 3), [0.1, 0.1, 0.1])
    schedule = schedules.Cosine(0.1, steps=10)
    whole = SGD(schedule).learning_rates(0, 12)
    assert whole.dtype == np.float64
    np.testing.assert_array_equal(whole, [schedule(t) for t in range(12)])
    parts = [SGD(schedule).learning_rates(t, n) for t, n in ((0, 5), (5, 0), (5, 7))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    where = SGD(lambda t: np.where(t < 1, 0.2, 0.1))  # a 0-d array
    np.testing.assert_array_equal(where.learning_rates(0, 2), [0.2, 0.1])


@pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf"), None, "0.1", np.zeros(2), True])
def test_bad_values_of_a_schedule_name_the_step(bad):
    optimizer = SGD(lambda step: bad if step == 12 else 0.1)
    assert len(optimizer.learning_rates(0, 12)) == 12
    with pytest.raises(OptionError, match=r"^lr\(step 12\)="):
        optimizer.learning_rates(10, 5)


def test_learning_rates_checks_its_arguments():
    with pytest.raises(OptionError, match="first_step=-1"):
        SGD().learning_rates(-1, 3)
    with pytest.raises(OptionError, match=r"n_steps=1\.5"):
        SGD().learning_rates(0, 1.5)


def test_get():
    optimizer = SGD(0.3)
    assert optim.get(optimizer) is optimizer
    assert optim.get("sgd") == SGD()
    assert optim.get("momentum", lr=0.2) == SGD(0.2, momentum=0.9)
    assert optim.get("nesterov", lr=schedules.Constant(1)) == SGD(
        schedules.Constant(1), momentum=0.9, nesterov=True
    )
    assert optim.get("sgd") == SGD()  # the table is untouched by lr=


@pytest.mark.parametrize(
    ("x", "lr", "text"),
    [
        ("nestrov", None, "Did you mean 'nesterov'"),
        (SGD, None, r"an SGD\(...\) object"),
        (None, None, "optimizer=None"),
        ("sgd", -1, "lr=-1"),
        (SGD(0.1), 0.2, "leave one of the two out"),
    ],
)
def test_get_refuses(x, lr, text):
    with pytest.raises(OptionError, match=text):
        optim.get(x, lr)
