"""The safetensors container: named arrays and a few strings in one file, and no code.

Layout [1]_: an 8-byte little-endian length N; N bytes of JSON that give each tensor's dtype, shape
and byte range; the bytes of the tensors, little-endian and row-major, without holes. Reading one
cannot execute anything. Every fault of a file is a :class:`~minidl.errors.FileFormatError` that
says what was expected and what was found.

.. [1] Hugging Face, "Safetensors", https://github.com/huggingface/safetensors, section "Format".
"""

from __future__ import annotations

import json
import math
import os
import reprlib
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

import numpy as np

from .errors import DtypeError, FileFormatError, OptionError

__all__ = ["read_safetensors", "write_safetensors"]

_DTYPES = {
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
    "F32": np.dtype("<f4"),
    "U8": np.dtype("u1"),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
# The limit of the format: it keeps a damaged length from asking for all memory.
_MAX_HEADER = 100_000_000
# What every NumPy can hold, and a bound on the numbers in a damaged header.
_MAX_AXES = 32
_MAX_SIZE = 2**63 - 1


def write_safetensors(
    path: str | os.PathLike, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> None:
    """Write arrays and strings to a safetensors file.

    The file appears whole or not at all: it is written beside `path`, flushed to the disk, and then
    moved there.

    Parameters
    ----------
    path : path_like
        The file; an existing one is replaced.
    tensors : mapping of str to ndarray
        Arrays of float32, float64, int64 or uint8, of any shape.
    metadata : mapping of str to str
        Free text, stored in the header.

    Raises
    ------
    DtypeError
        An array has another dtype.
    OptionError
        A name or a metadata value is not a string, or a tensor is called ``__metadata__``.
    OSError
        The file cannot be written; one that was there before is unharmed.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "w.safetensors")
    ...     write_safetensors(path, {"w": np.eye(2)}, {"made by": "hand"})
    ...     read_safetensors(path)
    ({'w': array([[1., 0.],
           [0., 1.]])}, {'made by': 'hand'})
    """
    for key, value in metadata.items():
        if not _is_text(key) or not _is_text(value):
            raise OptionError(f"metadata {key!r}: {value!r}: expected valid text for both.")
    arrays = {name: _to_storable(name, array) for name, array in tensors.items()}
    # Wide elements first, so that every tensor starts at a multiple of its element size.
    order = sorted(arrays, key=lambda name: -arrays[name].itemsize)

    offsets, end = {}, 0
    for name in order:
        offsets[name] = [end, end + arrays[name].nbytes]
        end += arrays[name].nbytes
    header: dict[str, dict] = {"__metadata__": dict(metadata)} if metadata else {}
    for name, array in arrays.items():
        header[name] = {
            "dtype": _NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": offsets[name],
        }
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _MAX_HEADER:
        raise OptionError(f"the names and the metadata take {len(text)} bytes: expected <= 100 MB.")

    with _replacing(path) as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name in order:
            file.write(arrays[name].reshape(-1).view(np.uint8).data)


def read_safetensors(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read a safetensors file, checking all of it.

    Parameters
    ----------
    path : path_like
        The file.

    Returns
    -------
    tensors : dict of str to ndarray
        Writable arrays in the order of the header, in the machine's byte order.
    metadata : dict of str to str
        The strings of the header, empty if it has none.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    FileFormatError
        The file is cut, damaged, not safetensors, or holds dtypes other than float32, float64,
        int64 and uint8.
    """
    path = os.fsdecode(path)
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed by the with below
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {path!r} (current folder: {os.getcwd()!r}).") from None
    with file:
        size = os.fstat(file.fileno()).st_size
        prefix = file.read(8)
        if len(prefix) < 8:
            raise _fault(path, "at least 8 bytes, the length of the header", f"{size} bytes")
        length = int.from_bytes(prefix, "little")
        limit = min(size - 8, _MAX_HEADER)
        if length > limit:
            raise _fault(path, f"a header of at most {limit} bytes", f"a length of {length}")
        header = _parse_header(path, file.read(length))
        data = np.empty(size - 8 - length, dtype=np.uint8)
        if file.readinto(data) != data.size:
            raise _fault(path, f"{data.size} bytes after the header", "fewer")

    metadata = _check_metadata(path, header.pop("__metadata__", {}))
    entries = {name: _check_entry(path, name, entry) for name, entry in header.items()}
    _check_no_holes(path, entries, data.size)
    return {name: _to_array(path, name, entry, data) for name, entry in entries.items()}, metadata


class _Entry(NamedTuple):
    """One tensor of a header."""

    dtype: np.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


def _parse_header(path: str, text: bytes) -> dict:
    def unique(pairs):
        keys = {}
        for name, value in pairs:
            if name in keys:
                raise _fault(path, "each name once in the header", f"{name!r} twice")
            keys[name] = value
        return keys

    if text[:1] != b"{":
        raise _fault(path, "a header that begins with '{'", f"{text[:1]!r}; not safetensors?")
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
    except FileFormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise _fault(path, "a header of valid JSON", str(error)) from None
    return header


def _check_metadata(path: str, metadata: object) -> dict[str, str]:
    if not isinstance(metadata, dict):
        raise _fault(path, "an object as __metadata__", reprlib.repr(metadata))
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise _fault(path, f"a string as metadata {key!r}", reprlib.repr(value))
    return metadata


def _check_entry(path: str, name: str, entry: object) -> _Entry:
    expected = {"dtype", "shape", "data_offsets"}
    if not isinstance(entry, dict) or set(entry) != expected:
        raise _fault(path, f"dtype, shape and data_offsets for tensor {name!r}", reprlib.repr(entry))
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        known = ", ".join(sorted(_DTYPES))
        raise _fault(path, f"a dtype among {known} for tensor {name!r}", reprlib.repr(dtype))
    if not _are_sizes(shape) or len(shape) > _MAX_AXES:
        raise _fault(path, f"a list of sizes as shape of tensor {name!r}", reprlib.repr(shape))
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _fault(path, f"[begin, end] as data_offsets of tensor {name!r}", reprlib.repr(offsets))
    begin, end = offsets
    n_bytes = math.prod(shape) * _DTYPES[dtype].itemsize
    if end - begin != n_bytes:
        raise _fault(
            path,
            f"{n_bytes} bytes for tensor {name!r} of dtype {dtype} and shape {shape}",
            f"data_offsets {offsets}, which are {end - begin}",
        )
    return _Entry(_DTYPES[dtype], tuple(shape), begin, end)


def _check_no_holes(path: str, entries: Mapping[str, _Entry], n_bytes: int) -> None:
    """Check that the tensors tile the data exactly: no hole, no overlap, nothing left over."""
    position = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1][2:]):
        if entry.begin != position:
            what = "a hole" if entry.begin > position else "an overlap"
            expected = f"tensor {name!r} to begin at byte {position} of the data"
            raise _fault(path, expected, f"{what}: it begins at {entry.begin}")
        position = entry.end
    if position != n_bytes:
        raise _fault(path, f"{position} bytes of data, as the header says", f"{n_bytes} bytes")


def _to_array(path: str, name: str, entry: _Entry, data: np.ndarray) -> np.ndarray:
    raw = data[entry.begin : entry.end]
    if entry.begin % entry.dtype.itemsize:  # files by other writers need not be aligned
        raw = raw.copy()
    try:
        array = raw.view(entry.dtype).reshape(entry.shape)
    except (ValueError, OverflowError):  # an empty tensor with an axis beyond NumPy's range
        raise _fault(path, f"a possible shape of tensor {name!r}", str(entry.shape)) from None
    return array.astype(entry.dtype.newbyteorder("="), copy=False)


def _to_storable(name: object, array: object) -> np.ndarray:
    """Return the array as the file holds it: little-endian and C-contiguous."""
    if not _is_text(name) or name == "__metadata__":
        raise OptionError(f"tensor name {name!r}: expected valid text other than '__metadata__'.")
    array = np.asarray(array)
    dtype = array.dtype.newbyteorder("<") if array.dtype.itemsize > 1 else array.dtype
    if dtype not in _NAMES:
        raise DtypeError(
            f"tensor {name!r} has dtype {array.dtype}: expected float32, float64, int64 or uint8."
        )
    return np.require(array, dtype, requirements="C")


def _is_text(value: object) -> bool:
    """Return whether value is a str that UTF-8 can hold (a lone surrogate is not text)."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def _are_sizes(value: object) -> bool:
    """Return whether value is a list of ints >= 0 (a bool is not one)."""
    return isinstance(value, list) and all(type(n) is int and 0 <= n <= _MAX_SIZE for n in value)


def _fault(path: str, expected: str, found: str) -> FileFormatError:
    return FileFormatError(f"{path}: expected {expected}; found {found}.")


@contextmanager
def _replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`; move it there if the block succeeds, else remove it."""
    path = os.path.realpath(os.fsdecode(path))  # a link is followed, not replaced
    if not os.path.isdir(os.path.dirname(path)):
        raise FileNotFoundError(f"there is no folder {os.path.dirname(path)!r} to write to.")
    temporary = f"{path}.{secrets.token_hex(6)}.tmp"
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise
