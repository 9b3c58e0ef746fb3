"""Arguments at the ends of their range, and of the wrong kind: no infinity in silence, no error but ours."""

import contextlib
import warnings

import numpy as np
import pytest

from minidl import init
from minidl.errors import MinidlError

SCHEMES = sorted(
    (
        thing
        for thing in (getattr(init, name) for name in init.__all__)
        if isinstance(thing, type) and issubclass(thing, init.Initializer) and thing.examples
    ),
    key=lambda scheme: scheme.__name__,
)
ACTIVATIONS = ("relu", "tanh", "sine(30.0)")
WRONG = [[1], {}, object(), np.array([1.0, 2.0]), b"x", float("nan"), float("inf"), 10**400]


def instances(scheme):
    return [eval(text, dict(vars(init))) for text in scheme.examples]


def changed(x, accept, values):
    """Return copies of an initializer with one argument changed, where that is allowed."""
    found = []
    for name, old in x.arguments().items():
        for value in values if accept(old) else ():
            with contextlib.suppress(MinidlError):
                found.append(type(x).from_arguments(x.arguments() | {name: value}))
    return found


def spec_of(activation):
    return init.LayerSpec(
        "1",
        (8, 6),
        activation=activation,
        input_activation=activation,
        index=1,
        depth=3,
        residual_branches=4,
        branch_pos=0,
        branch_layers=2,
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.__name__)
def test_numbers_of_any_size(scheme, dtype):
    """Finite weights, or an error that leaves both arrays alone."""
    for x in instances(scheme):
        extreme = changed(x, lambda old: type(old) in (float, int), (1e39, 1e200, 1e308, 1e-308))
        for y in (y for y in extreme if not y.needs_data):
            for activation in ACTIVATIONS:
                weight, bias = np.full((8, 6), 7.0, dtype), np.full(6, 7.0, dtype)
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("error", RuntimeWarning)
                        y.init_layer(spec_of(activation), 0, weight, bias)
                except MinidlError:
                    assert np.all(weight == 7.0), y
                    assert np.all(bias == 7.0), y
                assert np.isfinite(weight).all(), y
                assert np.isfinite(bias).all(), y


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.__name__)
def test_what_is_known_of_numbers_of_any_size(scheme):
    """Numbers that overflow are infinite, or our error; never an OverflowError."""
    for x in instances(scheme):
        for y in changed(x, lambda old: type(old) in (float, int), (1e200, 1e308, 1e-308)):
            for name in ("variance", "std", "bound", "bias_variance"):
                with contextlib.suppress(MinidlError):
                    assert not np.isnan(getattr(y, name)(8, 6)), (y, name)
            with contextlib.suppress(MinidlError):
                y.start.lr_multipliers(spec_of("relu"))
            with contextlib.suppress(MinidlError):
                y.resolve(spec_of("relu"))


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.__name__)
def test_arguments_of_the_wrong_kind(scheme):
    """Lists, arrays, objects, NaN where names, numbers and flags are expected: taken, or our error."""
    for x in instances(scheme):
        for y in changed(x, lambda old: old is None or isinstance(old, str | float | int), WRONG):
            repr(y)


def test_a_mirrored_base_too_large_for_the_dtype():
    mirrored = init.Mirrored(init.Orthogonal(gain=1e39))
    assert np.isfinite(mirrored.init((4, 4), rng=0, dtype="float64")).all()
    with pytest.raises(MinidlError, match="too large for float32"):
        mirrored.init((4, 4), rng=0)
