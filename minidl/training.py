"""The training loop: epochs, order of the rows, validation, callbacks, interruption, divergence."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from minidl import losses, optim
from minidl.callbacks import CallbackList, Run
from minidl.data import as_features, as_sample_weight, check_same_length, split_validation
from minidl.engine.builder import Program
from minidl.engine.params import ParamStore, lies_well
from minidl.engine.program import BAD_GRADIENT, BAD_LOSS, BAD_UPDATE
from minidl.errors import DataError, DivergenceError, OptionError
from minidl.history import History
from minidl.init.streams import Stream
from minidl.kernels import threads
from minidl.lowering import Task, lower, output_width, parameter_shapes
from minidl.options import count
from minidl.progress import Progress


@dataclass
class TrainingState:
    """What training leaves behind besides the parameters, so that it can go on exactly.

    Attributes
    ----------
    loss, optimizer
        Those of the last call.
    steps, epochs : int
        Updates and epochs so far; the schedule and the order of the rows depend on them.
    velocity : ParamStore or None
    velocity_steps : int
        Updates since the velocity was zero.
    lr_factors : tuple of float or None
        Those of the optimizer for this network, see :meth:`minidl.SGD.lr_factors`; None: not known yet.
    """

    loss: losses.Loss | None = None
    optimizer: optim.SGD | None = None
    steps: int = 0
    epochs: int = 0
    velocity: ParamStore | None = None
    velocity_steps: int = 0
    lr_factors: tuple[float, ...] | None = None

    def choose_loss(self, loss) -> losses.Loss:
        """Return the loss of a call; None means the last one, at first cross_entropy."""
        return losses.get(loss if loss is not None else self.loss or "cross_entropy")

    def choose_optimizer(self, net, optimizer, n_steps: int) -> optim.SGD:
        """Return the optimizer of a call, its next learning rates checked; None means the last one."""
        chosen = optim.get(optimizer if optimizer is not None else self.optimizer or optim.SGD())
        chosen.learning_rates(self.steps, n_steps)
        if chosen.lr_multipliers != "init" and chosen != self.optimizer:
            chosen.lr_factors(dict.fromkeys(parameter_shapes(net.layers, 1), 1.0))  # all patterns match
        return chosen

    def use(self, net, loss: losses.Loss, optimizer: optim.SGD) -> None:
        """Take the loss and the optimizer of a call.

        Another optimizer than the last one starts with a velocity of zero; the same one goes on.
        """
        if optimizer != self.optimizer or self.lr_factors is None:
            self.lr_factors = optimizer.lr_factors(net.lr_multipliers())
        self.loss = loss
        if optimizer != self.optimizer:
            self.optimizer, self.velocity, self.velocity_steps = optimizer, None, 0
        if optimizer.needs_velocity and self.velocity is None:
            self.velocity = ParamStore(net.params.layout)

    def count(self, steps: int) -> None:
        """Note completed updates."""
        self.steps += steps
        self.velocity_steps += steps


@dataclass
class Data:
    """Checked arrays: features, encoded targets, and weights if there are any."""

    x: np.ndarray
    target: np.ndarray
    kind: str
    weight: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.x)

    def lent(self) -> dict[str, np.ndarray]:
        """Return the arrays by the names of the buffers of a program."""
        arrays = {"x": self.x, "target": self.target}
        if self.weight is not None:
            arrays["weight"] = self.weight
        return arrays

    def take(self, rows: np.ndarray) -> Data:
        """Return some of the rows (a copy)."""
        weight = None if self.weight is None else np.ascontiguousarray(self.weight[rows])
        return Data(self.x[rows], np.ascontiguousarray(self.target[rows]), self.kind, weight)

    def total_weight(self) -> float:
        """Return the sum of the weights, or the number of rows."""
        return float(len(self)) if self.weight is None else float(self.weight.sum(dtype=np.float64))


def check_threads(n_threads) -> None:
    """Raise OptionError unless n_threads is None or an integer >= 1."""
    if n_threads is not None:
        threads.check("n_threads", n_threads)


def prepare(net, X, y, loss, sample_weight=None, check_finite=True, n_inputs=None, prefix="") -> Data:
    """Check features, targets and weights, and encode the targets; the network stays as it is."""
    if n_inputs is None:
        n_inputs = net.n_inputs if net.built else net.declared_inputs
    x = as_features(X, net.dtype, n_inputs, argument=f"{prefix}X", check_finite=check_finite)
    check_same_length(x, y)
    targets = loss.encode(y, output_width(net.layers, x.shape[1]), net.dtype)
    weight = None
    if sample_weight is not None:
        weight = as_sample_weight(sample_weight, len(x), net.dtype)
    return Data(x, targets.array, targets.kind, weight)


@dataclass
class Totals:
    """Sums over steps: of weighted losses, of right answers, of weights."""

    results: np.ndarray = field(default_factory=lambda: np.zeros((3, 0)))

    def mean_loss(self, done: int) -> float:
        """Return the mean loss of the first so many steps."""
        loss, weight = np.add.reduce(self.results[0, :done]), np.add.reduce(self.results[2, :done])
        return float(loss / weight) if weight > 0 else float("nan")

    def accuracy(self, done: int, rows: int) -> float:
        """Return the share of right answers; every row counts the same."""
        return float(self.results[1, :done].sum() / rows) if rows else float("nan")


def fit(
    net,
    X,
    y,
    *,
    loss,
    optimizer,
    epochs,
    batch_size,
    shuffle,
    validation_data,
    validation_split,
    sample_weight,
    early_stopping,
    callbacks,
    verbose,
    check_finite,
    n_threads,
) -> History:
    """Train a network; see :meth:`minidl.model.Sequential.fit`."""
    epochs = count("epochs", epochs, 1)
    batch_size = count("batch_size", batch_size, 1)
    check_threads(n_threads)
    state = net.training
    chosen_loss = state.choose_loss(loss)
    if validation_data is not None and validation_split:
        raise OptionError("validation_data and validation_split exclude each other: pass one.")
    listeners = CallbackList(_with_early_stopping(callbacks, early_stopping))
    progress = Progress(verbose)

    data = prepare(net, X, y, chosen_loss, sample_weight, check_finite)
    validation = None
    if validation_data is not None:
        validation = _validation(net, validation_data, chosen_loss, check_finite, data.x.shape[1])
    elif validation_split:
        order = Stream(net.seed, "validation").permutation(len(data))
        kept, held_out = split_validation(len(data), validation_split, order)
        data, validation = data.take(kept), data.take(held_out)
    if data.weight is not None and not data.total_weight() > 0:
        raise DataError("sample_weight: the rows left for training all have weight 0.")

    batch_size = min(batch_size, len(data))
    n_steps = -(-len(data) // batch_size)
    optimizer = state.choose_optimizer(net, optimizer, n_steps)
    net.build(data.x.shape[1])
    history = History()
    metric = chosen_loss.metric
    columns = ["epoch", "loss", *([metric] if metric else [])]
    if validation is not None:
        columns += ["val_loss", *([f"val_{metric}"] if metric else [])]
    run = Run(epochs, n_steps, batch_size, (*columns, "lr", "seconds", "steps"))
    progress.begin(epochs, n_steps)
    try:
        reason = listeners.on_train_begin(net, run)
        # every argument has been checked: from here on the network changes
        initialize(net, data, chosen_loss, optimizer)
        state.use(net, chosen_loss, optimizer)
        net.history = history
        for epoch in range(1, epochs + 1):
            if reason:
                break
            row = _epoch(net, data, epoch, batch_size, shuffle, progress, n_threads)
            if validation is not None:
                scores = evaluate(net, validation, n_threads)
                row |= {f"val_{name}": value for name, value in scores.items()}
            history.append(row)
            progress.epoch_end(row)
            reason = listeners.on_epoch_end(net, row)
        history.stopped_because = reason or f"all {epochs} epochs are done"
    except BaseException as error:
        history.stopped_because = f"{type(error).__name__}: {error}".rstrip(": ")
        raise
    finally:
        progress.close()
        listeners.on_train_end(net, history)
    return history


def initialize(net, data: Data, loss, optimizer) -> None:
    """Run the initializer that waits for data, if there is one; rows of weight 0 do not count."""
    if net.pending_init is None:
        return
    rows = slice(None) if data.weight is None else data.weight > 0
    net.pending_init.fit(net, data.x[rows], data.target[rows], loss=loss, optimizer=optimizer)


def _with_early_stopping(callbacks, early_stopping) -> list:
    from minidl.callbacks import EarlyStopping

    listed = list(CallbackList(callbacks).callbacks)
    if early_stopping is None or early_stopping is False:
        return listed
    if isinstance(early_stopping, EarlyStopping):
        return [*listed, early_stopping]
    if early_stopping is True:
        return [*listed, EarlyStopping()]
    return [*listed, EarlyStopping(patience=count("early_stopping", early_stopping, 1))]


def _validation(net, validation_data, loss, check_finite, n_inputs) -> Data:
    if not isinstance(validation_data, tuple | list) or len(validation_data) not in (2, 3):
        raise OptionError(
            "validation_data: expected (X, y) or (X, y, sample_weight), "
            f"got {type(validation_data).__name__}."
        )
    X, y, *weight = validation_data
    weight = weight[0] if weight else None
    return prepare(net, X, y, loss, weight, check_finite, n_inputs, prefix="validation ")


def _epoch(net, data: Data, epoch: int, batch_size: int, shuffle, progress, n_threads) -> dict:
    """Train one pass over the data and return its row of the history."""
    state = net.training
    n_rows = len(data)
    n_steps = -(-n_rows // batch_size)
    order = None  # rows in order are read where they lie
    if shuffle:
        order = Stream(net.seed, "shuffle", state.epochs).permutation(n_rows)
    elif not lies_well(data.x):
        order = np.arange(n_rows, dtype=np.int64)
    rates = state.optimizer.learning_rates(state.steps, n_steps)
    totals = Totals(np.zeros((3, n_steps)))
    task = Task(
        "train",
        state.loss,
        data.kind,
        data.weight is not None,
        state.velocity is not None,
        gather=order is not None,
        lr_factors=state.lr_factors,
    )
    started = time.perf_counter()
    with net.borrow(task, batch_size) as program:
        program.lend(data.lent())
        done = 0
        while done < n_steps:
            before = done
            try:
                done, status = program.run(
                    n_rows,
                    done,
                    n_steps,
                    totals.results,
                    index=order,
                    lr=rates,
                    sgd=state.optimizer,
                    no_velocity_yet=state.velocity_steps == 0,
                    n_threads=n_threads,
                )
            finally:  # also when a signal handler raised: the parameters have moved
                state.count(program.steps_done - before)
            if status in (BAD_LOSS, BAD_GRADIENT, BAD_UPDATE):
                raise _divergence(net, program, status, n_rows, epoch, done, order, rates)
            progress.update(done, totals.mean_loss(done))
    state.epochs += 1
    row = {"epoch": epoch, "loss": totals.mean_loss(n_steps)}
    if state.loss.metric:
        row[state.loss.metric] = totals.accuracy(n_steps, n_rows)
    row["lr"] = float(rates[-1])
    row["seconds"] = time.perf_counter() - started
    row["steps"] = n_steps
    return row


def _divergence(net, program, status, n_rows, epoch, done, order, rates) -> DivergenceError:
    """Word the error of a step that would have left numbers that are not finite."""
    step = done + (status != BAD_UPDATE)
    if status == BAD_UPDATE:
        largest = max(net.grads, key=lambda name: float(np.abs(net.grads[name]).max(initial=0)))
        layer, what = largest.split(".")[0], f"the update of {largest} overflowed"
    else:
        op = program.first_bad_op(n_rows, done, index=order)
        layer = op.layer if op is not None else "loss"
        part = f"in {op.kind.name} of layer {layer}" if op is not None else "in the sum of the losses"
        noun = "loss" if status == BAD_LOSS else "gradient"
        what = f"the {noun} became NaN or infinite, first {part}"
    rate = rates[min(done, len(rates) - 1)]
    return DivergenceError(
        f"training diverged at epoch {epoch}, step {step}: {what}. The parameters are those of the last "
        f"finite step. Try a learning rate below {rate:g}, features scaled to about unit variance, or "
        "another initialization.",
        epoch=epoch,
        step=step,
        layer=layer,
    )


def train_step(net, X, y, loss, optimizer, sample_weight, check_finite, n_threads) -> float:
    """Make one update; see :meth:`minidl.model.Sequential.train_step`."""
    check_threads(n_threads)
    state = net.training
    chosen_loss = state.choose_loss(loss)
    data = prepare(net, X, y, chosen_loss, sample_weight, check_finite)
    optimizer = state.choose_optimizer(net, optimizer, 1)
    net.build(data.x.shape[1])
    initialize(net, data, chosen_loss, optimizer)
    state.use(net, chosen_loss, optimizer)
    rates = state.optimizer.learning_rates(state.steps, 1)
    task = Task(
        "train",
        state.loss,
        data.kind,
        data.weight is not None,
        state.velocity is not None,
        lr_factors=state.lr_factors,
    )
    results = np.zeros((3, 1))
    with net.borrow(task, len(data)) as program:
        program.lend(data.lent())
        try:
            _, status = program.run(
                len(data),
                0,
                1,
                results,
                lr=rates,
                sgd=state.optimizer,
                no_velocity_yet=state.velocity_steps == 0,
                n_threads=n_threads,
            )
        finally:
            state.count(program.steps_done)
        if status in (BAD_LOSS, BAD_GRADIENT, BAD_UPDATE):
            raise _divergence(net, program, status, len(data), 1, program.steps_done, None, rates)
    return Totals(results).mean_loss(1)


def gradients(net, X, y, loss, sample_weight, check_finite, n_threads) -> float:
    """Fill the gradients of a batch; see :meth:`minidl.model.Sequential.gradients`."""
    check_threads(n_threads)
    chosen_loss = net.training.choose_loss(loss)
    data = prepare(net, X, y, chosen_loss, sample_weight, check_finite)
    net.build(data.x.shape[1])
    results = np.zeros((3, 1))
    task = Task("gradients", chosen_loss, data.kind, data.weight is not None)
    with net.borrow(task, len(data)) as program:
        program.lend(data.lent())
        program.run(len(data), 0, 1, results, n_threads=n_threads)
    return Totals(results).mean_loss(1)


EVALUATION_BATCH = 256  # rows per step where nothing is learnt: activations stay in the L2 cache


def evaluate(net, data: Data, n_threads, loss=None) -> dict[str, float]:
    """Return the loss, and the accuracy if the loss has one, on checked data."""
    loss = loss or net.training.loss
    n_rows = len(data)
    batch = min(n_rows, EVALUATION_BATCH)
    n_steps = -(-n_rows // batch)
    totals = Totals(np.zeros((3, n_steps)))
    task = Task("evaluate", loss, data.kind, data.weight is not None)
    with net.borrow(task, batch) as program:
        program.lend(data.lent())
        done = 0
        while done < n_steps:
            done, _ = program.run(n_rows, done, n_steps, totals.results, n_threads=n_threads)
    scores = {"loss": totals.mean_loss(n_steps)}
    if loss.metric:
        scores[loss.metric] = totals.accuracy(n_steps, n_rows)
    return scores


def program(net, batch: int) -> Program:
    """Return the program of one training step as it would run now; see :attr:`minidl.Sequential.program`."""
    state = net.training
    loss = state.loss or losses.get("cross_entropy" if net.n_outputs > 1 else "mse")
    factors = state.lr_factors
    if factors is None:
        factors = (state.optimizer or optim.SGD()).lr_factors(net.lr_multipliers())
    kind = next(iter(loss.kernel_names))
    has_velocity = state.velocity is not None
    task = Task("train", loss, kind, velocity=has_velocity, gather=True, lr_factors=factors)
    return lower(net.layers, net.n_inputs, net.params.layout, task, batch)
