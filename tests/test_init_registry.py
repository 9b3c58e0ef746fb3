"""Initializers by name, and the plan of a network."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from init_helpers import filled, spec

from minidl import init
from minidl.errors import OptionError
from minidl.init import registry


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("zeros", init.Zeros()),
        ("ones", init.Ones()),
        ("constant(0.5)", init.Constant(0.5)),
        ("uniform", init.Uniform()),
        ("normal", init.Normal()),
        (" normal( 0.2 ,mean=-1 )", init.Normal(0.2, -1.0)),
        ("truncated_normal(std=0.2)", init.TruncatedNormal(0.2)),
        ("he", init.He()),
        ("he_normal", init.He()),
        ("kaiming_normal", init.He()),
        ("he_uniform", init.He("uniform")),
        ("kaiming_uniform", init.He("uniform")),
        ("he_truncated_normal", init.He("truncated_normal")),
        ("xavier", init.Xavier()),
        ("xavier_uniform", init.Xavier()),
        ("glorot_uniform", init.Xavier()),
        ("glorot_normal(gain=2)", init.Xavier("normal", 2.0)),
        ("lecun", init.LeCun()),
        ("lecun_uniform", init.LeCun("uniform")),
        ("he_normal(mode='fan_out')", init.He(mode="fan_out")),
        ("variance_scaling(2, 'fan_avg')", init.VarianceScaling(2.0, "fan_avg")),
        ("fixed([[1, 2]])", init.Fixed([[1.0, 2.0]])),
        ("pair(weight='he', bias='normal(0.1)')", init.Pair(init.He(), init.Normal(0.1))),
        ("auto", init.Auto()),
    ],
)
def test_get_by_name(text, expected):
    assert init.get(text) == expected


@pytest.mark.parametrize(
    ("x", "match"),
    [
        ("he_norml", "Did you mean 'he_normal'"),
        ("he-normal", "Did you mean 'he_normal'"),
        ("", "unknown"),
        ("he(", "expected a name"),
        ("he(slope=__import__('os'))", "expected a name"),
        ("he(**{'slope': 1})", "expected a name"),
        ("he(slope=0.1, slope=0.2)", "expected a name"),
        ("init.he()", "expected a name"),
        ("he(slop=0.1)", "slop"),
        ("he(slope='a')", "slope"),
        ("constant", "value"),
        ("he_normal('uniform')", "mode"),
        (None, "expected a name"),
        (3, "expected a name"),
    ],
)
def test_get_refuses(x, match):
    with pytest.raises(OptionError, match=match):
        init.get(x)


def test_get_takes_arrays_and_classes():
    assert init.get(np.eye(2)) == init.Fixed(np.eye(2))
    assert init.get(init.He) == init.He()
    with pytest.raises(OptionError, match="value"):
        init.get(init.Constant)


@dataclass(frozen=True, repr=False)
class HalfHe(init.Initializer):
    factor: float = 0.5

    def law(self, fan_in, fan_out):
        return init.Normal(math.sqrt(self.factor * 2.0 / fan_in))


def test_register_own_class(monkeypatch):
    monkeypatch.setattr(registry, "_factories", dict(registry._factories))
    monkeypatch.setattr(registry, "_classes", dict(registry._classes))
    assert init.register("half_he")(HalfHe) is HalfHe
    x = init.get("half_he(factor=0.25)")
    assert x == HalfHe(0.25)
    assert init.from_dict(x.to_dict()) == x
    assert x.variance(8, 3) == pytest.approx(1 / 16)
    assert repr(x) == "HalfHe(factor=0.25)"
    weight, bias = filled(x, spec("0", (500, 100)))
    assert abs(weight.var() * 1000 - 1) < 5 * math.sqrt(2 / weight.size)
    assert np.all(bias == 0.0)
    with pytest.raises(OptionError, match="in use"):
        init.register("half_he", HalfHe)
    init.register("half_he", HalfHe, replace=True)
    init.register("tiny", lambda: init.Normal(1e-3))
    assert init.get("tiny") == init.Normal(1e-3)
    init.register("broken", lambda: 3)
    with pytest.raises(OptionError, match="broken"):
        init.get("broken")
    for name, factory in [("two words", HalfHe), (3, HalfHe), ("three", 3)]:
        with pytest.raises(OptionError):
            init.register(name, factory)


@pytest.mark.parametrize(
    "record", [{}, {"name": 3}, {"name": "Hee"}, {"name": "He", "a": 1}, {"name": "Pair"}, None]
)
def test_from_dict_refuses(record):
    with pytest.raises(OptionError):
        init.from_dict(record)


# --- the plan -------------------------------------------------------------------------------------


def test_plan():
    plan = init.InitPlan.of(
        [
            (spec("0", (8, 4), activation="relu"), init.Auto()),
            (spec("1", (4, 2)), init.Fixed(np.zeros((4, 2)))),
        ]
    )
    first, second = plan.layers
    assert (first.initializer, first.variance) == (init.He(), 0.25)
    assert (second.variance, second.reason) == (None, "given")
    lines = str(plan).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("layer")
    assert "He()" in lines[1]
    assert "0.25" in lines[1]
