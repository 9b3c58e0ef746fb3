"""Losses: the NumPy twin against PyTorch and closed forms, and what is accepted as targets."""

import json
import pickle

import numpy as np
import pytest

from minidl import losses
from minidl.errors import DataError, DtypeError, OptionError, ShapeError
from minidl.losses import MAE, MSE, BinaryCrossEntropy, CrossEntropy, Huber, Targets

ALL = [
    CrossEntropy(),
    CrossEntropy(label_smoothing=0.1),
    BinaryCrossEntropy(),
    MSE(),
    MAE(),
    Huber(),
    Huber(delta=0.3),
]


def make_case(loss, kind, n, k, seed=0):
    """Return outputs z and targets y of a random batch; some elements of z are exactly y."""
    rng = np.random.default_rng(seed)
    z = 3.0 * rng.standard_normal((n, k))
    if kind == "label":
        return z, rng.integers(0, k, n)
    if kind == "probability":
        return z, rng.dirichlet(np.ones(k), n)
    if loss.link == "sigmoid":
        y = rng.random((n, k))
        y[:: max(n // 3, 1)] = 1.0
        return z, y
    steps = rng.choice([0.0, 0.5, 0.95, 1.0, -1.0, 1.05, 4.0], (n, k))  # about the kinks
    return z, z + getattr(loss, "delta", 1.0) * steps


CASES = [(loss, kind) for loss in ALL for kind in loss.kernel_names]


def torch_rows(loss, z, y):
    """Return PyTorch's row losses as a tensor that knows its gradient."""
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    y = torch.as_tensor(y)
    if isinstance(loss, CrossEntropy):
        return F.cross_entropy(z, y, reduction="none", label_smoothing=loss.label_smoothing)
    function = {
        "binary_cross_entropy": F.binary_cross_entropy_with_logits,
        "mse": F.mse_loss,
        "mae": F.l1_loss,
        "huber": lambda z, y, reduction: F.huber_loss(z, y, reduction, delta=loss.delta),
    }[loss.name]
    return function(z, y, reduction="none").mean(dim=1)


@pytest.mark.parametrize(("loss", "kind"), CASES, ids=str)
@pytest.mark.parametrize("shape", [(1, 2), (5, 3), (17, 10)], ids=str)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_reference_is_that_of_torch(loss, kind, shape, weighted):
    torch = pytest.importorskip("torch")
    z, y = make_case(loss, kind, *shape)
    w = np.random.default_rng(1).random(shape[0]) if weighted else None
    rows, gradient = loss.reference(z, loss.encode(y, shape[1], np.float64), w)

    theirs = torch.tensor(z, requires_grad=True)
    their_rows = torch_rows(loss, theirs, y)
    weights = torch.ones(shape[0], dtype=torch.float64) if w is None else torch.tensor(w)
    ((weights * their_rows).sum() / weights.sum()).backward()
    np.testing.assert_allclose(rows, their_rows.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(gradient, theirs.grad.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("loss", "kind"), CASES, ids=str)
def test_gradient_is_the_slope(loss, kind):
    """Central differences of the batch loss, away from the kinks."""
    z, y = make_case(loss, kind, 4, 3, seed=5)
    if kind == "real":
        z = z + 0.11  # off the kinks at z = y and |z - y| = delta
    target = loss.encode(y, 3, np.float64)
    w = np.array([1.0, 0.0, 2.0, 0.5])

    def batch_loss(z):
        return np.average(loss.reference(z, target)[0], weights=w)

    gradient = loss.reference(z, target, w)[1]
    h = 1e-6
    for index in np.ndindex(z.shape):
        step = np.zeros_like(z)
        step[index] = h
        slope = (batch_loss(z + step) - batch_loss(z - step)) / (2 * h)
        assert gradient[index] == pytest.approx(slope, abs=1e-8)


@pytest.mark.parametrize(("loss", "kind"), CASES, ids=str)
def test_weight_zero_removes_a_row_and_two_repeats_it(loss, kind):
    z, y = make_case(loss, kind, 6, 4)
    w = np.array([1.0, 0.0, 2.0, 1.0, 0.0, 1.0])
    rows = np.repeat(np.arange(6), w.astype(int))
    _, weighted = loss.reference(z, y, w)
    _, repeated = loss.reference(z[rows], y[rows])
    summed = np.zeros_like(z)
    np.add.at(summed, rows, repeated)
    np.testing.assert_allclose(weighted, summed, rtol=1e-14, atol=1e-16)
    assert not loss.reference(z, y, np.zeros(6))[1].any()


def test_closed_forms():
    rows, gradient = CrossEntropy().reference(np.zeros((2, 4)), np.array([0, 3]))
    np.testing.assert_allclose(rows, np.log(4.0), rtol=1e-15)
    np.testing.assert_allclose(gradient[0], np.array([-0.75, 0.25, 0.25, 0.25]) / 2, rtol=1e-15)
    # at the kinks: sign(0) = 0, and both branches of Huber meet
    assert MAE().reference([[2.0]], [[2.0]])[1] == 0.0
    rows, gradient = Huber(delta=2.0).reference([[2.0], [-2.0]], [[0.0], [0.0]])
    np.testing.assert_array_equal(rows, [2.0, 2.0])
    np.testing.assert_array_equal(gradient.ravel(), [1.0, -1.0])
    # a constant added to all logits of a row changes nothing
    z, y = make_case(CrossEntropy(), "label", 5, 3)
    np.testing.assert_allclose(
        CrossEntropy(0.1).reference(z + 100.0, y)[0], CrossEntropy(0.1).reference(z, y)[0]
    )


@pytest.mark.parametrize("size", [1e2, 1e4, 1e300])
def test_large_logits_are_harmless(size):
    z = np.array([[size, -size], [-size, size]])
    rows, gradient = CrossEntropy().reference(z, np.array([0, 0]))
    np.testing.assert_allclose(rows, [0.0, 2 * size], rtol=1e-15)
    np.testing.assert_allclose(gradient, [[0, 0], [-0.5, 0.5]], atol=1e-40)
    rows, gradient = BinaryCrossEntropy().reference(z, np.array([[1.0, 0.0], [1.0, 1.0]]))
    np.testing.assert_allclose(rows, [0.0, size / 2], atol=1e-40)
    np.testing.assert_allclose(gradient, [[0, 0], [-0.25, 0]], atol=1e-40)


@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_no_rows_no_gradient(loss):
    y = np.zeros(0, dtype=np.int64) if loss.link == "softmax" else np.zeros((0, 3))
    rows, gradient = loss.reference(np.zeros((0, 3)), y)
    assert rows.shape == (0,)
    assert gradient.shape == (0, 3)


# --- what is accepted ---


@pytest.mark.parametrize(
    "y",
    [
        [0, 2, 1],
        np.array([[0], [2], [1]]),
        np.array([0, 2, 1], dtype=np.uint8),
        np.array([0, 9, 2, 9, 1, 9], dtype=np.int32)[::2],
        np.array([0, 2, 1], dtype=">i4"),
    ],
    ids=["list", "column", "uint8", "strided", "big-endian"],
)
def test_labels(y):
    array, kind = CrossEntropy().encode(y, 3, np.float32)
    assert kind == "label"
    assert array.dtype == np.int64
    assert array.dtype.isnative
    assert array.flags.c_contiguous
    np.testing.assert_array_equal(array, [0, 2, 1])


def test_bool_labels():
    array, _ = CrossEntropy().encode(np.array([True, False]), 2, np.float32)
    np.testing.assert_array_equal(array, [1, 0])


def test_arrays_in_the_right_form_are_not_copied():
    labels = np.array([0, 1, 1])
    assert np.shares_memory(CrossEntropy().encode(labels, 2, np.float32).array, labels)
    rows = np.full((3, 2), 0.5, dtype=np.float32)
    rows.flags.writeable = False
    for loss in (CrossEntropy(), BinaryCrossEntropy(), MSE()):
        assert np.shares_memory(loss.encode(rows, 2, "float32").array, rows)
        assert loss.encode(rows, 2, "float64").array.dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), MSE(), MAE(), Huber()], ids=repr)
def test_real_targets_get_unit_column_stride(loss, dtype):
    plain = np.array([0.0, 1.0, 0.25, 0.5], dtype=dtype)
    several = np.stack([plain, plain, plain], axis=1)
    cases = [
        (plain, 1),
        (plain[:, np.newaxis], 1),
        (np.stack([plain, plain])[:1].T, 1),
        (plain[::-1], 1),
        (plain[:1], 1),
        (plain.tolist(), 1),
        (several, 3),
        (np.asfortranarray(several), 3),
        (several[:, ::-1], 3),
        (several.astype(">f8"), 3),
        (several > 0.4, 3),
        (several.round().astype(int), 3),
    ]
    for y, k in cases:
        array, kind = loss.encode(y, k, dtype)
        assert kind == "real"
        assert array.dtype == dtype
        assert array.dtype.isnative
        assert array.shape == (len(y), k)
        assert array.strides == (k * array.itemsize, array.itemsize)
        np.testing.assert_array_equal(array, np.asarray(y).reshape(array.shape))


def test_probability_targets():
    one_hot = np.eye(3, dtype=int)[[0, 2, 1]]
    array, kind = CrossEntropy().encode(one_hot, 3, np.float32)
    assert kind == "probability"
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, one_hot)
    soft = np.random.default_rng(0).dirichlet(np.ones(1000), 50).astype(np.float32)
    CrossEntropy().encode(soft, 1000, np.float32)
    # both kinds mean the same
    z, y = make_case(CrossEntropy(), "label", 5, 3)
    for a, b in zip(
        CrossEntropy(0.2).reference(z, y), CrossEntropy(0.2).reference(z, np.eye(3)[y]), strict=True
    ):
        np.testing.assert_array_equal(a, b)


# --- what is refused ---

CE, BCE, REAL = CrossEntropy(), BinaryCrossEntropy(), MSE()


@pytest.mark.parametrize(
    ("loss", "y", "k", "error", "text"),
    [
        (CE, [0.0, 1.0], 2, DtypeError, r"got float labels.*y\.astype\(int\).*one-hot"),
        (CE, [[0.0], [1.0]], 2, DtypeError, "got float labels"),
        (CE, [0, 1, 3, 7], 3, DataError, r"^y\[2\] = 3: expected labels in 0\.\.2.*3 outputs"),
        (CE, [0, -1], 3, DataError, r"^y\[1\] = -1: expected labels in 0\.\.2"),
        (CE, np.array([0, 2**64 - 1], dtype=np.uint64), 3, DataError, r"^y\[1\] = 1844674"),
        (CE, ["cat", "dog"], 2, DtypeError, r"np\.unique\(y, return_inverse=True\)"),
        (CE, np.array([0, None]), 2, DtypeError, r"dtype object.*np\.unique"),
        (CE, np.array(["2020"], dtype="M8[Y]"), 2, DtypeError, "expected numbers"),
        (CE, [1j], 2, DtypeError, "complex128"),
        (CE, [0, 1], 1, ShapeError, "use loss='binary_cross_entropy'"),
        (CE, np.zeros((4, 3)), 5, ShapeError, r"\(4, 3\).*5 outputs.*\(4,\).*\(4, 5\)"),
        (CE, np.zeros((4, 3, 1)), 3, ShapeError, r"\(4, 3, 1\)"),
        (CE, 3, 3, ShapeError, r"shape \(\)"),
        (CE, [], 3, DataError, "y is empty"),
        (CE, [[0.5, 0.5], [0.5, 0.6]], 2, DataError, r"^y\[1\] = \[0.5 0.6\] has sum 1\.1"),
        (CE, [[1, 1], [0, 1]], 2, DataError, r"y\[0\].*loss='binary_cross_entropy'"),
        (CE, [[1.5, -0.5]], 2, DataError, "probabilities >= 0"),
        (CE, [[1.0, 0.0], [np.nan, 1.0]], 2, DataError, r"^y\[1\] = .*finite"),
        (BCE, [0, 2], 1, DataError, r"^y\[1\] = 2: expected values in \[0, 1\]"),
        (BCE, [[0, 1], [-1, 1]], 2, DataError, r"^y\[1\] = \[-1  1\]: .*y > 0"),
        (BCE, [0, 1], 2, ShapeError, r"\(2,\).*expected \(2, 2\).*loss='cross_entropy'"),
        (BCE, [0.0, np.nan], 1, DataError, r"^y\[1\] = nan: expected finite"),
        (BCE, [], 1, DataError, "empty"),
        (REAL, [0.0, 1.0], 2, ShapeError, r"\(2,\).*2 outputs: expected \(2, 2\)"),
        (REAL, [[0.0, 1.0]], 1, ShapeError, r"1 output: expected \(1, 1\) or \(1,\)"),
        (REAL, np.zeros((5, 3)), 2, ShapeError, r"\(5, 3\).*\(5, 2\) for loss='mse'"),
        (REAL, [[0.0, 1.0], [2.0]], 2, ShapeError, "different lengths"),
        (REAL, [1.0, np.inf], 1, DataError, r"^y\[1\] = inf: expected finite"),
        (REAL, [1.0, 1e300], 1, DataError, r"^y\[1\] = 1\.?e\+300: .*range of float32"),
        (REAL, ["1.0"], 1, DtypeError, "expected numbers"),
    ],
)
def test_bad_targets(loss, y, k, error, text):
    with pytest.raises(error, match=text):
        loss.encode(y, k, np.float32)


def test_a_long_bad_row_is_shown_in_brief():
    y = np.full((3, 5000), 1e-9)
    with pytest.raises(DataError) as caught:
        CE.encode(y, 5000, np.float32)
    assert len(str(caught.value)) < 400


# --- the table ---


def test_get():
    names = {
        "cross_entropy": CE,
        "binary_cross_entropy": BCE,
        "bce": BCE,
        "mse": MSE(),
        "mean_squared_error": MSE(),
        "mae": MAE(),
        "mean_absolute_error": MAE(),
        "huber": Huber(1.0),
    }
    for name, loss in names.items():
        assert losses.get(name) == loss
        assert losses.get(loss) is loss
    with pytest.raises(OptionError, match=r"loss='crossentropy'.*Did you mean 'cross_entropy'"):
        losses.get("crossentropy")
    for bad in (None, MSE, 3, ["mse"]):
        with pytest.raises(OptionError, match=r"^loss="):
            losses.get(bad)


def test_attributes():
    table = {loss.name: (loss.link, loss.metric) for loss in ALL}
    assert table == {
        "cross_entropy": ("softmax", "accuracy"),
        "binary_cross_entropy": ("sigmoid", "accuracy"),
        "mse": ("identity", None),
        "mae": ("identity", None),
        "huber": ("identity", None),
    }
    assert CrossEntropy(0.1).params == (0.1,)
    assert Huber(2).params == (2.0,)
    assert MSE().params == MAE().params == BinaryCrossEntropy().params == ()
    assert CE.kernel_names == {
        "label": "cross_entropy_label",
        "probability": "cross_entropy_probability",
    }


@pytest.mark.parametrize("loss", ALL, ids=repr)
def test_losses_are_values(loss):
    record = json.loads(json.dumps(loss.to_dict()))
    for twin in (pickle.loads(pickle.dumps(loss)), losses.from_dict(record), eval(repr(loss))):
        assert twin == loss
        assert hash(twin) == hash(loss)
    assert MSE() != MAE()
    with pytest.raises(AttributeError):
        loss.delta = 3.0


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: CrossEntropy(label_smoothing=1.0), r"^label_smoothing=1\.0"),
        (lambda: CrossEntropy(label_smoothing=-0.1), "^label_smoothing="),
        (lambda: CrossEntropy(label_smoothing="0.1"), "^label_smoothing="),
        (lambda: Huber(delta=0), "^delta=0"),
        (lambda: Huber(delta=float("nan")), "^delta=nan"),
        (lambda: Huber(delta=True), "^delta=True"),
        (lambda: losses.from_dict({"name": "hinge"}), "loss='hinge' is unknown"),
        (lambda: losses.from_dict({"name": "mse", "delta": 1.0}), "no option 'delta'"),
    ],
)
def test_bad_options(make, text):
    with pytest.raises(OptionError, match=text):
        make()


def test_targets_or_array():
    z, y = make_case(MSE(), "real", 4, 1)
    a = MSE().reference(z, Targets(y, "real"))
    b = MSE().reference(z, y[:, 0])
    np.testing.assert_array_equal(a[1], b[1])
