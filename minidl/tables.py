"""Tables of samples from CSV and NPZ files."""

from __future__ import annotations

import csv
import dataclasses
import difflib
import math
import numbers
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import DTypeLike

from .data import as_features, as_real, cast, check_same_length, float_dtype, require_finite
from .errors import DataError, OptionError, ShapeError, out_of_range, unknown_name

__all__ = ["Table", "load_table"]


BLOCK = 4096  # rows of text held at a time
FEW = 32  # at most this many distinct whole numbers are taken for class labels
NPZ_PAIRS = (("X", "y"), ("x", "y"), ("X_train", "y_train"), ("x_train", "y_train"))


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """Features and target of a file.

    Attributes
    ----------
    X : ndarray of shape (n_samples, n_features)
        Features, float.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        int64 class labels 0 to ``len(class_names) - 1``, or float targets.
    feature_names : tuple of str
        From the header, or "x0", "x1", ... without one.
    class_names : tuple of str or None
        What each label stood for in the file, in sorted order; None for a regression.
    kind : {"classification", "regression"}
        What `y` is.
    """

    X: np.ndarray
    y: np.ndarray
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...] | None
    kind: str


def load_table(
    path: str | os.PathLike,
    target: str | int | None = None,
    dtype: DTypeLike = "float32",
    *,
    header: bool | None = None,
    kind: str | None = None,
) -> Table:
    """Read a table of samples from a ``.csv`` or an ``.npz`` file.

    A CSV file is UTF-8 text; the separator (comma, semicolon, tab) is found out. Features are
    finite numbers. An NPZ file holds the arrays X and y (or x and y, X_train and y_train, x_train
    and y_train: the first pair that is there); samples of a higher rank, such as images, are
    flattened. Pickled objects are never loaded.

    Parameters
    ----------
    path : str or path-like
        The file.
    target : str or int, optional
        CSV: name or index of the target column; default the last one. A name says that there is a
        header. NPZ: name of the target array.
    dtype : {"float32", "float64"}
        The dtype of the features and of a regression target.
    header : bool, optional
        CSV: whether the first line names the columns. By default it does when none of its cells is
        a number, and it does not when no cell that is not a number stands above a number; in
        between, a DataError asks for this option.
    kind : {"classification", "regression"}, optional
        By default texts are classes; numbers are classes when all are whole, at most 32 of them are
        distinct, and they occur twice or more on average; all else, and any 2-D y, is a regression.
        More than 32 distinct texts, and more than a tenth of the rows, are taken for a mistake.

    Returns
    -------
    Table
        The fields X, y, feature_names, class_names, kind.

    Raises
    ------
    DataError
        The file is missing, empty, damaged or of another kind; a line is longer or shorter than the
        first; a cell is no finite number; there is no such column. The message names file, line,
        column and cell.
    ShapeError, DtypeError
        The arrays of an NPZ file do not fit each other, or hold no numbers.
    OptionError
        `kind` is unknown, or an option has no meaning for this kind of file.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "pets.csv")
    ...     _ = path.write_text("weight,height,animal\\n4.1,25,cat\\n30,60,dog\\n3.9,23,cat\\n")
    ...     table = load_table(path)
    >>> table.feature_names, table.class_names, table.y.tolist()
    (('weight', 'height'), ('cat', 'dog'), [0, 1, 0])
    """
    dtype = float_dtype(dtype)
    if kind not in (None, "classification", "regression"):
        raise unknown_name("kind", kind, ["classification", "regression"])
    path = Path(path)
    readers = {".csv": _read_csv, ".npz": _read_npz}
    suffix = path.suffix.lower()
    if suffix not in readers:
        close = difflib.get_close_matches(suffix, readers, n=1, cutoff=0.5)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise DataError(f"{path}: extension '{path.suffix}' is unknown.{hint} Known: .csv, .npz.")
    try:
        X, values, names = readers[suffix](path, target, header, dtype)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file. Looked in {Path.cwd()}.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error
    check_same_length(X, values, f"{path}: X", "y")
    y, class_names = _as_target(values, kind, dtype, path)
    kind = "regression" if class_names is None else "classification"
    return Table(X, y, names, class_names, kind)


def _as_target(
    values: np.ndarray, kind: str | None, dtype: np.dtype, path: Path
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Return class labels and their names, or float targets and None, by the rule of load_table."""
    text = values.dtype.kind == "U"
    if text and kind == "regression":
        raise DataError(f"{path}: kind='regression' expected numbers, found '{values.flat[0]}'.")
    if values.ndim > 1 and (text or kind == "classification"):
        raise DataError(f"{path}: expected one class per sample, y has shape {values.shape}.")
    if not text and (values.ndim > 1 or kind == "regression"):
        return _finite_target(values, dtype, path), None
    if not text:
        values = _finite_target(values, np.dtype("float64"), path)
    distinct, labels = np.unique(values, return_inverse=True)
    whole = text or bool((distinct == np.trunc(distinct)).all())
    if kind == "classification" and not whole:
        fraction = distinct[distinct != np.trunc(distinct)][0]
        raise DataError(f"{path}: kind='classification' expected whole numbers, found {fraction}.")
    if kind is None and not text and not (whole and len(distinct) <= min(FEW, len(values) // 2)):
        return _finite_target(values, dtype, path), None
    if kind is None and text and len(distinct) > max(FEW, len(values) // 10):
        raise DataError(
            f"{path}: the target has {len(distinct)} distinct texts in {len(values)} rows, the "
            f"first is '{values[0]}': expected class names. Choose another target, or pass "
            "kind='classification' if they are."
        )
    names = tuple(str(value) if text else str(int(value)) for value in distinct)
    return labels.reshape(-1).astype(np.int64), names


def _finite_target(values: np.ndarray, dtype: np.dtype, path: Path) -> np.ndarray:
    converted = cast(values, dtype)
    require_finite(converted, values, f"{path}: y", "Clean or scale the target.")
    return converted


# -------------------------------------------------------------------------------------------- npz


def _read_npz(
    path: Path, target: str | int | None, header: bool | None, dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    if header is not None or not isinstance(target, str | None):
        raise OptionError(f"{path}: header= and a target index are for .csv files, not for .npz.")
    pairs = [(x, target or y) for x, y in NPZ_PAIRS]
    with open(path, "rb") as file:  # np.load leaves a damaged file open
        try:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise DataError(f"{path}: expected an .npz archive, found a single array.")
            known = list(archive)
            pair = next((pair for pair in pairs if set(pair) <= set(known)), None)
            X, values = (archive[name] for name in pair) if pair else (None, None)
        except (zipfile.BadZipFile, EOFError, ValueError, zlib.error) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(
                f"{path}: expected an .npz archive of plain arrays, found one that is damaged or "
                f"holds pickled objects ({error})."
            ) from error
    if pair is None:
        wanted = " or ".join(f"{x} and {y}" for x, y in pairs)
        raise DataError(f"{path}: expected the arrays {wanted}; found {', '.join(known) or 'none'}.")
    if not (isinstance(X, np.ndarray) and isinstance(values, np.ndarray)):  # NumPy gives bytes
        raise DataError(f"{path}: expected {' and '.join(pair)} to be arrays, found other content.")
    if X.ndim > 2:
        X = X.reshape(len(X), math.prod(X.shape[1:]))
    X = as_features(X, dtype, argument=f"{path}: {pair[0]}")
    if values.dtype.kind != "U":
        values = as_real(values, f"{path}: {pair[1]}")
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim not in (1, 2):
        raise ShapeError(
            f"{path}: {pair[1]} has shape {values.shape}: expected (n_samples,) or (n_samples, n_outputs)."
        )
    return X, values, tuple(f"x{j}" for j in range(X.shape[1]))


# -------------------------------------------------------------------------------------------- csv


def _read_csv(
    path: Path, target: str | int | None, header: bool | None, dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        try:
            sample = list(islice(file, 20))
            rows = _records(path, chain(sample, file), _delimiter(sample))
            return _parse_csv(path, rows, target, header, dtype)
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: expected UTF-8 text ({error}).") from error


def _delimiter(sample: list[str]) -> str:
    try:
        return csv.Sniffer().sniff("".join(sample), delimiters=",;\t").delimiter
    except csv.Error:  # a single column, or lines of different length
        return max(",;\t", key=sample[0].count) if sample else ","


def _records(path: Path, lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) for every line that is not blank."""
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}.") from error


def _parse_csv(
    path: Path,
    rows: Iterator[tuple[int, list[str]]],
    target: str | int | None,
    header: bool | None,
    dtype: np.dtype,
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    head = list(islice(rows, 2))
    if not head:
        raise DataError(f"{path}: the file is empty.")
    if header is None:
        header = isinstance(target, str) or _has_header(path, [row for _, row in head])
    first = [cell.strip() for cell in head[0][1]]
    names = first if header else [f"x{j}" for j in range(len(first))]
    if len(names) < 2:
        raise DataError(
            f"{path}, line {head[0][0]}: found one column; expected features and a target, "
            "separated by comma, semicolon or tab."
        )
    index = _target_index(path, target, names, header)
    rows = chain(head[1:] if header else head, rows)
    features = names[:index] + names[index + 1 :]

    blocks, cells, lines = [], [], []
    while block := list(islice(rows, BLOCK)):
        for line, row in block:
            if len(row) != len(names):
                raise DataError(
                    f"{path}, line {line}: expected {len(names)} cells as on line {head[0][0]}, "
                    f"found {len(row)}."
                )
            cells.append(row.pop(index).strip())
            if not cells[-1]:
                raise DataError(f"{path}, line {line}, column '{names[index]}': the cell is empty.")
            lines.append(line)
        blocks.append(_parse_features(path, block, features, dtype))
    if not blocks:
        raise DataError(f"{path}: expected data below the header, found none.")
    return np.concatenate(blocks), _parse_target(path, cells, lines, names[index]), tuple(features)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # Python reads 1_000 as a number, tables do not


def _has_header(path: Path, head: list[list[str]]) -> bool:
    first = [_is_number(cell) for cell in head[0]]
    if not any(first):
        return True
    second = [_is_number(cell) for cell in head[-1]]
    changed = [j for j, (a, b) in enumerate(zip(first, second, strict=False)) if b and not a]
    if changed:
        raise DataError(
            f"{path}, line 1: '{head[0][changed[0]]}' stands above a number, so this may be a "
            "header or a bad line of data. Pass header=True or header=False."
        )
    return False


def _target_index(path: Path, target: str | int | None, names: list[str], header: bool) -> int:
    if target is None:
        return len(names) - 1
    if isinstance(target, str):
        if not header:
            raise DataError(f"{path}: target={target!r} expected a header, found header=False.")
        if target not in names:
            raise DataError(f"{path}: {unknown_name('target', target, names)}")
        if names.count(target) > 1:
            raise DataError(f"{path}: target={target!r} names {names.count(target)} columns.")
        return names.index(target)
    if isinstance(target, bool) or not isinstance(target, numbers.Integral):
        raise out_of_range("target", target, "the name or the index of a column")
    if not -len(names) <= target < len(names):
        raise DataError(
            f"{path}: target={target}: expected a column from 0 to {len(names) - 1}, or a negative "
            "index from the end."
        )
    return int(target) % len(names)


def _parse_features(
    path: Path, block: list[tuple[int, list[str]]], names: list[str], dtype: np.dtype
) -> np.ndarray:
    n = len(block) * len(names)
    try:
        cells = chain.from_iterable(row for _, row in block)
        values = cast(np.fromiter(map(float, cells), np.float64, count=n), dtype)
    except ValueError:
        _blame_cell(path, block, names, dtype)
    if not np.isfinite(values).all() or any("_" in "".join(row) for _, row in block):
        _blame_cell(path, block, names, dtype)
    return values.reshape(len(block), len(names))


def _blame_cell(
    path: Path, block: list[tuple[int, list[str]]], names: list[str], dtype: np.dtype
) -> NoReturn:
    """Raise DataError for the first cell of the block that is no finite number of `dtype`."""
    for line, row in block:
        for name, cell in zip(names, row, strict=True):
            where = f"{path}, line {line}, column '{name}'"
            if not cell.strip():
                raise DataError(f"{where}: the cell is empty. Fill it, or drop the line.")
            if not _is_number(cell):
                hint = " Decimals are written with a point." if "," in cell else ""
                raise DataError(f"{where}: expected a number, found '{cell}'.{hint}")
            if not np.isfinite(cast(np.float64(cell), dtype)):
                raise DataError(f"{where}: expected a finite {dtype} number, found '{cell}'.")
    raise AssertionError("a block that failed has a cell that fails")


def _parse_target(path: Path, cells: list[str], lines: list[int], name: str) -> np.ndarray:
    """Return numbers when all cells are, else texts; a mix with decimals is a mistake."""
    is_number = [_is_number(cell) for cell in cells]
    if all(is_number):
        values = np.array([float(cell) for cell in cells])
        if not np.isfinite(values).all():
            i = int(np.argmin(np.isfinite(values)))
            raise DataError(
                f"{path}, line {lines[i]}, column '{name}': expected a finite number, found '{cells[i]}'."
            )
        return values
    if any(ok and not float(cell).is_integer() for ok, cell in zip(is_number, cells, strict=True)):
        i = is_number.index(False)
        raise DataError(
            f"{path}, line {lines[i]}, column '{name}': expected a number as on other lines, found "
            f"'{cells[i]}'."
        )
    return np.array(cells)
