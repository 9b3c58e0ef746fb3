"""Networks: :class:`Sequential`, and :class:`MLP` for the common case."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from minidl import activations, init, optim, training
from minidl.data import as_features, float_dtype
from minidl.engine.builder import Program
from minidl.engine.params import Layout, ParamStore
from minidl.engine.predict import SMALL_FLOPS, SmallPredictor
from minidl.engine.program import BoundProgram
from minidl.errors import OptionError, ShapeError, out_of_range
from minidl.history import History
from minidl.init.outlook import warn_if_hopeless
from minidl.layers import Activation, Dense, Layer, check_stack
from minidl.lowering import Task, lower, output_width, parameter_shapes
from minidl.options import non_negative

POOLED_PROGRAMS = 8  # bound programs kept per network


class Sequential:
    """A stack of layers.

    Parameters
    ----------
    layers : iterable of Layer
    n_inputs : int, optional
        Width of the input; default: taken from the first data.
    init : Initializer, str, array or callable
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
    >>> net = Sequential([Dense(16, "relu"), Dense(3)], n_inputs=4, seed=0)
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
        _check_initializers(self.layers)
        self.dtype = float_dtype(dtype).name
        self.init = _get_initializer(init)
        self.seed = _seed(seed)
        self.declared_inputs = None if n_inputs is None else _width("n_inputs", n_inputs)
        self.built = False
        self.n_inputs: int | None = None
        self.n_outputs: int | None = None
        self.training = training.TrainingState()
        self.history = History()
        self._pool: list[tuple[Task, BoundProgram]] = []
        self._small_predictor: SmallPredictor | None = None
        self._trainers: dict[int, threading.RLock] = {}  # the lock of each process
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
        n_inputs = _width("n_inputs", n_inputs)
        if self.built:
            if n_inputs != self.n_inputs:
                raise ShapeError(
                    f"the network was built for {self.n_inputs} inputs, got {n_inputs}. "
                    "Pass data with as many features, or make a new network."
                )
            return
        layout = Layout(parameter_shapes(self.layers, n_inputs), self.dtype)
        pairs = list(self._initializers(n_inputs))
        _check_plan(pairs)
        params = ParamStore(layout)
        warn_if_hopeless(pairs, stacklevel=3)
        for spec, initializer in pairs:
            initializer.start.init_layer(
                spec, self.seed, params[f"{spec.path}.weight"], params.get(f"{spec.path}.bias")
            )
        self.n_inputs, self.n_outputs = n_inputs, output_width(self.layers, n_inputs)
        self._params, self._grads = params, ParamStore(layout)
        self.built = True

    def reset(self, seed: int | None = None, init: object = None) -> None:
        """Initialize again and forget all training; with another seed or initializer if one is given."""
        init = self.init if init is None else _get_initializer(init)
        if seed is not None:
            self.seed = _seed(seed)
        self.init = init
        self._expect_data()
        self.training = training.TrainingState()
        self.history = History()
        self._pool.clear()
        self._small_predictor = None
        if self.built:
            self.built = False
            self.build(self.n_inputs)

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
        self.init_report: init.InitReport | None = None

    def _require_data(self, action: str) -> None:
        if self.pending_init is not None:
            raise OptionError(
                f"{action}: init={self.pending_init!r} needs data and has seen none. Train the network with "
                f"net.fit(X, y), or initialize it: {type(self.pending_init).__name__}(...).fit(net, X, y)."
            )

    def _initializers(self, n_inputs: int | None = None) -> Iterator[tuple[init.LayerSpec, init.Initializer]]:
        """The description and the initializer of every layer that has a weight."""
        width = n_inputs or self.n_inputs
        paths = [path for path, layer in enumerate(self.layers) if layer.parameters(1)]
        for path, layer in enumerate(self.layers):
            shapes = layer.parameters(width)
            width = layer.n_outputs(width)
            if "weight" not in shapes:
                continue
            role = "output" if path == paths[-1] else "input" if path == paths[0] else "hidden"
            previous = paths[paths.index(path) - 1] if path != paths[0] else None
            spec = init.LayerSpec(
                path=str(path),
                shape=shapes["weight"],
                use_bias="bias" in shapes,
                activation=str(self._activation_after(path)),
                input_activation="identity" if previous is None else str(self._activation_after(previous)),
                role=role,
                index=paths.index(path),
                depth=len(paths),
            )
            yield spec, layer.init or self.init

    def _activation_after(self, path: int) -> object:
        """The activation that the output of a layer goes through: its own or the next layer's."""
        own = self.layers[path].activation
        following = self.layers[path + 1 : path + 2]
        if own.name == "identity" and following and not following[0].parameters(1):
            return following[0].activation
        return own

    def init_plan(self) -> init.InitPlan:
        """Return per layer: the initializer, why it was chosen, and the variance it predicts.

        Examples
        --------
        >>> net = MLP([784, 256, 10], "relu", seed=0)
        >>> print(net.init_plan())  # doctest: +ELLIPSIS
        layer...
        """
        self._require_built()
        return init.InitPlan.of(self._initializers())

    def lr_multipliers(self) -> dict[str, float]:
        """Return the factors on the learning rate that the initializers require, for each parameter.

        Optimizers use them unless they have their own, see :class:`minidl.SGD`.

        Examples
        --------
        >>> MLP([4, 64, 2], "relu", init="mup(base_width=16)", seed=0).lr_multipliers()
        {'0.weight': 4.0, '0.bias': 4.0, '1.weight': 0.25, '1.bias': 1.0}
        """
        self._require_built()
        factors = dict.fromkeys(self._params, 1.0)
        for spec, initializer in self._initializers():
            for role, factor in initializer.start.lr_multipliers(spec).items():
                name = f"{spec.path}.{role}"
                if name in factors:  # a layer may have no bias
                    factors[name] = non_negative(f"lr_multipliers of {name}", factor)
        return factors

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
            Draw a new order of the rows for each epoch from (seed, number of the epoch).
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
        >>> net = MLP([2, 8, 2], "tanh", seed=1)
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
        >>> net = MLP([2, 8, 1], "tanh", seed=0, dtype="float64")
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
        >>> net = MLP([2, 3], init="zeros", seed=0, dtype="float64")
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
        if self._small_predictor is not None and n_threads is None and not check_finite:
            output = self._small_predictor(X)
            if output is not None:
                return output
        training.check_threads(n_threads)
        self._require_data("predict")
        n_inputs = self.n_inputs if self.built else self.declared_inputs
        x = as_features(X, self.dtype, n_inputs, check_finite=check_finite)
        self.build(x.shape[1])
        n_rows = len(x)
        batch = min(n_rows, training.EVALUATION_BATCH)
        output = np.empty((n_rows, self.n_outputs), self.dtype)
        n_steps = -(-n_rows // batch)
        with self.borrow(Task("predict"), batch) as program:
            program.lend({"x": x, "output": output})
            done = 0
            while done < n_steps:
                done, _ = program.run(n_rows, done, n_steps, None, n_threads=n_threads)
            flops = program.program.flops(1)
        if n_rows * flops <= SMALL_FLOPS:  # the next call like this one will take the short way
            batch = int(min(training.EVALUATION_BATCH, max(1.0, SMALL_FLOPS / max(flops, 1.0))))
            program = lower(self.layers, self.n_inputs, self._params.layout, Task("predict"), batch)
            bound = BoundProgram(program, self._params.flat)
            self._small_predictor = SmallPredictor(bound, self.n_inputs, self.n_outputs)
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
        >>> net = MLP([2, 4], init="zeros", seed=0)
        >>> net.predict_proba([[1.0, 2.0]])
        array([[0.25, 0.25, 0.25, 0.25]], dtype=float32)
        """
        from minidl import kernels

        output = self.predict(X, check_finite=check_finite, n_threads=n_threads)
        trained_with = self.training.loss
        link = trained_with.link if trained_with else "softmax" if self.n_outputs > 1 else "sigmoid"
        if link == "identity":
            raise OptionError(
                f"predict_proba: the network was trained with loss={trained_with.name!r}, whose outputs "
                "are not probabilities; use predict."
            )
        last = self.layers[-1].activation
        if last is not None and last.name == link:
            return output
        if link == "softmax":
            return kernels.softmax(output, out=output)
        return kernels.activation(link, output, out=output)

    def evaluate(
        self, X, y, *, loss=None, sample_weight=None, check_finite=True, n_threads=None
    ) -> dict[str, float]:
        """Return the mean loss, and the accuracy for a classifier's loss.

        Parameters and errors as for :meth:`fit`. The loss is weighted by sample_weight; the accuracy
        counts rows.

        Examples
        --------
        >>> net = MLP([2, 3], init="zeros", seed=0)
        >>> net.evaluate([[1.0, 2.0]], [0], loss="cross_entropy")
        {'loss': 1.098612..., 'accuracy': 1.0}
        """
        training.check_threads(n_threads)
        self._require_data("evaluate")
        chosen = self.training.choose_loss(loss)
        data = training.prepare(self, X, y, chosen, sample_weight, check_finite)
        self.build(data.x.shape[1])
        return training.evaluate(self, data, n_threads, chosen)

    def walk(self, X) -> Iterator[tuple[init.LayerSpec, np.ndarray]]:
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
        >>> net = MLP([4, 8, 3], seed=0)
        >>> [(spec.path, x.shape) for spec, x in net.walk(np.ones((5, 4)))]
        [('0', (5, 4)), ('1', (5, 8))]
        """
        self._require_data("walk")
        x = as_features(X, self.dtype, self.n_inputs if self.built else self.declared_inputs)
        self.build(x.shape[1])
        return self._walk(x)

    def _walk(self, x: np.ndarray) -> Iterator[tuple[init.LayerSpec, np.ndarray]]:
        from minidl import kernels

        specs = {spec.path: spec for spec, _ in self._initializers()}
        for position, layer in enumerate(self.layers):
            path = str(position)
            if type(layer) not in (Dense, Activation):
                raise OptionError(f"layer {path}: a walk knows Dense and Activation, not {layer!r}.")
            if path in specs:
                yield specs[path], x
                x = kernels.matmul(x, self._params[f"{path}.weight"], bias=self._params.get(f"{path}.bias"))
            apply = layer.activation
            x = kernels.softmax(x) if apply.name == "softmax" else kernels.activation(apply, x)

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
        >>> net = MLP([4, 8, 3], seed=0)
        >>> X = np.ones((5, 4))
        >>> z = net.preactivations(X)
        >>> z["0"].shape, bool(np.all(z["1"] == net.predict(X)))
        ((5, 8), True)
        """
        from minidl.kernels import matmul

        return {
            spec.path: matmul(
                x, self._params[f"{spec.path}.weight"], bias=self._params.get(f"{spec.path}.bias")
            )
            for spec, x in self.walk(X)
        }

    def astype(self, dtype: str) -> Sequential:
        """Return a copy of the network with parameters of another dtype, rounded; training starts anew.

        Parameters
        ----------
        dtype : {"float32", "float64"}

        Examples
        --------
        >>> net = MLP([4, 3], seed=0)
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
        for task, bound in reversed(self._pool):
            if task.purpose == "train":
                return bound.program
        from minidl import losses

        loss = self.training.loss or losses.get("cross_entropy" if self.n_outputs > 1 else "mse")
        kind = next(iter(loss.kernel_names))
        factors = self.training.lr_factors
        if factors is None:
            factors = (self.training.optimizer or optim.SGD()).lr_factors(self.lr_multipliers())
        has_velocity = self.training.velocity is not None
        task = Task("train", loss, kind, velocity=has_velocity, gather=True, lr_factors=factors)
        return lower(self.layers, self.n_inputs, self._params.layout, task, 32)

    def summary(self) -> str:
        """Return a table of the layers: shapes, parameters, activation and initializer.

        Examples
        --------
        >>> print(MLP([4, 8, 3], "relu", seed=0).summary())  # doctest: +ELLIPSIS
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

    @contextmanager
    def borrow(self, task: Task, batch: int) -> Iterator[BoundProgram]:
        """Lend a bound program for a task with at most so many rows; two threads never share one."""
        velocity = self.training.velocity.flat if task.velocity else None
        for entry in reversed(self._pool):
            known, bound = entry
            fits = known == task and batch <= bound.program.batch <= 4 * batch
            if fits and bound.arenas["state"] is velocity and bound.is_current():
                try:
                    self._pool.remove(entry)
                except ValueError:  # another thread was faster
                    continue
                break
        else:
            program = lower(self.layers, self.n_inputs, self._params.layout, task, batch)
            bound = BoundProgram(program, self._params.flat, self._grads.flat, velocity)
        bound.batch = batch
        try:
            yield bound
        finally:
            self._pool.append((task, bound))
            del self._pool[:-POOLED_PROGRAMS]

    @contextmanager
    def being_trained(self) -> Iterator[None]:
        """Keep a second thread from changing the parameters at the same time."""
        # a thread that trained in the parent of a forked process is not there to release its lock
        lock = self._trainers.setdefault(os.getpid(), threading.RLock())
        if not lock.acquire(blocking=False):
            raise RuntimeError(
                "this network is being trained in another thread. Threads may predict with one network "
                "at once; to train at once, give each its own (copy.deepcopy(net))."
            )
        try:
            yield
        finally:
            lock.release()

    def __getstate__(self) -> dict:
        """Leave the bound programs behind, which hold addresses, and the locks."""
        return {**self.__dict__, "_pool": [], "_small_predictor": None, "_trainers": {}}


class MLP(Sequential):
    """A multilayer perceptron: dense layers of the given widths with one hidden activation.

    Parameters
    ----------
    sizes : sequence of int
        Widths from input to output, for example [784, 256, 128, 10].
    activation : str or Activation
        Of the hidden layers.
    output_activation : str or Activation
        Of the last layer; "identity" gives logits.
    init, seed, dtype
        As in :class:`Sequential`.
    use_bias : bool

    Examples
    --------
    >>> net = MLP([784, 256, 128, 10], activation="relu", init="auto", seed=0)
    >>> net.params.count
    235146
    """

    def __init__(
        self,
        sizes: Iterable[int],
        activation: object = "relu",
        *,
        output_activation: object = "identity",
        init: object = "auto",
        seed: int | None = None,
        dtype: str = "float32",
        use_bias: bool = True,
    ):
        sizes = [_width(f"sizes[{i}]", n) for i, n in enumerate(sizes)]
        if len(sizes) < 2:
            raise ShapeError(f"sizes={sizes}: expected at least an input and an output width.")
        hidden = activations.get(activation)
        layers = [Dense(n, hidden, use_bias=use_bias) for n in sizes[1:-1]]
        layers.append(Dense(sizes[-1], output_activation, use_bias=use_bias))
        super().__init__(layers, n_inputs=sizes[0], init=init, seed=seed, dtype=dtype)


def _get_initializer(x: object) -> init.Initializer:
    return init.get(x)


def _check_initializers(layers: list[Layer]) -> None:
    """Raise if the initializer of a single layer is one for whole networks."""
    for path, layer in enumerate(layers):
        own = getattr(layer, "init", None)
        if own is not None and own.needs_data:
            raise OptionError(
                f"layers[{path}]: init={own!r} goes through a whole network with data. Give it to the "
                "network: Sequential([...], init=...)."
            )


def _check_plan(pairs: list[tuple[init.LayerSpec, init.Initializer]]) -> None:
    """Raise if an initializer cannot serve its layers, before any of them is filled."""
    served: dict[int, tuple[init.Initializer, list[init.LayerSpec]]] = {}
    for spec, initializer in pairs:
        chosen = initializer.start.resolve(spec)[0]
        if chosen.needs_data:
            raise OptionError(
                f"layer {spec.path}: {chosen!r} goes through a whole network with data and cannot be the "
                "choice for one layer. Give it to the network, with the other initializers as its base."
            )
        served.setdefault(id(initializer), (initializer, []))[1].append(spec)
    for initializer, specs in served.values():
        initializer.check_network(specs)


def _width(name: str, value: object) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < 1:
        raise out_of_range(name, value, "an integer >= 1")
    return int(value)


def _seed(seed: object) -> int:
    if seed is None:
        return int.from_bytes(os.urandom(8), "little")
    if isinstance(seed, bool) or not hasattr(seed, "__index__") or int(seed) < 0:
        raise out_of_range("seed", seed, "an integer >= 0, or None for a random one")
    return int(seed)
