"""Learning-rate schedules against exact rational arithmetic, math.cos and hand-made tables."""

import math
import pickle
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import schedules
from minidl.errors import OptionError
from minidl.schedules import Constant, Cosine, Exponential, Step, WarmUp

ALL = [
    Constant(0.1),
    Step(0.1, every=30, factor=0.1),
    Exponential(0.1, factor=0.999),
    Cosine(0.1, steps=100, final_lr=0.001),
    WarmUp(10, then=Cosine(0.1, steps=90), start=0.01),
]


@pytest.mark.parametrize("schedule", ALL, ids=repr)
def test_schedules_are_values(schedule):
    for twin in (pickle.loads(pickle.dumps(schedule)), schedules.from_dict(schedule.to_dict())):
        assert twin == schedule
        assert hash(twin) == hash(schedule)
        assert [twin(t) for t in range(200)] == [schedule(t) for t in range(200)]
    assert schedule != Constant(0.2)
    assert eval(repr(schedule)) == schedule
    with pytest.raises(AttributeError):
        schedule.lr = 1.0


@given(st.floats(0.5, 1.5), st.integers(0, 3000))
def test_power_has_the_documented_error(x, n):
    exact = Fraction(x) ** n
    if not Fraction(2) ** -900 < exact < Fraction(2) ** 900:
        return
    error = abs(Fraction(schedules.power(x, n)) - exact) / exact
    # Squaring doubles an error and adds half an ulp: 1 + ... + 2^k < 2n of these; products add one.
    assert error <= Fraction(2 * n + 64, 2**53)


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_half_cosine_is_accurate(steps, share):
    step = round(share * steps)
    expected = (1.0 + math.cos(math.pi * step / steps)) / 2.0
    assert schedules.half_cosine(step, steps) == pytest.approx(expected, abs=1e-15, rel=0)


def test_half_cosine_keeps_relative_accuracy_to_the_end():
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(40):
        for steps in (3, 7, 100, 12345, 10**6):
            for step in sorted({1, steps // 3, steps // 2 + 1, steps - 2, steps - 1}):
                exact = mpmath.cos(mpmath.pi * step / (2 * steps)) ** 2
                error = (mpmath.mpf(schedules.half_cosine(step, steps)) - exact) / exact
                assert abs(error) < 8 * 2.0**-53


def test_half_cosine_is_symmetric_and_falls():
    for steps in (1, 2, 3, 10, 999, 1000):
        values = [schedules.half_cosine(t, steps) for t in range(steps + 1)]
        assert values[0] == 1.0
        assert values[-1] == 0.0
        assert all(a > b for a, b in pairwise(values))
        for a, b in zip(values, reversed(values), strict=True):
            assert a + b == pytest.approx(1.0, abs=2.0**-52)


def test_half_cosine_coefficients_are_the_taylor_series():
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(40):
        for k, coefficient in enumerate(schedules._HAVERSINE, start=1):
            exact = (-1) ** (k + 1) * mpmath.pi ** (2 * k) / (2 * mpmath.factorial(2 * k))
            assert coefficient == float(exact)


def test_step_is_a_staircase():
    schedule = Step(0.4, every=3, factor=0.5)
    assert [schedule(t) for t in range(7)] == [0.4, 0.4, 0.4, 0.2, 0.2, 0.2, 0.1]


def test_exponential_multiplies_at_each_step():
    schedule = Exponential(2.0, factor=0.9)
    for t in range(50):
        assert schedule(t) == pytest.approx(2.0 * 0.9**t, rel=1e-14)


def test_cosine_is_exact_at_its_ends():
    schedule = Cosine(0.1, steps=17, final_lr=0.003)
    assert schedule(0) == 0.1
    assert [schedule(t) for t in (17, 18, 10**6)] == [0.003] * 3
    for t in range(18):
        expected = 0.003 + (0.1 - 0.003) * (1 + math.cos(math.pi * t / 17)) / 2
        assert schedule(t) == pytest.approx(expected, abs=1e-16)


def test_schedules_agree_with_torch():
    torch = pytest.importorskip("torch")
    pairs = [
        (Step(0.1, every=4, factor=0.3), "StepLR", {"step_size": 4, "gamma": 0.3}),
        (Exponential(0.1, factor=0.97), "ExponentialLR", {"gamma": 0.97}),
        (
            Cosine(0.1, steps=30, final_lr=0.02),
            "CosineAnnealingLR",
            {"T_max": 30, "eta_min": 0.02},
        ),
    ]
    for schedule, name, options in pairs:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        theirs = getattr(torch.optim.lr_scheduler, name)(optimizer, **options)
        for t in range(30):
            assert schedule(t) == pytest.approx(theirs.get_last_lr()[0], rel=1e-12), name
            optimizer.step()
            theirs.step()


def test_warm_up_is_linear_then_hands_over():
    schedule = WarmUp(4, then=Exponential(0.8, factor=0.5), start=0.4)
    assert [schedule(t) for t in range(7)] == pytest.approx([0.4, 0.5, 0.6, 0.7, 0.8, 0.4, 0.2])
    assert WarmUp(4, then=0.5) == WarmUp(4, then=Constant(0.5))
    assert WarmUp(2, then=lambda t: 1.0 + t)(3) == 2.0


def test_numpy_numbers_are_numbers():
    np = pytest.importorskip("numpy")
    assert Cosine(np.float32(0.5), steps=np.int64(10)) == Cosine(0.5, steps=10)
    value = Step(0.1, every=10, factor=0.1)(np.int64(25))
    assert value == Step(0.1, every=10, factor=0.1)(25)
    assert type(value) is float


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: Constant(0.0), "lr"),
        (lambda: Constant(True), "lr"),
        (lambda: Constant("0.1"), "lr"),
        (lambda: Constant(float("nan")), "lr"),
        (lambda: Constant(10**400), "lr"),
        (lambda: Step(0.1, every=0, factor=0.1), "every"),
        (lambda: Step(0.1, every=2.5, factor=0.1), "every"),
        (lambda: Step(0.1, every=True, factor=0.1), "every"),
        (lambda: Step(0.1, every=10, factor=0), "factor"),
        (lambda: Exponential(0.1, factor=-1), "factor"),
        (lambda: Cosine(0.1, steps=0), "steps"),
        (lambda: Cosine(0.1, steps=10, final_lr=-0.1), "final_lr"),
        (lambda: WarmUp(0, then=0.1), "steps"),
        (lambda: WarmUp(10, then="cosine"), "then"),
        (lambda: WarmUp(10, then=0.1, start=float("inf")), "start"),
        (lambda: Constant(0.1)(-1), "step"),
        (lambda: schedules.get(None), "lr"),
        (lambda: schedules.get(Cosine), "lr"),
    ],
)
def test_bad_options_name_the_argument(make, argument):
    with pytest.raises(OptionError, match=rf"^{argument}="):
        make()


def test_get():
    def decay(step):
        return 1.0 / (1 + step)

    assert schedules.get(0.1) == Constant(0.1)
    assert schedules.get(1) == Constant(1.0)
    assert schedules.get(ALL[1]) is ALL[1]
    assert schedules.get(decay) is decay


def test_files_hold_only_schedules_of_this_module():
    with pytest.raises(OptionError, match="a function cannot be"):
        WarmUp(10, then=lambda step: 0.1).to_dict()
    with pytest.raises(OptionError, match="Did you mean 'cosine'"):
        schedules.from_dict({"name": "cosin", "lr": 0.1})
    with pytest.raises(OptionError, match=r"step field='evry' .* Did you mean 'every'"):
        schedules.from_dict({"name": "step", "lr": 0.1, "evry": 3, "factor": 1})
    with pytest.raises(OptionError, match="expected lr, every, factor"):
        schedules.from_dict({"name": "step", "lr": 0.1})
