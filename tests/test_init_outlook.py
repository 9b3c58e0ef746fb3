"""A deep network that cannot train says so when it is made, once, with the reason."""

import warnings

import pytest

import minidl
from minidl import init
from minidl.errors import InitWarning


def messages(*arguments, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        minidl.MLP(*arguments, seed=0, **options)
    assert all(issubclass(one.category, InitWarning) for one in caught)
    return [str(one.message) for one in caught]


def sizes(depth):
    return [20, *[16] * depth, 3]


@pytest.mark.parametrize(
    ("activation", "scheme", "depth", "expected"),
    [
        # 0.0557 per layer at the fixed point of q, by quadrature
        (
            "sigmoid",
            "xavier_uniform",
            20,
            "sigmoid: squared gradients shrink by a factor of 4.27e-07 in 5 layers",
        ),
        ("relu", "lecun_normal", 40, "relu: q falls from 1 to 9.54e-07 in 20 layers"),  # 2^-20
        ("gelu", "he_normal", 40, "gelu: q falls"),
        ("identity", "he_normal", 40, "identity: q grows from 1 to 1.05e+06 in 20 layers"),  # 2^20
    ],
)
def test_warns_once_and_says_what_will_happen(activation, scheme, depth, expected):
    (message,) = messages(sizes(depth), activation, init=scheme)
    assert expected in message
    assert f"layers 0 to {depth - 1}" in message
    assert "auto" in message


@pytest.mark.parametrize(
    ("activation", "scheme", "depth"),
    [
        ("relu", "he_normal", 50),
        ("relu", "xavier_uniform", 10),  # slow, but the learning rate makes up for it
        ("tanh", "xavier_uniform", 50),
        ("selu", "lecun_normal", 50),
        ("sigmoid", "xavier_uniform", 3),
        ("relu", lambda shape, stream, dtype: init.He().init(shape, stream, dtype), 50),  # nothing is known
    ],
)
def test_is_silent_otherwise(activation, scheme, depth):
    assert messages(sizes(depth), activation, init=scheme) == []


def test_layers_with_their_own_scheme_are_judged_apart():
    layers = [minidl.Dense(16, "relu", init="he") for _ in range(30)]
    layers += [minidl.Dense(16, "sigmoid", init="xavier") for _ in range(8)]
    with pytest.warns(InitWarning, match="layers 30 to 37, Xavier"):
        minidl.Sequential([*layers, minidl.Dense(2)], n_inputs=4, seed=0)
