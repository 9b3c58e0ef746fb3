"""The network: a stack of layers, its parameters, and what can be done with them.

This is the surface; the work is done in :mod:`minidl.initialization`, :mod:`minidl.training`,
:mod:`minidl.prediction`, :mod:`minidl.walk` and :mod:`minidl.sharing`.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager

import numpy as np

from minidl import initialization, prediction, training, walk
from minidl.data import as_features, float_dtype
from minidl.engine.builder import Program
from minidl.engine.params import Layout, ParamStore
from minidl.engine.predict import SmallPredictor
from minidl.engine.program import BoundProgram
from minidl.errors import OptionError, ShapeError, out_of_range
from minidl.history import History
from minidl.init import Initializer, InitPlan, InitReport, LayerSpec
from minidl.init import get as get_initializer
from minidl.init.outlook import warn_if_hopeless
from minidl.layers import Layer, check_stack
from minidl.lowering import Task, output_width, parameter_shapes
from minidl.options import count
from minidl.sharing import ProgramPool, TrainingLock


class Sequential:
    """A stack of layers.

    Parameters
    ----------
    layers : iterable of Layer
    n_inputs : int, optional
        Width of the input; default: taken from the first data.
    init : Initializer, str, ndarray or callable
        For layers that do not bring their own; "auto" chooses by activation and role, see
        :meth:`init_plan`.
    seed : int, optional
        Decides the weights and the order of the rows. Each parameter draws from a stream keyed by
        (seed, path, role), so the values do not depend on dtype, threads or other layers. Default: a
        random seed, kept in ``net.seed``.
    dtype : {"float32", "float64"}

    Attributes
    ----------
    params, grads : ParamStore
        Parameters and the gradients last computed, by name ("0.weight") and as one vector (``.flat``).
    history : History
        Record of the last :meth:`fit`.
    program : Program
        The ops of one training step; print it.
    pending_init : Initializer or None
        The initializer that waits for the first training data, see :class:`minidl.init.DataInitializer`.
    init_report : InitReport or None
        What the last data-dependent initializer did.

    Raises
    ------
    OptionError, ShapeError
        For an empty list, things that are no layers, an unknown initializer or dtype.

    Examples
    --------
    >>> net = Sequential([minidl.Dense(16, "relu"), minidl.Dense(3)], n_inputs=4, seed=0)
    >>> net.predict(np.zeros((2, 4))).shape
    (2, 3)
    """

    def __init__(
        self,
        layers: Iterable[Layer],
        *,
        n_inputs: int | None = None,
        init: object = "auto",
        seed: int | None = None,
        dtype: str = "float32",
    ):
        self.layers = list(layers)
        check_stack(self.layers)
        initialization.check_layers(self.layers)
        self.dtype = float_dtype(dtype).name
        self.init = get_initializer(init)
        self.seed = _seed(seed)
        self.declared_inputs = None if n_inputs is None else count("n_inputs", n_inputs, 1)
        self.built = False
        self.n_inputs: int | None = None
        self.n_outputs: int | None = None
        self.training = training.TrainingState()
        self.history = History()
        self._pool = ProgramPool()
        self._small_predictor: SmallPredictor | None = None
        self._training_lock = TrainingLock()
        self._expect_data()
        if n_inputs is not None:
            self.build(n_inputs)

    def __repr__(self) -> str:
        layers = ", ".join(repr(layer) for layer in self.layers)
        return f"{type(self).__name__}([{layers}], n_inputs={self.n_inputs}, seed={self.seed})"

    # --- parameters ------------------------------------------------------------------------------

    def build(self, n_inputs: int) -> None:
        """Create and initialize the parameters for an input of that width; once.

        Raises
        ------
        ShapeError
            If the network was built for another width.
        """
        n_inputs = count("n_inputs", n_inputs, 1)
        if self.built:
            if n_inputs != self.n_inputs:
                raise ShapeError(
                    f"the network was built for {self.n_inputs} inputs, got {n_inputs}. "
                    "Pass data with as many features, or make a new network."
                )
            return
        self._params = self._draw(n_inputs, self.init, self.seed)
        self._grads = ParamStore(self._params.layout)
        self.n_inputs, self.n_outputs = n_inputs, output_width(self.layers, n_inputs)
        self.built = True

    def _draw(self, n_inputs: int, init: Initializer, seed: int) -> ParamStore:
        """Return parameters as they are before training."""
        chosen = initialization.choices(self.layers, init, n_inputs)
        initialization.check(chosen)
        params = ParamStore(Layout(parameter_shapes(self.layers, n_inputs), self.dtype))
        warn_if_hopeless(chosen, stacklevel=4)  # at the call of build() or reset()
        initialization.fill(params, chosen, seed)
        return params

    def reset(self, seed: int | None = None, init: object = None) -> None:
        """Initialize again and forget all training; with another seed or initializer if one is given.

        After an error the network is as it was.
        """
        init = self.init if init is None else get_initializer(init)
        seed = self.seed if seed is None else _seed(seed)
        if self.built:
            self._params = self._draw(self.n_inputs, init, seed)
            self._grads = ParamStore(self._params.layout)
        self.init, self.seed = init, seed
        self._expect_data()
        self.training = training.TrainingState()
        self.history = History()
        self._pool = ProgramPool()
        self._small_predictor = None

    @property
    def params(self) -> ParamStore:
        """The parameters, by name and as one flat vector."""
        return self._require_built()._params

    @property
    def grads(self) -> ParamStore:
        """The gradients that :meth:`gradients` or the last training step computed."""
        return self._require_built()._grads

    def _require_built(self) -> Sequential:
        if not self.built:
            raise ShapeError(
                "the network has no parameters yet: its input width is unknown. Pass n_inputs= when "
                "making it, call net.build(n_inputs), or train it first."
            )
        return self

    def _expect_data(self) -> None:
        """Note whether the initializer needs data to do its work."""
        self.pending_init = self.init if self.init.needs_data else None
        self.init_report: InitReport | None = None

    def _require_data(self, action: str) -> None:
        if self.pending_init is not None:
            raise OptionError(
                f"{action}: init={self.pending_init!r} needs data and has seen none. Train the network with "
                f"net.fit(X, y), or initialize it: {type(self.pending_init).__name__}(...).fit(net, X, y)."
            )

    def _choices(self) -> initialization.Choices:
        """The description and the initializer of every layer that has a weight."""
        self._require_built()
        return initialization.choices(self.layers, self.init, self.n_inputs)

    def init_plan(self) -> InitPlan:
        """Return per layer: the initializer, why it was chosen, and the variance it predicts.

        Examples
        --------
        >>> net = minidl.MLP([784, 256, 10], "relu", seed=0)
        >>> print(net.init_plan())  # doctest: +ELLIPSIS
        layer...
        """
        return InitPlan.of(self._choices())

    def lr_multipliers(self) -> dict[str, float]:
        """Return the factors on the learning rate that the initializers require, for each parameter.

        Optimizers use them unless they have their own, see :class:`minidl.SGD`.

        Examples
        --------
        >>> minidl.MLP([4, 64, 2], "relu", init="mup(base_width=16)", seed=0).lr_multipliers()
        {'0.weight': 4.0, '0.bias': 4.0, '1.weight': 0.25, '1.bias': 1.0}
        """
        return initialization.lr_multipliers(self.params, self._choices())

    # --- training --------------------------------------------------------------------------------

    def fit(
        self,
        X,
        y,
        *,
        loss=None,
        optimizer=None,
        epochs: int = 1,
        batch_size: int = 32,
        shuffle: bool = True,
        validation_data=None,
        validation_split: float = 0.0,
        sample_weight=None,
        early_stopping=None,
        callbacks=None,
        verbose: int = 1,
        check_finite: bool = True,
        n_threads: int | None = None,
    ) -> History:
        """Train for a number of epochs; a second call goes on where the first one stopped.

        Parameters
        ----------
        X : array_like, shape (n, n_inputs)
            Converted once to the dtype of the network; not copied if it fits.
        y : array_like
            Targets as the loss wants them; see :mod:`minidl.losses`.
        loss : str or Loss, optional
            Default: that of the last call, at first "cross_entropy".
        optimizer : SGD or str, optional
            Default: that of the last call, at first ``SGD(lr=0.01)``. The velocity is kept as long as the
            optimizer is equal to the last one.
        epochs, batch_size : int
            The last batch of an epoch has the rows that are left.
        shuffle : bool
            Draw a new order of the rows for each epoch from (seed, number of the epoch). Without it, batches
            are read where they lie, not gathered by index, unless wide rows lie an even number of cache lines
            apart.
        validation_data : tuple (X, y) or (X, y, sample_weight), optional
        validation_split : float
            Or hold out this share of the rows, chosen by the seed.
        sample_weight : array_like, shape (n,), optional
            The loss of a batch is ``sum(w * l) / sum(w)``: weight 0 removes a row.
        early_stopping : EarlyStopping, int or bool, optional
            Stop when the validation loss has not improved for so many epochs (True: 5), and restore the
            best parameters.
        callbacks : Callback or list of Callback, optional
        verbose : {0, 1}
            1 prints a line per epoch, and shows a bar if tqdm is installed and stderr is a terminal.
        check_finite : bool
            Refuse NaN and infinity in X, once per call.
        n_threads : int, optional
            Default: as many as pay, at most :func:`minidl.get_num_threads`. The results do not
            depend on it.

        Returns
        -------
        History
            Also kept in ``net.history``.

        Raises
        ------
        ShapeError, DtypeError, DataError, OptionError
            For bad arguments, before anything is trained.
        RuntimeError
            If another thread is training the same network.
        DivergenceError
            If the loss or a gradient becomes NaN or infinite; the parameters are left at their last
            finite values.
        KeyboardInterrupt
            Within 0.2 s of Ctrl-C; the parameters are those of the last finished step.

        Examples
        --------
        >>> X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> net = minidl.MLP([2, 8, 2], "tanh", seed=1)
        >>> history = net.fit(X, [0, 1, 1, 0], optimizer=minidl.SGD(lr=0.5), epochs=500, verbose=0)
        >>> net.predict(X).argmax(axis=1)
        array([0, 1, 1, 0])
        """
        with self.being_trained():
            return training.fit(
                self,
                X,
                y,
                loss=loss,
                optimizer=optimizer,
                epochs=epochs,
                batch_size=batch_size,
                shuffle=shuffle,
                validation_data=validation_data,
                validation_split=validation_split,
                sample_weight=sample_weight,
                early_stopping=early_stopping,
                callbacks=callbacks,
                verbose=verbose,
                check_finite=check_finite,
                n_threads=n_threads,
            )

    def partial_fit(self, X, y, **options) -> Sequential:
        """Train one pass over the data, silently; options as for :meth:`fit`.

        Several calls over the same data do what one call of :meth:`fit` with as many epochs does, bit for
        bit.

        Returns
        -------
        Sequential
            The network itself.
        """
        self.fit(X, y, **({"verbose": 0} | options | {"epochs": 1}))
        return self

    def train_step(
        self,
        X,
        y,
        *,
        loss=None,
        optimizer=None,
        sample_weight=None,
        check_finite=True,
        n_threads=None,
    ) -> float:
        """Make one update on this batch and return the loss before it.

        Parameters and errors as for :meth:`fit`.

        Examples
        --------
        >>> net = minidl.MLP([2, 8, 1], "tanh", seed=0, dtype="float64")
        >>> losses = [net.train_step([[0.0, 1.0]], [1.0], loss="mse") for _ in range(3)]
        >>> losses[2] < losses[0]
        True
        """
        with self.being_trained():
            return training.train_step(self, X, y, loss, optimizer, sample_weight, check_finite, n_threads)

    def gradients(self, X, y, *, loss=None, sample_weight=None, check_finite=True, n_threads=None) -> float:
        """Compute the gradients of the loss on this batch into ``net.grads`` and return the loss.

        Nothing is updated. Parameters and errors as for :meth:`fit`; but a loss or gradients that are not
        finite are handed out as they are, for those who study them.

        Examples
        --------
        >>> net = minidl.MLP([2, 3], init="zeros", seed=0, dtype="float64")
        >>> round(net.gradients([[1.0, 2.0]], [0]), 12)  # log 3
        1.098612288668
        >>> net.grads["0.bias"].round(6)
        array([-0.666667,  0.333333,  0.333333])
        """
        self._require_data("gradients")
        return training.gradients(self, X, y, loss, sample_weight, check_finite, n_threads)

    # --- use -------------------------------------------------------------------------------------

    def predict(self, X, *, check_finite: bool = False, n_threads: int | None = None) -> np.ndarray:
        """Return the outputs for each row of X: logits, unless the last layer has an activation.

        A row gives the same bits alone and in a batch, with any number of threads.

        Parameters
        ----------
        X : array_like, shape (n, n_inputs)
        check_finite : bool
            Refuse NaN and infinity in X; by default they propagate.
        n_threads : int, optional

        Returns
        -------
        ndarray, shape (n, n_outputs)
        """
        ordinary = n_threads is None or (type(n_threads) is int and n_threads == 1)
        small = self._small_predictor if ordinary else None
        if small is not None and not check_finite:
            output = small(X, n_threads)
            if output is not None:
                return output
        training.check_threads(n_threads)
        self._require_data("predict")
        n_inputs = self.n_inputs if self.built else self.declared_inputs
        x = as_features(X, self.dtype, n_inputs, check_finite=check_finite)
        self.build(x.shape[1])
        output = None if small is None else small(x, n_threads)
        if output is None:
            output, flops = prediction.predict(self, x, n_threads)
            if self._small_predictor is None or self._small_predictor.is_stale():
                self._small_predictor = prediction.small_predictor(self, len(x), flops)
        return output

    def predict_proba(self, X, *, check_finite: bool = False, n_threads=None) -> np.ndarray:
        """Return probabilities: the outputs after the output function that belongs to the loss.

        Softmax for cross_entropy, sigmoid for binary_cross_entropy; nothing if the last layer already
        applies it. A network that was never trained takes softmax, or sigmoid for one output.

        Returns
        -------
        ndarray, shape (n, n_outputs)

        Raises
        ------
        OptionError
            If the network was trained with a loss that has no probabilities.

        Examples
        --------
        >>> net = minidl.MLP([2, 4], init="zeros", seed=0)
        >>> net.predict_proba([[1.0, 2.0]])
        array([[0.25, 0.25, 0.25, 0.25]], dtype=float32)
        """
        return prediction.probabilities(self, self.predict(X, check_finite=check_finite, n_threads=n_threads))

    def evaluate(
        self, X, y, *, loss=None, sample_weight=None, check_finite=True, n_threads=None
    ) -> dict[str, float]:
        """Return the mean loss, and the accuracy for a classifier's loss.

        Parameters and errors as for :meth:`fit`. The loss is weighted by sample_weight; the accuracy
        counts rows.

        Examples
        --------
        >>> net = minidl.MLP([2, 3], init="zeros", seed=0)
        >>> net.evaluate([[1.0, 2.0]], [0], loss="cross_entropy")
        {'loss': 1.098612..., 'accuracy': 1.0}
        """
        training.check_threads(n_threads)
        self._require_data("evaluate")
        chosen = self.training.choose_loss(loss)
        data = training.prepare(self, X, y, chosen, sample_weight, check_finite)
        self.build(data.x.shape[1])
        return training.evaluate(self, data, n_threads, chosen)

    def walk(self, X) -> Iterator[tuple[LayerSpec, np.ndarray]]:
        """Go through the network and stop before each layer that has a weight.

        A layer is computed when the walk goes on, with the parameters of that moment: who changes a layer on
        the way sees the effect on the next ones, in one pass.

        Parameters
        ----------
        X : array_like, shape (n, n_inputs)

        Yields
        ------
        spec : LayerSpec
            Description of the layer; its parameters are ``net.params[f"{spec.path}.weight"]`` and "bias".
        x : ndarray, shape (n, fan_in)
            What goes into it: the bits that predict computes.

        Examples
        --------
        >>> net = minidl.MLP([4, 8, 3], seed=0)
        >>> [(spec.path, x.shape) for spec, x in net.walk(np.ones((5, 4)))]
        [('0', (5, 4)), ('1', (5, 8))]
        """
        self._require_data("walk")
        x = as_features(X, self.dtype, self.n_inputs if self.built else self.declared_inputs)
        self.build(x.shape[1])
        return walk.walk(self, x)

    def preactivations(self, X) -> dict[str, np.ndarray]:
        """Return by path what each layer with a weight computes before its activation, z = x W + b.

        Parameters
        ----------
        X : array_like, shape (n, n_inputs)

        Returns
        -------
        dict of str to ndarray, shapes (n, fan_out)

        Examples
        --------
        >>> net = minidl.MLP([4, 8, 3], seed=0)
        >>> X = np.ones((5, 4))
        >>> z = net.preactivations(X)
        >>> z["0"].shape, bool(np.all(z["1"] == net.predict(X)))
        ((5, 8), True)
        """
        return {spec.path: walk.preactivation(self, spec.path, x) for spec, x in self.walk(X)}

    def astype(self, dtype: str) -> Sequential:
        """Return a copy of the network with parameters of another dtype, rounded; training starts anew.

        Parameters
        ----------
        dtype : {"float32", "float64"}

        Examples
        --------
        >>> net = minidl.MLP([4, 3], seed=0)
        >>> twin = net.astype("float64")
        >>> twin.params["0.weight"].dtype, bool(np.all(twin.params["0.weight"] == net.params["0.weight"]))
        (dtype('float64'), True)
        """
        twin = copy.copy(self)
        twin.dtype = float_dtype(dtype).name
        twin.layers = list(self.layers)
        twin.training = training.TrainingState(self.training.loss, self.training.optimizer)
        twin.history = History()
        if self.built:
            layout = Layout(self._params.layout.shapes, twin.dtype)
            twin._params, twin._grads = ParamStore(layout), ParamStore(layout)
            for name, value in self._params.items():
                twin._params[name] = value
        return twin

    # --- looking inside --------------------------------------------------------------------------

    @property
    def program(self) -> Program:
        """The program of one training step: that of the last run, or one for a batch of 32."""
        self._require_built()
        return self._pool.latest("train") or training.program(self, batch=32)

    def summary(self) -> str:
        """Return a table of the layers: shapes, parameters, activation and initializer.

        Examples
        --------
        >>> print(minidl.MLP([4, 8, 3], "relu", seed=0).summary())  # doctest: +ELLIPSIS
        layer...
        """
        from minidl.summary import summary

        return summary(self._require_built())

    def save(self, path) -> None:
        """Write the network to a file; :func:`minidl.load` reads it.

        The file is in the safetensors layout: parameters and optimizer state as tensors, architecture,
        initialization plan and training counters as JSON. It is replaced atomically, and training goes
        on from it exactly.
        """
        from minidl.saving import save

        save(self._require_built(), path)

    # --- programs --------------------------------------------------------------------------------

    def borrow(self, task: Task, batch: int) -> AbstractContextManager[BoundProgram]:
        """Lend a bound program for a task with at most so many rows; two threads never share one."""
        return self._pool.borrow(self, task, batch)

    def being_trained(self) -> AbstractContextManager[None]:
        """Keep a second thread from changing the parameters at the same time."""
        return self._training_lock.held()

    def __getstate__(self) -> dict:
        """Leave the bound programs behind, which hold addresses, and the locks."""
        own = {"_pool": ProgramPool(), "_small_predictor": None, "_training_lock": TrainingLock()}
        return {**self.__dict__, **own}


def _seed(seed: object) -> int:
    if seed is None:
        return int.from_bytes(os.urandom(8), "little")
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or int(seed) < 0:
        raise out_of_range("seed", seed, "an integer >= 0, or None for a random one")
    return int(seed)
