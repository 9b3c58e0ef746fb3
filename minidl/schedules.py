"""Learning-rate schedules: functions of the step, the number of updates made so far.

A schedule is any callable that takes the step (0 for the first update of a run) and returns the
learning rate of that update. The ones below are values: frozen, comparable, hashable, picklable.
They compute with ``+ - * /`` of float64 only, which IEEE 754 rounds in one way, so that a run has
the same learning rates, bit for bit, on every machine; ``**`` and ``math.cos`` would ask the C
library, which may differ in the last bit from one system to the next.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable
from dataclasses import dataclass

from .errors import OptionError, out_of_range, unknown_name
from .options import count, non_negative, number, positive

__all__ = ["Constant", "Cosine", "Exponential", "Schedule", "Step", "WarmUp", "from_dict", "get"]


def power(x: float, n: int) -> float:
    r"""Compute :math:`x^n` for an integer :math:`n \ge 0` by repeated squaring in float64.

    The relative error is at most about :math:`n 2^{-53}`; the bits are the same on every machine.

    Examples
    --------
    >>> power(0.5, 10) == 2.0**-10
    True
    """
    result = 1.0
    while n:
        if n & 1:
            result *= x
        x *= x
        n >>= 1
    return result


# Taylor coefficients of (1 - cos(pi x)) / 2 in powers of x^2, for k = 1 to 11:
# (-1)^(k+1) pi^(2k) / (2 (2k)!). On 0 <= x <= 1/2 the first term left out is below 2^-64.
_HAVERSINE = (
    2.4674011002723395,
    -2.0293560632083842,
    0.6676313844272947,
    -0.1176653151794466,
    0.01290344569500703,
    -0.0009647871547019616,
    5.231905246242285e-05,
    -2.1515347935164736e-06,
    6.939476231106886e-08,
    -1.8023653987312506e-09,
    3.850353565300677e-11,
)


def _haversine(x: float) -> float:
    """Compute (1 - cos(pi x)) / 2 for 0 <= x <= 1/2, with a relative error of a few 2^-53."""
    y = x * x
    value = 0.0
    for coefficient in reversed(_HAVERSINE):
        value = value * y + coefficient
    return value * y


def half_cosine(step: int, steps: int) -> float:
    r"""Compute :math:`(1 + \cos(\pi\,\mathrm{step}/\mathrm{steps})) / 2` for 0 <= step <= steps.

    Exactly 1 at step 0 and exactly 0 at the last. The first half is taken from its distance to 1,
    the second directly, so that small values near the end keep their relative accuracy.

    Examples
    --------
    >>> [half_cosine(step, 4) for step in (0, 2, 4)]
    [1.0, 0.5, 0.0]
    """
    if 2 * step == steps:
        return 0.5
    if 2 * step < steps:
        return 1.0 - _haversine(step / steps)
    return _haversine((steps - step) / steps)


class Schedule:
    """Base class of the schedules: call one with the step, get the learning rate.

    A schedule of your own needs no base class: any callable of the step will do (only the classes
    of this module can be written to a file).
    """

    def __call__(self, step: int) -> float:
        """Return the learning rate of update number `step`, counted from 0."""
        step = operator.index(step)
        if step < 0:
            raise out_of_range("step", step, "an integer >= 0")
        return self._rate(step)

    def _rate(self, step: int) -> float:
        raise NotImplementedError

    def to_dict(self) -> dict:
        """Return the schedule as JSON-able values; :func:`from_dict` is the inverse."""
        record = {"name": type(self).__name__.lower()}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            record[field.name] = value if isinstance(value, int | float) else to_dict(value)
        return record

    def _set(self, **values) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Constant(Schedule):
    r"""The same learning rate at every step: :math:`\eta_t = \eta`.

    Parameters
    ----------
    lr : float
        Learning rate, > 0.

    Examples
    --------
    >>> Constant(0.1)(1000)
    0.1
    """

    lr: float

    def __post_init__(self):
        self._set(lr=positive("lr", self.lr))

    def _rate(self, step: int) -> float:
        return self.lr


@dataclass(frozen=True)
class Step(Schedule):
    r"""A staircase: :math:`\eta_t = \eta\, f^{\lfloor t / \mathrm{every} \rfloor}`.

    Parameters
    ----------
    lr : float
        Learning rate of the first stair, > 0.
    every : int
        Length of a stair in steps (updates), >= 1.
    factor : float
        What each stair multiplies the learning rate by, > 0.

    Examples
    --------
    >>> schedule = Step(0.5, every=100, factor=0.5)
    >>> [schedule(t) for t in (0, 99, 100, 200)]
    [0.5, 0.5, 0.25, 0.125]
    """

    lr: float
    every: int
    factor: float

    def __post_init__(self):
        self._set(
            lr=positive("lr", self.lr),
            every=count("every", self.every, 1),
            factor=positive("factor", self.factor),
        )

    def _rate(self, step: int) -> float:
        return self.lr * power(self.factor, step // self.every)


@dataclass(frozen=True)
class Exponential(Schedule):
    r"""Geometric decay (or growth): :math:`\eta_t = \eta\, f^t`.

    Parameters
    ----------
    lr : float
        Learning rate of the first step, > 0.
    factor : float
        What each step (update) multiplies the learning rate by, > 0. A factor above 1 gives the
        learning-rate range test of [1]_.

    Notes
    -----
    The power is taken by repeated squaring in float64; its relative error after t steps is at most
    about :math:`t\,2^{-53}`.

    References
    ----------
    .. [1] L. N. Smith, "Cyclical learning rates for training neural networks", WACV 2017.

    Examples
    --------
    >>> Exponential(1.0, factor=0.5)(3)
    0.125
    """

    lr: float
    factor: float

    def __post_init__(self):
        self._set(lr=positive("lr", self.lr), factor=positive("factor", self.factor))

    def _rate(self, step: int) -> float:
        return self.lr * power(self.factor, step)


@dataclass(frozen=True)
class Cosine(Schedule):
    r"""Cosine annealing without restarts [1]_.

    .. math:: \eta_t = \eta\, c_t + \eta_\mathrm{final} (1 - c_t), \qquad
              c_t = \tfrac12 (1 + \cos(\pi t / T)) \text{ for } t < T, \quad 0 \text{ after}

    Parameters
    ----------
    lr : float
        Learning rate of the first step, > 0.
    steps : int
        T, the number of steps (updates) over which it falls, >= 1.
    final_lr : float, default 0
        Learning rate from step T on, >= 0.

    References
    ----------
    .. [1] I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts",
           ICLR 2017, equation 5.

    Examples
    --------
    >>> schedule = Cosine(0.5, steps=1000)
    >>> [schedule(t) for t in (0, 500, 1000, 2000)]
    [0.5, 0.25, 0.0, 0.0]
    """

    lr: float
    steps: int
    final_lr: float = 0.0

    def __post_init__(self):
        self._set(
            lr=positive("lr", self.lr),
            steps=count("steps", self.steps, 1),
            final_lr=non_negative("final_lr", self.final_lr),
        )

    def _rate(self, step: int) -> float:
        # This form, not final + (lr - final) * c, is exact at both ends.
        c = half_cosine(min(step, self.steps), self.steps)
        return self.lr * c + self.final_lr * (1.0 - c)


@dataclass(frozen=True)
class WarmUp(Schedule):
    r"""Linear warm-up [1]_, then another schedule that counts its own steps from 0.

    .. math:: \eta_t = \eta_\mathrm{start} (1 - t/T) + \mathrm{then}(0)\, t/T \text{ for } t < T,
              \qquad \eta_t = \mathrm{then}(t - T) \text{ after}

    Parameters
    ----------
    steps : int
        T, the length of the warm-up in steps (updates), >= 1.
    then : float, Schedule or callable
        What follows; a number means a constant learning rate.
    start : float, default 0
        Learning rate of the very first step, >= 0. With 0 the first update leaves the parameters as
        they are (it still starts the velocity of momentum).

    References
    ----------
    .. [1] P. Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017,
           section 2.2.

    Examples
    --------
    >>> schedule = WarmUp(4, then=Step(0.5, every=100, factor=0.5))
    >>> [schedule(t) for t in (0, 1, 2, 4, 103, 104)]
    [0.0, 0.125, 0.25, 0.5, 0.5, 0.25]
    """

    steps: int
    then: Callable[[int], float]
    start: float = 0.0

    def __post_init__(self):
        self._set(
            steps=count("steps", self.steps, 1),
            then=get(self.then, argument="then"),
            start=non_negative("start", self.start),
        )

    def _rate(self, step: int) -> float:
        if step >= self.steps:
            return self.then(step - self.steps)
        done = step / self.steps
        return self.start * (1.0 - done) + self.then(0) * done


_TABLE = {cls.__name__.lower(): cls for cls in (Constant, Step, Exponential, Cosine, WarmUp)}


def get(x: float | Callable[[int], float], *, argument: str = "lr") -> Callable[[int], float]:
    """Return the schedule that `x` stands for.

    Parameters
    ----------
    x : float, Schedule or callable
        A number means :class:`Constant`; a callable of the step is returned as it is.
    argument : str, default "lr"
        How the error names `x`.

    Raises
    ------
    OptionError
        `x` is neither a finite number > 0 nor a callable (a schedule class needs its arguments).

    Examples
    --------
    >>> get(0.1)
    Constant(lr=0.1)
    """
    if callable(x) and not isinstance(x, type):
        return x
    expected = "a finite number > 0, or a schedule: a callable of the step"
    return Constant(number(argument, x, expected, lambda value: value > 0.0))


def to_dict(schedule: Callable[[int], float]) -> dict:
    """Return a schedule of this module as JSON-able values.

    Raises
    ------
    OptionError
        The schedule is a function of the user's, which a file cannot hold.
    """
    if isinstance(schedule, Schedule) and type(schedule) in _TABLE.values():
        return schedule.to_dict()
    raise OptionError(
        f"lr={schedule!r}: expected a number or a schedule of minidl.schedules "
        f"({', '.join(cls.__name__ for cls in _TABLE.values())}), because a function cannot be "
        "written to a file; pass the optimizer again after loading."
    )


def from_dict(record: dict) -> Schedule:
    """Rebuild the schedule that ``to_dict`` wrote.

    Raises
    ------
    OptionError
        The name or a field is unknown or out of range.

    Examples
    --------
    >>> schedule = WarmUp(10, then=Cosine(0.1, steps=90))
    >>> from_dict(schedule.to_dict()) == schedule
    True
    """
    fields = dict(record)
    name = fields.pop("name", None)
    if name not in _TABLE:
        raise unknown_name("schedule", name, _TABLE)
    cls = _TABLE[name]
    names = [field.name for field in dataclasses.fields(cls)]
    for key in fields:
        if key not in names:
            raise unknown_name(f"{name} field", key, names)
    if isinstance(fields.get("then"), dict):
        fields["then"] = from_dict(fields["then"])
    try:
        return cls(**fields)
    except TypeError:  # a field without a default is absent
        raise OptionError(
            f"schedule {name!r} has the fields {', '.join(fields)}; expected {', '.join(names)}."
        ) from None
