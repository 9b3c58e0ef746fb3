"""The protocol of the initializers that look at data: a network and a batch in, a report out."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minidl import activations
from minidl.data import as_features, check_same_length
from minidl.errors import InitWarning, OptionError
from minidl.init.auto import Auto
from minidl.init.base import Initializer
from minidl.init.registry import get
from minidl.init.report import InitReport
from minidl.init.streams import Stream, as_stream
from minidl.init.trial import Trial
from minidl.options import count

__all__ = ["DataInitializer"]


@dataclass(frozen=True, repr=False)
class DataInitializer(Initializer):
    """Base class of the initializers that need data: they go through a whole network with a batch.

    As the ``init=`` of a network: the weights are drawn from `base` when the network is built, and the first
    call that trains it runs :meth:`fit` once before its first step. Until then ``net.pending_init`` is this
    object, and ``predict``, ``evaluate`` and ``gradients`` raise OptionError. Or call :meth:`fit` yourself,
    on any network.

    All work is done on a copy of the network in float64. The network itself is changed at the very end, in
    one assignment: an exception, Ctrl-C included, leaves it as it was.

    Write your own as a frozen dataclass that defines ``treat(trial)``.

    Parameters
    ----------
    base : Initializer, str, ndarray or callable, optional
        Draws the weights first. None takes the weights that the network has ("auto" when it is built).
        Layers with an initializer of their own draw from that one, and are then treated like the others.
    max_rows : int, optional
        Of more rows, so many are used, chosen by the seed of the network. None uses all.

    Attributes
    ----------
    needs_targets : bool
        Whether :meth:`fit` needs `y`.

    Raises
    ------
    OptionError
        `base` needs data itself, or `max_rows` is below 1.

    Examples
    --------
    >>> from minidl.init import LSUV
    >>> net = minidl.MLP([3, 8, 2], "tanh", init=LSUV(), seed=0)
    >>> net.predict(np.ones((1, 3)))
    Traceback (most recent call last):
        ...
    minidl.errors.OptionError: predict: init=LSUV() needs data and has seen none...
    >>> X = np.random.default_rng(0).normal(size=(50, 3))
    >>> history = net.fit(X, np.arange(50) % 2, verbose=0)
    >>> net.init_report.converged, net.pending_init
    (True, None)
    """

    base: Initializer | None = None
    max_rows: int | None = 1024
    distribution = "by data"
    needs_data: ClassVar[bool] = True
    needs_targets: ClassVar[bool] = False

    def __post_init__(self):
        if self.base is not None:
            self._set(base=get(self.base))
            if self.base.needs_data:
                raise OptionError(
                    f"base={self.base!r}: it needs data itself. Use Then(base, step, ...) for a chain."
                )
        if self.max_rows is not None:
            self._set(max_rows=count("max_rows", self.max_rows, 1))

    # --- what it does ----------------------------------------------------------------------------

    def treat(self, trial: Trial) -> None:
        """Change the parameters of ``trial.net``; the one method of a subclass."""
        raise TypeError(f"{type(self).__name__} does not define treat()")

    def fit(self, net, X, y=None, *, rng=None, loss=None, optimizer=None) -> InitReport:
        """Initialize a network by what a batch does in it.

        Parameters
        ----------
        net : Sequential
        X : array_like, shape (n, n_inputs)
            Never changed. Rounded to the dtype of the network, as for training.
        y : array_like, optional
            Targets as the loss wants them; needed by some schemes only.
        rng : int or Stream, optional
            Root of all random choices; default: the seed of the network.
        loss : str or Loss, optional
            Default: that of the last training, at first "cross_entropy".
        optimizer : SGD, optional
            What the network will be trained with, for the schemes that take it into account; default: that of
            the last training.

        Returns
        -------
        InitReport
            Also kept in ``net.init_report``.

        Raises
        ------
        OptionError, ShapeError, DtypeError, DataError
            The data or the network do not fit. The network is as it was.

        Warns
        -----
        InitWarning
            Units are dead, a layer or the batch is constant, or the scheme has not converged.
        """
        if X is None:
            raise OptionError(f"{self!r} needs data: pass X, shape (n, n_inputs).")
        if y is None and self.needs_targets:
            raise OptionError(f"{self!r} needs targets: pass y beside X.")
        with net.being_trained():
            x = as_features(X, net.dtype, net.n_inputs if net.built else net.declared_inputs)
            if y is not None:
                check_same_length(x, y)
                y = np.asarray(y)
            stream = Stream(net.seed, "init", "data") if rng is None else as_stream(rng)
            if self.max_rows is not None and len(x) > self.max_rows:
                rows = np.sort(stream.child("rows").permutation(len(x))[: self.max_rows])
                x, y = x[rows], None if y is None else y[rows]
            x = np.ascontiguousarray(x, np.float64)

            work = net.astype("float64")
            if self.base is not None:
                work.reset(init=self)  # draws from the base
            work.pending_init = None
            work.build(x.shape[1])
            loss = net.training.loss if loss is None else loss
            optimizer = net.training.optimizer if optimizer is None else optimizer
            trial = Trial(work, x, y, stream, loss, optimizer, repr(self))
            with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is found and named
                report = trial.run(self.treat)
                done = work.astype(net.dtype)
            if not np.isfinite(done.params.flat).all():
                raise OptionError(f"{self!r}: a parameter became too large for {net.dtype}.")
            # the last chance to fail: a filter may turn the warning into an error
            if report.warnings:
                warnings.warn(f"{self!r}: " + " ".join(report.warnings), InitWarning, stacklevel=2)
            net.build(x.shape[1])
            net.params.flat[...] = done.params.flat
            net.pending_init = None
            net.init_report = report
        return report

    @property
    def start(self) -> Initializer:
        """What fills the layers before there are data."""
        return Auto() if self.base is None else self.base

    def resolve(self, spec):
        chosen, _ = self.start.resolve(spec)
        return self, f"{chosen!r}, then by the first training data"

    def check_network(self, specs):
        self.start.check_network(specs)

    def suits(self, activation, depth=10, limit=1e3):
        """Say yes: it measures what a layer does instead of assuming it."""
        from minidl.theory import Verdict

        return Verdict(True, f"it measures what a layer of {activations.get(activation)} does with the data.")

    # --- what it cannot do without a network -----------------------------------------------------

    def init_layer(self, spec, seed, weight, bias=None):
        raise self._needs_a_network()

    def fill_weight(self, spec, stream, weight):
        raise self._needs_a_network()

    def fill(self, view, stream, fan_in, fan_out):
        raise self._needs_a_network()

    def law(self, fan_in, fan_out):
        raise self._needs_a_network()

    def _needs_a_network(self) -> OptionError:
        name = type(self).__name__
        return OptionError(
            f"{name} needs data and a whole network: make the network with init={self!r} and train it, "
            f"or call {name}(...).fit(net, X, y)."
        )
