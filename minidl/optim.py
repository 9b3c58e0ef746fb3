"""Optimizers: what one update does to the parameters. Their kernels live with the engine."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from . import schedules
from .errors import OptionError, out_of_range, unknown_name
from .options import count, non_negative, number

__all__ = ["SGD", "get"]

_TABLE = {
    "sgd": {},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True},
}


@dataclass(frozen=True, repr=False)
class SGD:
    r"""Stochastic gradient descent, plain, with momentum [1]_, or with Nesterov momentum [2]_.

    With the gradient :math:`\nabla L` of the batch at the parameters :math:`w`, learning rate
    :math:`\eta_t`, momentum :math:`\mu`, dampening :math:`\tau` and weight decay :math:`\lambda`,
    update t = 0, 1, ... is

    .. math::

        g_t &= \nabla L(w_t) + \lambda w_t \\
        v_0 &= g_0, \qquad v_t = \mu v_{t-1} + (1 - \tau) g_t \\
        d_t &= g_t \;(\mu = 0), \quad v_t \;(\text{momentum}), \quad
               g_t + \mu v_t \;(\text{Nesterov}) \\
        w_{t+1} &= w_t - \eta_t d_t

    Weight decay is an L2 penalty :math:`\tfrac{\lambda}{2} \lVert w \rVert^2` added to the loss, on
    every parameter, biases included.

    Parameters
    ----------
    lr : float or schedule, default 0.01
        Learning rate, finite and > 0, or a callable of the step, the number of updates made so far
        (see :mod:`minidl.schedules`).
    momentum : float, default 0
        :math:`\mu` in [0, 1).
    dampening : float, default 0
        :math:`\tau` in [0, 1). The first update ignores it.
    nesterov : bool, default False
        Look one step ahead. Needs momentum > 0 and dampening 0.
    weight_decay : float, default 0
        :math:`\lambda`, finite and >= 0.
    lr_multipliers : "init" or mapping of str to float, default "init"
        Factors >= 0 on the learning rate, by the name of a parameter or a pattern of
        :mod:`fnmatch`: ``{"0.*": 0, "*.bias": 2.0}``. The first pattern that matches a name decides; the
        rest have the factor 1, and 0 freezes a parameter. A pattern must match some parameter of the
        network. ``"init"``: those that its initializers require
        (:meth:`minidl.Sequential.lr_multipliers`), mostly none, but see :class:`minidl.init.MuP`. A
        mapping replaces them, ``{}`` by none. Kept as a tuple of pairs.

    Raises
    ------
    OptionError
        An option is out of its range, or two options contradict each other.

    Notes
    -----
    These are the semantics of ``torch.optim.SGD``. The velocity is a running sum of gradients and
    is not scaled by the learning rate, so a new learning rate acts on all of it at once. Sutskever
    et al. [3]_ keep the scaled velocity :math:`u_t = \mu u_{t-1} - \eta_t g_t` and step by
    :math:`w_{t+1} = w_t + u_t`, where a new learning rate acts on new gradients only. The two agree
    (:math:`u = -\eta v`) as long as the learning rate does not change.

    References
    ----------
    .. [1] B. T. Polyak, "Some methods of speeding up the convergence of iteration methods", USSR
           Computational Mathematics and Mathematical Physics 4(5), 1964.
    .. [2] Y. Nesterov, "A method for solving the convex programming problem with convergence rate
           O(1/k^2)", Soviet Mathematics Doklady 27, 1983.
    .. [3] I. Sutskever, J. Martens, G. Dahl, G. Hinton, "On the importance of initialization and
           momentum in deep learning", ICML 2013.

    Examples
    --------
    >>> SGD(lr=0.1, momentum=0.9, nesterov=True)
    SGD(lr=0.1, momentum=0.9, nesterov=True)
    >>> SGD(lr=schedules.Cosine(0.1, steps=1000))
    SGD(lr=Cosine(lr=0.1, steps=1000, final_lr=0.0))
    """

    lr: float | Callable[[int], float] = 0.01
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    lr_multipliers: str | Mapping[str, float] = "init"

    def __post_init__(self):
        def set_number(name, expected, accept):
            value = number(name, getattr(self, name), expected, accept)
            object.__setattr__(self, name, value)

        if not callable(self.lr) or isinstance(self.lr, type):
            object.__setattr__(self, "lr", schedules.get(self.lr).lr)
        set_number("momentum", "a number in [0, 1)", lambda x: 0.0 <= x < 1.0)
        set_number("dampening", "a number in [0, 1)", lambda x: 0.0 <= x < 1.0)
        set_number("weight_decay", "a finite number >= 0", lambda x: x >= 0.0)
        if not isinstance(self.nesterov, bool | np.bool_):
            raise out_of_range("nesterov", self.nesterov, "True or False")
        object.__setattr__(self, "nesterov", bool(self.nesterov))
        if self.nesterov and (self.momentum == 0.0 or self.dampening != 0.0):
            raise OptionError(
                f"nesterov=True needs momentum > 0 and dampening=0, got momentum={self.momentum} "
                f"and dampening={self.dampening}. Try SGD(lr=..., momentum=0.9, nesterov=True)."
            )
        if not (isinstance(self.lr_multipliers, str) and self.lr_multipliers == "init"):
            object.__setattr__(self, "lr_multipliers", _pairs(self.lr_multipliers))

    def __repr__(self) -> str:
        """Show the learning rate and every option that is not at its default."""
        options = [
            f"{field.name}={value!r}"
            for field in dataclasses.fields(self)
            if (value := self._as_given(field.name)) != field.default or field.name == "lr"
        ]
        return f"SGD({', '.join(options)})"

    def _as_given(self, name: str) -> object:
        """The value of a field as a user writes it."""
        value = getattr(self, name)
        return dict(value) if isinstance(value, tuple) else value

    @property
    def needs_velocity(self) -> bool:
        """Whether an update keeps a velocity, as large as the parameters: momentum > 0."""
        return self.momentum > 0.0

    def learning_rates(self, first_step: int, n_steps: int) -> np.ndarray:
        """Return the learning rates of a run of updates.

        Parameters
        ----------
        first_step : int
            The number of updates made before, >= 0.
        n_steps : int
            How many learning rates to return, >= 0.

        Returns
        -------
        ndarray of float64, shape (n_steps,)
            Element i belongs to step ``first_step + i``; each is finite and >= 0.

        Raises
        ------
        OptionError
            The schedule returned something else; the message names the step.

        Examples
        --------
        >>> SGD(lr=schedules.Step(0.5, every=2, factor=0.5)).learning_rates(1, 3)
        array([0.5 , 0.25, 0.25])
        """
        first_step = count("first_step", first_step, 0)
        rates = np.empty(count("n_steps", n_steps, 0))
        if isinstance(self.lr, float):
            rates.fill(self.lr)
            return rates
        expected = f"a finite number >= 0 from the schedule {self.lr!r}"
        for i in range(len(rates)):
            step = first_step + i
            value = self.lr(step)
            if isinstance(value, np.ndarray) and value.ndim == 0:  # what np.where returns
                value = value.item()
            rates[i] = number(f"lr(step {step})", value, expected, lambda x: x >= 0.0)
        return rates

    def lr_factors(self, required: Mapping[str, float]) -> tuple[float, ...]:
        """Return the factor on the learning rate of each parameter of a network.

        Parameters
        ----------
        required : mapping of str to float
            All parameters by name, in order, with the factors that the initializers require.

        Returns
        -------
        tuple of float
            Empty if all factors are 1.

        Raises
        ------
        OptionError
            A pattern matches no parameter.

        Examples
        --------
        >>> SGD(lr_multipliers={"1.*": 0.0}).lr_factors({"0.weight": 1.0, "1.weight": 1.0, "1.bias": 1.0})
        (1.0, 0.0, 0.0)
        """
        factors = dict(required)
        if self.lr_multipliers != "init":
            factors = dict.fromkeys(required, 1.0)
            for pattern, factor in reversed(self.lr_multipliers):  # the first one has the last word
                names = [name for name in factors if fnmatch.fnmatchcase(name, pattern)]
                if not names:
                    raise OptionError(
                        f"lr_multipliers: the pattern {pattern!r} matches no parameter. There are "
                        f"{', '.join(required)}."
                    )
                factors.update(dict.fromkeys(names, factor))
        return tuple(factors.values()) if any(factor != 1.0 for factor in factors.values()) else ()

    def reference(
        self,
        w: np.ndarray,
        gradient: np.ndarray,
        velocity: np.ndarray | None,
        lr: float,
        lr_factor: float = 1.0,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Make one update in NumPy float64: the twin of the kernel, written for reading.

        Parameters
        ----------
        w, gradient : array_like, same shape
            The parameters and the gradient of the loss with respect to them.
        velocity : array_like or None
            What the previous update returned; None before the first.
        lr : float
            The learning rate of this update.
        lr_factor : float
            The factor on it of this parameter.

        Returns
        -------
        w, velocity : ndarray of float64
            New arrays; the velocity is None without momentum.

        Examples
        --------
        >>> w, v = SGD(momentum=0.5).reference([1.0], [2.0], None, lr=0.25)
        >>> w, v = SGD(momentum=0.5).reference(w, [2.0], v, lr=0.25)
        >>> w, v
        (array([-0.25]), array([3.]))
        """
        w = np.asarray(w, dtype=np.float64)
        g = np.asarray(gradient, dtype=np.float64) + self.weight_decay * w
        lr = lr * lr_factor
        if not self.needs_velocity:
            return w - lr * g, None
        if velocity is None:
            v = g.copy()
        else:
            v = self.momentum * np.asarray(velocity) + (1.0 - self.dampening) * g
        direction = g + self.momentum * v if self.nesterov else v
        return w - lr * direction, v

    def to_dict(self) -> dict:
        """Return the optimizer as JSON-able values; :meth:`from_dict` is the inverse.

        Raises
        ------
        OptionError
            The learning rate is a function of the user's, which a file cannot hold.
        """
        record = {"name": "sgd"}
        record.update((field.name, self._as_given(field.name)) for field in dataclasses.fields(self))
        if not isinstance(self.lr, float):
            record["lr"] = schedules.to_dict(self.lr)
        return record

    @classmethod
    def from_dict(cls, record: dict) -> SGD:
        """Rebuild the optimizer that :meth:`to_dict` wrote.

        Raises
        ------
        OptionError
            The name or a field is unknown or out of range.

        Examples
        --------
        >>> SGD.from_dict(SGD(lr=0.1, momentum=0.9).to_dict())
        SGD(lr=0.1, momentum=0.9)
        """
        fields = dict(record)
        name = fields.pop("name", None)
        if name != "sgd":
            raise unknown_name("optimizer", name, ["sgd"])
        known = [field.name for field in dataclasses.fields(cls)]
        for key in fields:
            if key not in known:
                raise unknown_name("SGD field", key, known)
        if isinstance(fields.get("lr"), dict):
            fields["lr"] = schedules.from_dict(fields["lr"])
        return cls(**fields)


def _pairs(multipliers: object) -> tuple[tuple[str, float], ...]:
    """Check a mapping of patterns to factors."""
    given = multipliers.items() if isinstance(multipliers, Mapping) else multipliers
    try:
        pairs = tuple((pattern, factor) for pattern, factor in given)
    except (TypeError, ValueError):
        pairs = None
    patterns = {pattern for pattern, _ in pairs or () if isinstance(pattern, str)}
    if pairs is None or isinstance(given, str) or len(patterns) < len(pairs):
        raise out_of_range(
            "lr_multipliers",
            multipliers,
            "'init', or a mapping of names or patterns to factors such as {'*.bias': 2.0} ({} for none)",
        )
    return tuple((pattern, non_negative(f"lr_multipliers[{pattern!r}]", x)) for pattern, x in pairs)


def get(x: SGD | str, lr: float | Callable[[int], float] | None = None) -> SGD:
    """Return the optimizer that `x` stands for.

    Parameters
    ----------
    x : SGD or str
        An optimizer is returned as it is. ``"sgd"`` is :class:`SGD`, ``"momentum"`` is SGD with
        momentum 0.9, ``"nesterov"`` the same with Nesterov's.
    lr : float or schedule, optional
        The learning rate for a name; the default of :class:`SGD` where absent.

    Raises
    ------
    OptionError
        The name is unknown, or `lr` is given beside an optimizer that has its own.

    Examples
    --------
    >>> get("momentum", lr=0.1)
    SGD(lr=0.1, momentum=0.9)
    """
    if isinstance(x, SGD):
        if lr is not None:
            raise OptionError(
                f"lr={lr!r} was given beside optimizer={x!r}, which has its own learning rate: "
                "leave one of the two out."
            )
        return x
    if not isinstance(x, str):
        raise out_of_range("optimizer", x, f"an SGD(...) object or one of {', '.join(_TABLE)}")
    if x not in _TABLE:
        raise unknown_name("optimizer", x, _TABLE)
    options = _TABLE[x] if lr is None else {**_TABLE[x], "lr": lr}
    return SGD(**options)
