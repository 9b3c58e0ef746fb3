"""Every mistake gives one clear error that names the argument, and nothing is half-changed after it."""

import numpy as np
import pytest

import minidl
from minidl import MLP, SGD, Activation, Dense, Sequential, losses, schedules
from minidl.errors import (
    DataError,
    DtypeError,
    FileFormatError,
    MinidlError,
    OptionError,
    ShapeError,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 4))
Y = np.arange(12) % 3
ONE_HOT = np.eye(3)[Y]


def bad_x(value, row=5, column=2):
    changed = X.copy()
    changed[row, column] = value
    return changed


def state(net):
    """Everything that a call may change, as values."""
    training = net.training
    velocity = training.velocity
    return (
        net.params.flat.tobytes(),
        net.seed,
        training.loss,
        training.optimizer,
        training.steps,
        training.epochs,
        training.velocity_steps,
        None if velocity is None else velocity.flat.tobytes(),
        net.history.rows,
        net.built,
    )


@pytest.fixture
def net():
    """A network in the middle of its training, with a velocity."""
    net = MLP([4, 8, 3], "tanh", seed=0)
    net.fit(X, Y, optimizer=SGD(lr=0.1, momentum=0.9), epochs=2, batch_size=5, verbose=0)
    return net


# What is passed to fit, train_step, gradients and evaluate; the error; what its message says.
DATA = {
    "feature count": (X[:, :3], Y, {}, ShapeError, "X has 3 features.*expected 4"),
    "one dimension": (X[0], Y[:1], {}, ShapeError, r"X has shape \(4,\): expected 2-D.*X\[None, :\]"),
    "three dimensions": (X[:, :, None], Y, {}, ShapeError, r"X has shape \(12, 4, 1\): expected 2-D"),
    "no rows": (X[:0], Y[:0], {}, DataError, r"X has shape \(0, 4\): expected at least one row"),
    "lengths": (X, Y[:11], {}, ShapeError, "X has 12 rows and y has 11"),
    "no sequence": (X, 3, {}, ShapeError, "y is 3: expected one row per sample"),
    "objects": (X.astype(object), Y, {}, DtypeError, "X has dtype object: expected numbers"),
    "strings": (X.astype(str), Y, {}, DtypeError, "X has dtype <U.*: expected numbers"),
    "complex": (X + 1j, Y, {}, DtypeError, "X has dtype complex128: expected numbers"),
    "ragged": ([[1, 2, 3, 4], [1]], Y[:2], {}, ShapeError, "X cannot be made an array"),
    "nan": (bad_x(np.nan), Y, {}, DataError, r"X\[5, 2\] is nan; 1 of 48 entries are not finite"),
    "infinity": (bad_x(-np.inf), Y, {}, DataError, r"X\[5, 2\] is -inf.*check_finite=False"),
    "too large": (bad_x(1e39), Y, {}, DataError, r"X\[5, 2\] is 1e\+39, too large for float32"),
    "label too large": (X, Y + 1, {}, DataError, r"y\[2\] = 3: expected labels in 0..2.*3 outputs"),
    "label negative": (X, Y - 1, {}, DataError, r"y\[0\] = -1: expected labels in 0..2"),
    "float labels": (X, Y.astype(float), {}, DtypeError, r"float labels.*y.astype\(int\)"),
    "named classes": (X, Y.astype(str), {}, DtypeError, "y has dtype <U.*: expected numbers"),
    "object targets": (X, Y.astype(object), {}, DtypeError, "y has dtype object: expected numbers"),
    "columns": (X, ONE_HOT[:, :2], {}, ShapeError, r"y has shape \(12, 2\).*3 outputs.*\(12, 3\)"),
    "no distribution": (X, ONE_HOT * 2, {}, DataError, r"y\[0\] .* has sum 2: expected .* sum 1"),
    "negative probability": (X, ONE_HOT - [[1, 0, 0]], {}, DataError, "expected probabilities >= 0"),
    "labels for mse": (X, Y, {"loss": "mse"}, ShapeError, r"expected \(12, 3\) for loss='mse'"),
    "nan target": (X, ONE_HOT * np.nan, {"loss": "mse"}, DataError, r"y\[0\] = .*finite numbers"),
    "bce range": (X, ONE_HOT * 2, {"loss": "bce"}, DataError, r"y\[0\] .*expected values in \[0, 1\]"),
    "unknown loss": (X, Y, {"loss": "cros_entropy"}, OptionError,
                     "loss='cros_entropy' is unknown. Did you mean 'cross_entropy'"),
    "loss is no name": (X, Y, {"loss": 3}, OptionError, "loss=3 is unknown"),
    "weight shape": (X, Y, {"sample_weight": np.ones(11)}, ShapeError,
                     r"sample_weight has shape \(11,\): expected \(12,\)"),
    "weight sign": (X, Y, {"sample_weight": -np.ones(12)}, DataError,
                    r"sample_weight\[0\] is -1.0: expected weights >= 0"),
    "weight zero": (X, Y, {"sample_weight": np.zeros(12)}, DataError, "sample_weight is 0 everywhere"),
    "weight nan": (X, Y, {"sample_weight": np.full(12, np.nan)}, DataError,
                   r"sample_weight\[0\] is nan"),
    "no threads": (X, Y, {"n_threads": 0}, OptionError, "n_threads=0: expected an integer from 1 to 1024"),
    "half a thread": (X, Y, {"n_threads": 0.5}, OptionError, "n_threads=0.5: expected an integer"),
}  # fmt: skip


@pytest.mark.parametrize("method", ["fit", "train_step", "gradients", "evaluate"])
@pytest.mark.parametrize("case", DATA)
def test_bad_data(net, case, method):
    x, y, options, error, words = DATA[case]
    before, grads = state(net), net.grads.flat.tobytes()
    extra = {"verbose": 0, "batch_size": 5} if method == "fit" else {}
    with pytest.raises(error, match=words) as caught:
        getattr(net, method)(x, y, **options, **extra)
    assert isinstance(caught.value, MinidlError)
    assert "\n" not in str(caught.value)
    assert state(net) == before
    assert net.grads.flat.tobytes() == grads


class Broken:
    """A callback without its methods."""


# Options of fit.
OPTIONS = {
    "lr": (lambda: {"optimizer": SGD(lr=0)}, "lr=0: expected a finite number > 0"),
    "lr sign": (lambda: {"optimizer": SGD(lr=-0.1)}, "lr=-0.1: expected a finite number > 0"),
    "lr nan": (lambda: {"optimizer": SGD(lr=np.nan)}, "lr=nan: expected a finite number > 0"),
    "lr text": (lambda: {"optimizer": SGD(lr="0.1")}, "lr='0.1'"),
    "momentum": (lambda: {"optimizer": SGD(momentum=1.0)}, r"momentum=1.0: expected .* \[0, 1\)"),
    "nesterov": (lambda: {"optimizer": SGD(nesterov=True)}, "nesterov=True needs momentum > 0"),
    "decay": (lambda: {"optimizer": SGD(weight_decay=-1)}, "weight_decay=-1: expected"),
    "optimizer": (lambda: {"optimizer": "sgdd"}, "optimizer='sgdd' is unknown. Did you mean 'sgd'"),
    "optimizer type": (lambda: {"optimizer": 0.1}, "optimizer=0.1: expected an SGD"),
    "smoothing": (lambda: {"loss": losses.CrossEntropy(label_smoothing=1)}, "label_smoothing=1"),
    "batch_size": (lambda: {"batch_size": 0}, "batch_size=0: expected an integer >= 1"),
    "batch_size type": (lambda: {"batch_size": 2.5}, "batch_size=2.5: expected an integer >= 1"),
    "epochs": (lambda: {"epochs": 0}, "epochs=0: expected an integer >= 1"),
    "epochs type": (lambda: {"epochs": True}, "epochs=True: expected an integer >= 1"),
    "verbose": (lambda: {"verbose": 7}, r"verbose=7: expected 0 \(silent\) or 1"),
    "validation": (lambda: {"validation_data": X}, r"validation_data: expected \(X, y\).*got ndarray"),
    "validation 1": (lambda: {"validation_data": (X,)}, r"validation_data: expected \(X, y\)"),
    "validation X": (lambda: {"validation_data": (X[:, :2], Y)}, "validation X has 2 features"),
    "validation y": (lambda: {"validation_data": (X, Y + 1)}, r"y\[2\] = 3: expected labels"),
    "two validations": (lambda: {"validation_data": (X, Y), "validation_split": 0.2},
                        "validation_data and validation_split exclude each other"),
    "split": (lambda: {"validation_split": 1.5}, "=1.5: expected a number between 0 and 1"),
    "split sign": (lambda: {"validation_split": -0.5}, "=-0.5: expected a number between 0 and 1"),
    "split empty": (lambda: {"validation_split": 0.01}, "leaves 12 for training and 0 for validation"),
    "patience": (lambda: {"early_stopping": 0}, "early_stopping=0: expected an integer >= 1"),
    "not monitored": (lambda: {"early_stopping": 3}, "monitor='val_loss' is not recorded.*validation"),
    "callbacks": (lambda: {"callbacks": [Broken()]}, "callbacks holds .*expected objects with"),
    "schedule": (lambda: {"optimizer": SGD(lr=lambda step: -1.0)}, r"lr\(step 6\)=-1.0: expected"),
    "schedule range": (lambda: {"optimizer": SGD(lr=schedules.Cosine(0.1, steps=0))}, "steps=0"),
}  # fmt: skip


@pytest.mark.parametrize("case", OPTIONS)
def test_bad_options_of_fit(net, case):
    make, words = OPTIONS[case]
    before = state(net)
    with pytest.raises(MinidlError, match=words) as caught:
        net.fit(X, Y, **{"verbose": 0, **make()})
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)
    assert state(net) == before
    net.fit(X, Y, verbose=0)  # and training goes on
    assert net.training.epochs == 3


def test_unknown_keywords_are_refused(net):
    with pytest.raises(TypeError, match="batchsize"):
        net.fit(X, Y, batchsize=3)
    with pytest.raises(TypeError, match="learning_rate"):
        SGD(learning_rate=0.1)


# Networks that cannot be made.
NETWORKS = {
    "activation": (lambda: MLP([4, 3, 2], "rellu"), OptionError, "'rellu' is unknown. Did you mean 'relu'"),
    "activation type": (lambda: Dense(3, 7), OptionError, "activation=7 is unknown"),
    "parameters": (lambda: Dense(3, "relu(1)"), OptionError, "activation 'relu' takes no parameters"),
    "init": (lambda: MLP([4, 2], init="he_norma"), OptionError, "init='he_norma' is unknown. Did you mean"),
    "init arguments": (lambda: Dense(3, init="he(gain=1)"), OptionError, "init='he"),
    "init type": (lambda: MLP([4, 2], init=3), OptionError, "init=3: expected a name"),
    "init shape": (lambda: MLP([4, 2], init=np.ones((3, 2))), ShapeError, r"\(3, 2\).*\(4, 2\)"),
    "seed": (lambda: MLP([4, 2], seed=-1), OptionError, "seed=-1: expected an integer >= 0"),
    "seed type": (lambda: MLP([4, 2], seed=1.5), OptionError, "seed=1.5: expected an integer >= 0"),
    "dtype": (lambda: MLP([4, 2], dtype="float16"), DtypeError, "dtype='float16': expected 'float32'"),
    "dtype none": (lambda: MLP([4, 2], dtype=None), DtypeError, "dtype=None: expected 'float32'"),
    "softmax inside": (lambda: MLP([4, 3, 2], "softmax"), OptionError,
                       r"layers\[0\]: softmax .* last layer only"),
    "softmax twice": (lambda: Sequential([layer := Dense(3, "softmax"), layer]), OptionError,
                      r"layers\[0\]: softmax .* last layer only"),
    "softmax layer": (lambda: Sequential([Dense(3), Activation("softmax"), Dense(2)]), OptionError,
                      r"layers\[1\]: softmax .* last layer only"),
    "no layers": (lambda: Sequential([]), ShapeError, "layers is empty: .* at least one layer"),
    "no layer": (lambda: Sequential([Dense(3), "relu"]), OptionError,
                 r"layers\[1\]: expected a layer such as .*got str"),
    "one size": (lambda: MLP([4]), ShapeError, r"sizes=\[4\]: expected at least an input and an output"),
    "size zero": (lambda: MLP([4, 0]), OptionError, r"sizes\[1\]=0: expected an integer >= 1"),
    "size type": (lambda: MLP([4, 2.0]), OptionError, r"sizes\[1\]=2.0: expected an integer >= 1"),
    "units": (lambda: Dense(-3), OptionError, "units=-3: expected an integer >= 1"),
    "units type": (lambda: Dense("10"), OptionError, "units='10': expected an integer >= 1"),
    "n_inputs": (lambda: Sequential([Dense(3)], n_inputs=0), OptionError, "n_inputs=0: expected"),
    "threads": (lambda: minidl.set_num_threads(0), OptionError, "num_threads=0: expected an integer from 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", NETWORKS)
def test_networks_that_cannot_be(case):
    make, error, words = NETWORKS[case]
    with pytest.raises(error, match=words):
        make()


def test_predict(net):
    before = state(net)
    for bad, error, words in (
        (X[:, :3], ShapeError, "X has 3 features.*expected 4"),
        (X[0], ShapeError, r"X has shape \(4,\): expected 2-D"),
        (X[:0], DataError, "expected at least one row"),
        (X.astype(str), DtypeError, "X has dtype"),
    ):
        with pytest.raises(error, match=words):
            net.predict(bad)
        with pytest.raises(error, match=words):
            net.predict_proba(bad)
    with pytest.raises(DataError, match=r"X\[5, 2\] is nan"):
        net.predict(bad_x(np.nan), check_finite=True)
    with pytest.raises(OptionError, match="n_threads=-1: expected an integer from 1 to 1024"):
        net.predict(X, n_threads=-1)
    assert state(net) == before
    spoilt = net.predict(bad_x(np.nan))  # by default NaN goes through, and stays in its row
    assert np.isnan(spoilt[5]).all()
    np.testing.assert_array_equal(np.delete(spoilt, 5, 0), np.delete(net.predict(X), 5, 0))


def test_check_finite_can_be_switched_off():
    net = MLP([4, 8, 3], "hard_tanh", seed=0)
    assert np.isfinite(net.evaluate(bad_x(np.inf), Y, check_finite=False)["loss"])
    assert np.isnan(net.evaluate(bad_x(np.nan), Y, check_finite=False)["loss"])
    assert np.isnan(net.gradients(bad_x(np.nan), Y, check_finite=False))
    before = net.params.flat.copy()
    with pytest.raises(minidl.errors.DivergenceError, match="epoch 1, step 1: the loss became NaN"):
        net.fit(bad_x(np.nan), Y, check_finite=False, verbose=0)
    np.testing.assert_array_equal(net.params.flat, before)


def test_before_the_width_is_known():
    net = Sequential([Dense(5, "relu"), Dense(3)], seed=0)
    for attribute in ("params", "grads", "program"):
        with pytest.raises(ShapeError, match=r"no parameters yet.*n_inputs=.*net.build\(n_inputs\)"):
            getattr(net, attribute)
    for method in (net.summary, net.init_plan, lambda: net.save("never-written.safetensors")):
        with pytest.raises(ShapeError, match="no parameters yet"):
            method()
    for bad in ((X, Y + 1), (X, Y[:3]), (bad_x(np.nan), Y)):  # a failed call must not fix the width
        with pytest.raises(MinidlError):
            net.fit(*bad, verbose=0)
        assert not net.built
    assert net.predict(X).shape == (12, 3)  # the first data decide
    with pytest.raises(ShapeError, match=r"X has 2 features.*expected 4"):
        net.predict(X[:, :2])
    with pytest.raises(ShapeError, match="built for 4 inputs, got 7"):
        net.build(7)


def test_losses_and_outputs_that_do_not_fit(net):
    one = MLP([4, 1], seed=0)
    with pytest.raises(ShapeError, match=r"needs one output per class.*binary_cross_entropy"):
        one.fit(X, Y, verbose=0)
    one.fit(X, Y.astype(float), loss="mse", verbose=0)
    with pytest.raises(OptionError, match=r"predict_proba: .*loss='mse'.*use predict"):
        one.predict_proba(X)
    with pytest.raises(ShapeError, match=r"0.bias: expected shape \(8,\), got \(3,\)"):
        net.params["0.bias"] = np.zeros(3)
    with pytest.raises(KeyError, match=r"parameter='0.weigth' is unknown. Did you mean '0.weight'"):
        net.params["0.weigth"]


def test_files_that_cannot_be_loaded(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*missing.safetensors"):
        minidl.load(tmp_path / "missing.safetensors")
    for name, content in (("empty", b""), ("text", b"import os; os.abort()"), ("zip", b"PK\3\4" * 9)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FileFormatError, match=f"{name}: expected .*found"):
            minidl.load(tmp_path / name)
