"""Roots against closed forms and SciPy's brentq, and how many calls they take."""

import math

import pytest
from scipy.optimize import brentq

from minidl.theory.roots import find_root

CASES = {
    "line": (lambda x: 3.0 * x - 1.0, -2.0, 5.0, 1.0 / 3.0),
    "square": (lambda x: x * x - 2.0, 0.0, 2.0, math.sqrt(2.0)),
    "falling": (lambda x: math.exp(-x) - 0.5, -1.0, 30.0, math.log(2.0)),
    "triple": (lambda x: (x - 1.0) ** 3, 0.0, 3.0, 1.0),
    "steep": (lambda x: math.tanh(1e6 * (x - 0.3)), 0.0, 1.0, 0.3),
    "tiny": (lambda x: x - 1e-250, 0.0, 1.0, 1e-250),
    "huge": (lambda x: math.log(x / 1e80), 1.0, 1e200, 1e80),
    "step": (lambda x: -1.0 if x < 0.7 else 1.0, 0.0, 1.0, 0.7),
    "low end": (lambda x: x, 0.0, 1.0, 0.0),
    "high end": (lambda x: x - 1.0, 0.0, 1.0, 1.0),
    "kink": (lambda x: max(x, 100.0 * x) + 1.0, -3.0, 4.0, -1.0),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("turned", [False, True])
def test_known_roots(name, turned):
    f, low, high, root = CASES[name]
    if turned:
        low, high = high, low
    # a triple root is lost in the rounding of f within 1e-5 of it, (1e-5)^3 = 1e-15
    accuracy = 1e-5 if name == "triple" else 4e-14
    assert find_root(f, low, high) == pytest.approx(root, rel=accuracy, abs=1e-290)


@pytest.mark.parametrize("name", ["square", "falling", "kink"])
def test_no_more_calls_than_brent_and_a_few(name):
    f, low, high, _ = CASES[name]
    calls = []

    def counted(x):
        calls.append(x)
        return f(x)

    find_root(counted, low, high)
    _, found = brentq(f, low, high, xtol=1e-300, rtol=1e-14, full_output=True)
    assert len(calls) <= found.function_calls + 6
    assert all(low <= x <= high for x in calls)


@pytest.mark.parametrize("accuracy", [1e-3, 1e-6, 1e-12])
def test_the_accuracy_is_relative(accuracy):
    for scale in (1e-100, 1.0, 1e100):
        root = find_root(lambda x, scale=scale: (x / scale) ** 3 - 2.0, 0.0, 9.0 * scale, accuracy)
        assert root == pytest.approx(2.0 ** (1 / 3) * scale, rel=2.0 * accuracy)


def test_two_ends_of_the_same_sign():
    with pytest.raises(ValueError, match="the same sign"):
        find_root(lambda x: x * x + 1.0, 0.0, 1.0)
