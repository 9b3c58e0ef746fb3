"""Input checks against NumPy, tables against files written here."""

import csv
import io
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minidl.data import (
    as_features,
    as_sample_weight,
    check_same_length,
    float_dtype,
    split_validation,
)
from minidl.errors import DataError, DtypeError, OptionError, ShapeError
from minidl.tables import load_table


def assert_is_layout(array, dtype):
    """What a kernel relies on."""
    size = np.dtype(dtype).itemsize
    assert type(array) is np.ndarray
    assert array.dtype == dtype
    assert array.dtype.isnative
    assert array.flags.aligned
    assert array.ndim == 2
    assert array.strides[1] == size
    assert array.strides[0] >= size * array.shape[1]
    assert array.strides[0] % size == 0


# -------------------------------------------------------------------------------------- as_features


def test_float_dtype():
    for dtype in ("float32", np.float32, np.dtype("f4"), "<f4", ">f4"):
        assert float_dtype(dtype) == np.dtype("float32")
        assert float_dtype(dtype).isnative
    assert float_dtype(float) == np.dtype("float64")
    for dtype in (None, "float16", "int32", "longdouble", "half a float", object, 32):
        with pytest.raises(DtypeError, match="expected 'float32' or 'float64'"):
            float_dtype(dtype)


@st.composite
def views(draw):
    """2-D views with all kinds of steps and orders, of all kinds of real numbers."""
    code = draw(st.sampled_from(["f2", "f4", "f8", ">f4", ">f8", "i1", "u2", "i4", "i8", "?"]))
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))
    base = np.random.default_rng(draw(st.integers(0, 99))).normal(size=shape) * 50
    array = base.astype(code)
    if draw(st.booleans()):
        array = np.asfortranarray(array)
    steps = draw(st.tuples(*[st.sampled_from([1, 2, 3, -1, -2])] * 2))
    return array[:: steps[0], :: steps[1]]


@given(views(), st.sampled_from(["float32", "float64"]))
@settings(max_examples=300, deadline=None)
def test_as_features_keeps_values_and_gives_the_layout(array, dtype):
    before = array.copy()
    result = as_features(array, dtype)
    assert_is_layout(result, dtype)
    np.testing.assert_array_equal(result, array.astype(dtype))
    np.testing.assert_array_equal(array, before)
    fits = (
        array.dtype == dtype
        and array.strides[1] == array.itemsize
        and array.strides[0] >= array.shape[1] * array.itemsize
    )
    assert (result is array) == fits


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_as_features_copies_only_what_does_not_fit(dtype):
    base = np.arange(240, dtype=dtype).reshape(12, 20)
    for view in (base, base[:, :7], base[:, 3:9], base[::3], base[5:6], base[::2, 4:5]):
        assert as_features(view, dtype) is view
    sliding = np.lib.stride_tricks.sliding_window_view(base[0], 5)
    for view in (base[:, ::2], base[::-1], base.T, np.broadcast_to(base[0], (4, 20)), sliding):
        result = as_features(view, dtype)
        assert_is_layout(result, dtype)
        assert not np.shares_memory(result, base)
        np.testing.assert_array_equal(result, view)
    for row in (base[0][None, :], base[:1].T, base[:, :1].T):
        assert_is_layout(as_features(row, dtype), dtype)
    read_only = base.copy()
    read_only.flags.writeable = False
    assert as_features(read_only, dtype) is read_only


def test_as_features_odd_strides_and_misaligned():
    packed = np.zeros(6, dtype=[("tag", "u1"), ("x", "f8", 3)])
    packed["x"] = np.arange(18).reshape(6, 3)
    assert packed["x"].strides == (25, 8)
    result = as_features(packed["x"], "float64")
    assert_is_layout(result, "float64")
    np.testing.assert_array_equal(result, packed["x"])


def test_as_features_accepts_lists_memmaps_matrices_and_frames(tmp_path):
    expected = np.array([[1, 2], [3, 4]], dtype="float32")
    data = np.memmap(tmp_path / "x.bin", dtype="float32", mode="w+", shape=(2, 2))
    data[:] = expected
    for X in ([[1, 2], [3, 4]], ((1.0, 2.0), (3.0, 4.0)), np.ma.masked_array(expected), data):
        result = as_features(X, "float32")
        assert_is_layout(result, "float32")
        np.testing.assert_array_equal(result, expected)
    assert np.shares_memory(as_features(data, "float32"), data)


def test_as_features_frames():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5], "c": [True, False]})
    result = as_features(frame[["a", "b"]], "float32")
    np.testing.assert_array_equal(result, np.array([[1, 0.5], [2, 1.5]], dtype="float32"))
    assert_is_layout(result, "float32")
    with pytest.raises(DtypeError, match="dtype object"):
        as_features(pd.DataFrame({"a": [1, 2], "b": ["u", "v"]}), "float32")


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ([1.0, 2.0], ShapeError, r"A has shape \(2,\): expected 2-D.*A\[None, :\].*A\[:, None\]"),
        (3.0, ShapeError, r"A has shape \(\): expected 2-D"),
        (np.zeros((2, 3, 4)), ShapeError, r"\(2, 3, 4\): expected 2-D.*A\.reshape\(len\(A\), -1\)"),
        (np.zeros((4, 2)), ShapeError, "A has 2 features .*expected 3"),
        (np.zeros((0, 3)), DataError, r"\(0, 3\): expected at least one row"),
        ([[1.0, 2.0, 3.0], [4.0]], ShapeError, "A cannot be made an array"),
        ([["a", "b", "c"]], DtypeError, "A has dtype <U1: expected numbers"),
        (np.array([[1, None, 2]]), DtypeError, "A has dtype object"),
        (np.ones((1, 3), complex), DtypeError, "A has dtype complex128"),
        (np.zeros((1, 3), "M8[s]"), DtypeError, "A has dtype datetime64"),
        (np.ma.masked_array(np.ones((2, 3)), mask=np.eye(2, 3)), DataError, "A has 2 masked"),
    ],
)
def test_as_features_refuses(X, error, message):
    with pytest.raises(error, match=message):
        as_features(X, "float32", n_features=3, argument="A")


def test_as_features_refuses_no_columns_and_sparse():
    with pytest.raises(ShapeError, match="at least one column"):
        as_features(np.zeros((3, 0)), "float32")
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(DtypeError, match=r"pass \.toarray\(\)"):
        as_features(sparse.eye_array(3), "float32")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("source", ["float32", "float64", "float16"])
def test_as_features_names_the_first_bad_entry(dtype, bad, source):
    X = np.zeros((700, 900), dtype=source)  # more than one block of the search
    X[651, 17] = X[651, 20] = X[699, 0] = bad
    with pytest.raises(DataError, match=r"X\[651, 17\] is -?(nan|inf); 3 of 630000 .*check_finite"):
        as_features(X, dtype)
    result = as_features(X, dtype, check_finite=False)
    np.testing.assert_array_equal(result, X.astype(dtype))


def test_as_features_overflow_is_not_finite():
    X = np.array([[1.0, 2.0], [3.0, 1e39]])
    with pytest.raises(DataError, match=r"X\[1, 1\] is 1e\+39, too large for float32; 1 of 4"):
        as_features(X, "float32")
    assert as_features(X, "float64") is X
    assert as_features(X, "float32", check_finite=False)[1, 1] == np.inf
    largest = float(np.finfo("float32").max)
    assert as_features([[largest]], "float32")[0, 0] == largest


# ------------------------------------------------------------------- lengths, weights, validation


def test_check_same_length():
    check_same_length(np.zeros((3, 2)), [1, 2, 3])
    with pytest.raises(ShapeError, match="X has 3 rows and y has 2"):
        check_same_length(np.zeros((3, 2)), [1, 2])
    with pytest.raises(ShapeError, match="Xv has 3 rows and yv has 4"):
        check_same_length(np.zeros((3, 2)), np.zeros(4), "Xv", "yv")
    with pytest.raises(ShapeError, match="y is 5: expected one row per sample"):
        check_same_length(np.zeros((3, 2)), 5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_as_sample_weight(dtype):
    for weights in ([1, 0, 2], np.array([1, 0, 2], "u1"), np.array([9, 2, 9, 0, 9, 1.0])[::-2]):
        result = as_sample_weight(weights, 3, dtype)
        assert result.dtype == dtype
        assert result.flags.c_contiguous
        np.testing.assert_array_equal(result, np.asarray(weights, float))
    weights = np.ones(3, dtype)
    as_sample_weight(weights, 3, dtype)[:] = 5  # a copy: the user's array is never written
    assert (weights == 1).all()


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([1, 2], ShapeError, r"w has shape \(2,\): expected \(3,\)"),
        (1.0, ShapeError, r"w has shape \(\)"),
        ([[1], [2], [3]], ShapeError, r"w has shape \(3, 1\)"),
        ([1, -2, 3], DataError, r"w\[1\] is -2: expected weights >= 0"),
        ([1, 2, np.nan], DataError, r"w\[2\] is nan; 1 of 3"),
        ([1, np.inf, 2], DataError, r"w\[1\] is inf"),
        ([1, 1e39, 2], DataError, r"w\[1\] is 1e\+39, too large for float32"),
        ([0, 0, 0], DataError, "w is 0 everywhere"),
        ([0, 1e-60, 0], DataError, "w is 0 everywhere"),  # in float32
        (["a", "b", "c"], DtypeError, "w has dtype <U1"),
    ],
)
def test_as_sample_weight_refuses(weights, error, message):
    with pytest.raises(error, match=message):
        as_sample_weight(weights, 3, "float32", argument="w")


@given(st.integers(2, 300), st.floats(0.001, 0.999), st.integers(0, 9))
def test_split_validation(n, fraction, seed):
    order = np.random.default_rng(seed).permutation(n)
    n_valid = int(np.floor(n * fraction + 0.5))
    if not 0 < n_valid < n:
        with pytest.raises(DataError, match="leaves"):
            split_validation(n, fraction, order)
        return
    train, valid = split_validation(n, fraction, order)
    assert len(valid) == n_valid
    assert train.dtype == valid.dtype == np.int64
    np.testing.assert_array_equal(np.concatenate([train, valid]), order)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, np.nan, "0.1", True, None])
def test_split_validation_refuses_fractions(fraction):
    with pytest.raises(OptionError, match="validation_split="):
        split_validation(10, fraction, np.arange(10), argument="validation_split")


@pytest.mark.parametrize(
    "order", [np.arange(9), np.zeros(10, int), np.arange(10) + 1, np.arange(10.0), np.eye(10)]
)
def test_split_validation_refuses_what_is_no_permutation(order):
    with pytest.raises(DataError, match="permutation: expected the numbers 0 to 9, each once"):
        split_validation(10, 0.5, order)


def test_split_validation_of_too_few():
    for n in (0, 1):
        with pytest.raises(DataError, match=f"of {n} samples leaves"):
            split_validation(n, 0.5, np.arange(n))


# ---------------------------------------------------------------------------------------------- CSV


@pytest.fixture
def table(tmp_path):
    """Write text (or bytes) to a .csv file and load it."""

    def load(text, **options):
        path = tmp_path / "table.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_table(path, **options)

    return load


IRIS = "sepal,petal,species\n5.1,1.4,setosa\n6.2,4.5,versicolor\n5.0,1.5,setosa\n"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_csv_with_header_and_class_names(table, delimiter, newline, dtype):
    result = table(IRIS.replace(",", delimiter).replace("\n", newline), dtype=dtype)
    np.testing.assert_array_equal(result.X, np.array([[5.1, 1.4], [6.2, 4.5], [5, 1.5]], dtype))
    assert result.X.dtype == dtype
    assert result.y.tolist() == [0, 1, 0]
    assert result.y.dtype == np.int64
    assert result.feature_names == ("sepal", "petal")
    assert result.class_names == ("setosa", "versicolor")
    assert result.kind == "classification"
    with pytest.raises(AttributeError):
        result.y = None


def test_csv_round_trip_is_exact(table):
    X = np.random.default_rng(0).normal(size=(9001, 3)) * 10.0 ** np.arange(-150, 151, 150)
    text = io.StringIO()
    csv.writer(text).writerows([*map(repr, row), repr(row[0] * 0.5)] for row in X.tolist())
    result = table(text.getvalue(), dtype="float64")  # more than two blocks
    np.testing.assert_array_equal(result.X, X)
    np.testing.assert_array_equal(result.y, X[:, 0] * 0.5)
    assert result.kind == "regression"
    assert result.class_names is None
    assert result.feature_names == ("x0", "x1", "x2")


@pytest.mark.parametrize(
    ("target", "feature_names", "y"),
    [
        ("a", ("b", "c"), [1, 0, 1, 0]),
        ("b", ("a", "c"), [0, 0, 1, 1]),
        (0, ("b", "c"), [1, 0, 1, 0]),
        (np.int64(1), ("a", "c"), [0, 0, 1, 1]),
        (-2, ("a", "c"), [0, 0, 1, 1]),
        (None, ("a", "b"), [0, 0, 0, 1]),
    ],
)
def test_csv_target_column(table, target, feature_names, y):
    result = table("a,b,c\n7,1,0\n3,1,0\n7,2,0\n3,2,9\n", target=target)
    assert result.feature_names == feature_names
    assert result.y.tolist() == y
    assert result.X.shape == (4, 2)


@pytest.mark.parametrize(
    ("text", "options", "names", "n"),
    [
        ("1,2\n3,4\n", {}, ("x0",), 2),
        ("1,cat\n3,dog\n", {}, ("x0",), 2),
        ("a,b\n3,4\n", {}, ("a",), 1),
        ("a,b\n3,cat\n", {}, ("a",), 1),
        ("0,1,label\n3,4,5\n", {"header": True}, ("0", "1"), 1),
        ("0,1,label\n3,4,5\n", {"target": "label"}, ("0", "1"), 1),
        ("0,1,label\n3,4,5\n", {"header": False}, ("x0", "x1"), 2),
        ("0,1,2\n3,4,5\n", {"header": True}, ("0", "1"), 1),
        ("\ufeffa,b\n3,4\n", {}, ("a",), 1),  # byte-order mark of a spreadsheet
        ('"a, of b", b \n\n3,4\n\n', {}, ("a, of b",), 1),  # quotes, spaces, blank lines
    ],
)
def test_csv_header(table, text, options, names, n):
    result = table(text, **options)
    assert result.feature_names == names
    assert len(result.X) == len(result.y) == n


@pytest.mark.parametrize(
    ("cells", "options", "kind", "y", "names"),
    [
        (["1", "0", "1", "0"], {}, "classification", [1, 0, 1, 0], ("0", "1")),
        (["10", "9", "10", "9"], {}, "classification", [1, 0, 1, 0], ("9", "10")),  # not as texts
        (["2.0", "-1", "2", "-1"], {}, "classification", [1, 0, 1, 0], ("-1", "2")),
        (["b", "a", "B", "b "], {}, "classification", [2, 1, 0, 2], ("B", "a", "b")),
        (["1", "x", "1", "2"], {}, "classification", [0, 2, 0, 1], ("1", "2", "x")),
        (["1.5", "0", "1", "0"], {}, "regression", [1.5, 0, 1, 0], None),
        (["1", "2", "3", "1"], {}, "regression", [1, 2, 3, 1], None),  # hardly any repeats
        (["1", "2", "3", "1"], {"kind": "classification"}, "classification", [0, 1, 2, 0],
         ("1", "2", "3")),
        (["1", "0", "1", "0"], {"kind": "regression"}, "regression", [1, 0, 1, 0], None),
    ],
)  # fmt: skip
def test_csv_kind_of_target(table, cells, options, kind, y, names):
    text = "x,y\n" + "".join(f"0.5,{cell}\n" for cell in cells)
    result = table(text, **options)
    assert result.kind == kind
    assert result.y.tolist() == y
    assert result.class_names == names
    assert result.y.dtype == ("int64" if kind == "classification" else "float32")


@pytest.mark.parametrize(("distinct", "kind"), [(32, "classification"), (33, "regression")])
def test_csv_many_whole_numbers_are_a_regression(table, distinct, kind):
    text = "x,y\n" + "".join(f"0.5,{i % distinct}\n" for i in range(4 * distinct))
    assert table(text).kind == kind


def test_csv_many_texts_need_a_word(table):
    text = "x,y\n" + "".join(f"0.5,name {i}\n" for i in range(40))
    with pytest.raises(DataError, match="40 distinct texts in 40 rows, the first is 'name 0'"):
        table(text)
    assert len(table(text, kind="classification").class_names) == 40
    assert len(table(text + text[4:] * 9).class_names) == 40  # a tenth of the rows: fine


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "the file is empty"),
        ("\n\n", {}, "the file is empty"),
        ("a,b,c\n", {}, "expected data below the header"),
        ("1\n2\n3\n", {}, "line 1: found one column"),
        ("a,b\n1,2\n3\n", {}, "line 3: expected 2 cells as on line 1, found 1"),
        ("a,b\n1,2\n\n3,4,5\n", {}, "line 4: expected 2 cells as on line 1, found 3"),
        ("a,b,c\n1,2,3\n1,oops,3\n", {}, "line 3, column 'b': expected a number, found 'oops'"),
        ("a,b,c\n1,2,3\n1,,3\n", {}, "line 3, column 'b': the cell is empty"),
        ("a,b,c\n1,2,3\n1,  ,3\n", {}, "line 3, column 'b': the cell is empty"),
        ("a,b,c\n1,2,3\n1,2,\n", {}, "line 3, column 'c': the cell is empty"),
        ("a,b,c\n1,2,3\nnan,2,3\n", {}, "line 3, column 'a': expected a finite float32 number"),
        ("a,b,c\n1,2,3\n1e39,2,3\n", {}, "column 'a': expected a finite float32 .*'1e39'"),
        ("a,b,c\n1,2,3\n1_0,2,3\n", {}, "line 3, column 'a': expected a number, found '1_0'"),
        ("a;b;c\n1;2;3\n1,5;2;3\n", {}, "found '1,5'. Decimals are written with a point"),
        ("1,2,3\n4,x,6\n", {}, "line 2, column 'x1': expected a number, found 'x'"),
        ("a,b\n1,inf\n2,3\n", {}, "line 2, column 'b': expected a finite number, found 'inf'"),
        ("a,b\n1,1e39\n2,0.5\n", {}, r"y\[0\] is 1e\+39, too large for float32"),
        ("a,b\n1,0.5\n2,oops\n", {}, "line 3, column 'b': expected a number as on other lines"),
        ("a,b\n1,cat\n2,dog\n", {"kind": "regression"}, "expected numbers, found 'cat'"),
        ("a,b\n1,0.5\n2,1\n", {"kind": "classification"}, "expected whole numbers, found 0.5"),
        (IRIS, {"target": "speces"}, "target='speces' is unknown. Did you mean 'species'"),
        (IRIS, {"target": 3}, "target=3: expected a column from 0 to 2"),
        (IRIS, {"target": -4}, "target=-4: expected a column"),
        (IRIS, {"target": "species", "header": False}, "expected a header"),
        ("a,a,b\n1,2,3\n", {"target": "a"}, "target='a' names 2 columns"),
        ("0,1,label\n3,4,5\n", {}, "'label' stands above a number.*header=True or header=False"),
        ("oops,1,2\n3,4,5\n", {}, "'oops' stands above a number"),
        ('a,b\n1,"2\n', {}, "line 2: unexpected end of data"),
        (b"a,b\n1,2\n\xff,3\n", {}, "expected UTF-8 text"),
        ("a,b\n1," + "9" * 200_000 + "\n", {}, "field larger than field limit"),
    ],
)
def test_csv_names_the_fault(table, tmp_path, text, options, message):
    with pytest.raises(DataError, match=message) as raised:
        table(text, **options)
    assert str(raised.value).startswith(str(tmp_path / "table.csv"))


def test_csv_fault_after_many_lines(table):
    lines = ["a,b,c"] + ["1,2,3"] * 10_000
    lines[9876] = "1,2.5.1,3"
    with pytest.raises(DataError, match=r"line 9877, column 'b': .* found '2\.5\.1'"):
        table("\n".join(lines))


def test_load_table_options_and_paths(tmp_path, table):
    for target in (True, 1.0, ["a"]):
        with pytest.raises(OptionError, match="target="):
            table(IRIS, target=target)
    with pytest.raises(OptionError, match=r"kind='regresion' is unknown\. Did you mean 'regression'"):
        table(IRIS, kind="regresion")
    with pytest.raises(DtypeError, match="dtype='int32'"):
        table(IRIS, dtype="int32")
    with pytest.raises(DataError, match=r"none\.csv: no such file. Looked in"):
        load_table(tmp_path / "none.csv")
    with pytest.raises(DataError, match=r"none\.npz: no such file"):
        load_table(str(tmp_path / "none.npz"))
    with pytest.raises(DataError, match=r"'\.cvs' is unknown. Did you mean '\.csv'"):
        load_table("table.cvs")
    with pytest.raises(DataError, match=r"'\.parquet' is unknown. Known: \.csv, \.npz"):
        load_table("table.parquet")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        load_table(tmp_path / "folder.csv")


# ---------------------------------------------------------------------------------------------- NPZ


@pytest.fixture
def archive(tmp_path):
    """Write arrays to an .npz file and load it."""

    def load(*, options=None, compress=False, **arrays):
        path = tmp_path / "arrays.npz"
        (np.savez_compressed if compress else np.savez)(path, **arrays)
        return load_table(path, **(options or {}))

    return load


X = np.arange(12, dtype="int16").reshape(4, 3)


@pytest.mark.parametrize("names", [("X", "y"), ("x", "y"), ("X_train", "y_train"), ("x_train", "y_train")])
@pytest.mark.parametrize("compress", [False, True])
def test_npz(archive, names, compress):
    arrays = {names[0]: X, names[1]: np.array([3, 5, 3, 5]), "else": np.zeros(2)}
    result = archive(compress=compress, **arrays)
    np.testing.assert_array_equal(result.X, X)
    assert result.X.dtype == np.float32
    assert result.y.tolist() == [0, 1, 0, 1]
    assert result.class_names == ("3", "5")
    assert result.feature_names == ("x0", "x1", "x2")
    assert result.kind == "classification"


def test_npz_targets(archive):
    y = np.array([0.5, 1.0, 2.0, 3.0])
    result = archive(X=X, y=y, options={"dtype": "float64"})
    assert (result.kind, result.class_names) == ("regression", None)
    np.testing.assert_array_equal(result.y, y)
    np.testing.assert_array_equal(archive(X=X, y=y[:, None]).y, y)
    two = np.stack([y, -y], axis=1)
    result = archive(X=X, y=two)
    assert result.kind == "regression"
    np.testing.assert_array_equal(result.y, two)
    result = archive(X=X, y=np.array(["b", "a", "b", "b"]))
    assert (result.y.tolist(), result.class_names) == ([1, 0, 1, 1], ("a", "b"))
    result = archive(X=X, y=y, z=np.array([True, False, True, True]), options={"target": "z"})
    assert (result.y.tolist(), result.class_names) == ([1, 0, 1, 1], ("0", "1"))


def test_npz_images_are_flattened(archive):
    images = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
    np.testing.assert_array_equal(archive(X=images, y=[0, 1, 0, 1]).X, images.reshape(4, 30))


@pytest.mark.parametrize(
    ("arrays", "options", "error", "message"),
    [
        ({"X": X}, {}, DataError, "expected the arrays X and y or x and y or .*; found X"),
        ({}, {}, DataError, "found none"),
        ({"X": X, "y": [0, 1]}, {"target": "z"}, DataError, "expected the arrays X and z"),
        ({"X": X, "y": np.array([0, None])}, {}, DataError, "pickled objects"),
        ({"X": X, "y": [0, 1, 0]}, {}, ShapeError, "X has 4 rows and y has 3"),
        ({"X": X, "y": 1}, {}, ShapeError, r"y has shape \(\)"),
        ({"X": X, "y": np.zeros((4, 2, 2))}, {}, ShapeError, r"y has shape \(4, 2, 2\)"),
        ({"X": X[0], "y": [0, 1, 0]}, {}, ShapeError, r"X has shape \(3,\): expected 2-D"),
        ({"X": np.zeros((0, 2, 2)), "y": []}, {}, DataError, "expected at least one row"),
        ({"X": X * 1j, "y": [0, 1, 0, 1]}, {}, DtypeError, "X has dtype complex128"),
        (
            {"X": X * np.array([1, 1, np.inf]), "y": [0, 1, 0, 1]},
            {},
            DataError,
            r"X\[0, 2\] is inf",
        ),
        ({"X": X, "y": [0, 1, np.nan, 1]}, {}, DataError, r"y\[2\] is nan"),
        (
            {"X": X, "y": [[0, 1]] * 4},
            {"kind": "classification"},
            DataError,
            "one class per sample",
        ),
        ({"X": X, "y": [["a", "b"]] * 4}, {}, DataError, "one class per sample"),
        (
            {"X": X, "y": ["a"] * 4},
            {"kind": "regression"},
            DataError,
            "expected numbers, found 'a'",
        ),
        ({"X": X, "y": [0, 1, 0, 1]}, {"target": 1}, OptionError, "are for .csv files"),
        ({"X": X, "y": [0, 1, 0, 1]}, {"header": True}, OptionError, "are for .csv files"),
    ],
)
def test_npz_names_the_fault(archive, tmp_path, arrays, options, error, message):
    with pytest.raises(error, match=message) as raised:
        archive(options=options, **arrays)
    assert str(tmp_path / "arrays.npz") in str(raised.value)


@pytest.mark.parametrize("compress", [False, True])
def test_npz_damaged(archive, tmp_path, compress):
    path = tmp_path / "arrays.npz"
    archive(X=np.arange(4000.0).reshape(1000, 4), y=np.arange(1000) % 2, compress=compress)
    good = path.read_bytes()
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 0xFF
    fakes = [b"", b"no archive at all", pickle.dumps({"X": 1}), good[:-30], good[:200], flipped]
    for content in fakes:
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"arrays\.npz: expected an \.npz archive"):
            load_table(path)
    with open(path, "wb") as file:
        np.save(file, X)
    with pytest.raises(DataError, match="found a single array"):
        load_table(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("X.npy", b"not an array")
        file.writestr("y.npy", b"neither")
    with pytest.raises(DataError, match=r"arrays\.npz"):
        load_table(path)
