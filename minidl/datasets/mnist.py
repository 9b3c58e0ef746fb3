"""MNIST from its four IDX files, and a reader for IDX files of any type and rank."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from ..data import float_dtype
from ..errors import DataError

# SHA-256 of the .gz files as first published; pooch refuses anything else.
FILES = {
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
SIDE = 28
CLASSES = 10

IDX_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: str | os.PathLike) -> np.ndarray:
    """Read an IDX file, gzip-compressed or not, of any element type and rank.

    An IDX file is two zero bytes, one byte for the element type, one for the rank, the sizes as
    big-endian unsigned 32-bit integers, then the elements, big-endian, the last index fastest.

    Parameters
    ----------
    path : str or path-like
        The file. Compression is told by its first two bytes, not by its name.

    Returns
    -------
    ndarray
        A writable array in native byte order: uint8, int8, int16, int32, float32 or float64.

    Raises
    ------
    DataError
        The file is missing, not IDX, or longer or shorter than its header says.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from minidl.datasets.mnist import read_idx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "three-idx1-ubyte")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
    ...     read_idx(path)
    array([7, 8, 9], dtype=uint8)
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if content[:2] == GZIP_MAGIC:
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(
                f"{path}: expected a whole gzip file, found one that is cut or damaged ({error}). "
                "Delete it and fetch it again."
            ) from error

    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_DTYPES:
        kinds = ", ".join(f"{code:02x}" for code in IDX_DTYPES)
        raise DataError(
            f"{path}: expected an IDX file (magic number 00 00, a type out of {kinds}, the rank), "
            f"found the first bytes '{content[:4].hex(' ')}'."
        )
    dtype, rank = np.dtype(IDX_DTYPES[content[2]]), content[3]
    header = 4 + 4 * rank
    if len(content) < header:
        raise DataError(
            f"{path}: expected a header of {header} bytes for rank {rank}, "
            f"found a file of {len(content)} bytes."
        )
    shape = tuple(np.frombuffer(content, ">u4", rank, offset=4).tolist())
    expected = header + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise DataError(
            f"{path}: expected {expected} bytes for shape {shape} of {dtype.name}, "
            f"found {len(content)}. Delete it and fetch it again."
        )
    values = np.frombuffer(content, dtype, offset=header).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def default_root() -> Path:
    """Return ``$MINIDL_DATA``, or else ``minidl`` in the user's cache directory."""
    if root := os.environ.get("MINIDL_DATA"):
        return Path(root).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "minidl"


def _find(folders: list[Path], name: str) -> Path | None:
    candidates = (folder / (name + suffix) for folder in folders for suffix in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def _download(folder: Path, name: str) -> Path:
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            "mnist(download=True) fetches files with pooch, which is not installed. "
            "Install it with: pip install 'minidl[datasets]'"
        ) from error
    failures = []
    for mirror in MIRRORS:
        try:
            fetched = pooch.retrieve(
                mirror + name + ".gz", "sha256:" + FILES[name], fname=name + ".gz", path=folder
            )
            return Path(fetched)
        except (OSError, ValueError) as error:  # no network or no space; a wrong hash
            failures.append(f"{mirror}: {error}")
    raise DataError(
        f"{name}.gz could not be fetched into {folder}. Fetch it by hand and pass root=. "
        + " | ".join(failures)
    )


def _read_pair(images_path: Path, labels_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read and check one file of images with its file of labels."""
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (SIDE, SIDE):
        raise DataError(
            f"{images_path}: expected uint8 images of shape (n, {SIDE}, {SIDE}), "
            f"found {images.dtype} of shape {images.shape}."
        )
    if labels.dtype != np.uint8 or labels.ndim != 1:
        raise DataError(
            f"{labels_path}: expected uint8 labels of shape (n,), "
            f"found {labels.dtype} of shape {labels.shape}."
        )
    if len(images) != len(labels):
        raise DataError(
            f"{labels_path}: expected {len(images)} labels, one for each image of "
            f"{images_path.name}, found {len(labels)}."
        )
    if len(labels) == 0:
        raise DataError(f"{images_path}: expected at least one image, found none.")
    if labels.max() >= CLASSES:
        where = int(np.argmax(labels >= CLASSES))
        raise DataError(
            f"{labels_path}: expected labels 0 to {CLASSES - 1}, found {labels[where]} at {where}."
        )
    return images, labels


def mnist(
    root: str | os.PathLike | None = None, download: bool = False, dtype: DTypeLike = "float32"
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Load MNIST: 60000 and 10000 handwritten digits of 28 by 28 pixels.

    The files are ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
    ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``, each plain or with ``.gz``.
    Fashion-MNIST, and any other set of the same four names, reads the same way from its own `root`.

    Parameters
    ----------
    root : str or path-like, optional
        The folder with the files; its sub-folder ``mnist`` is looked in too. Default: the
        environment variable ``MINIDL_DATA``, or else ``minidl`` in the user's cache directory.
    download : bool
        Fetch the files that are missing, with pooch, into ``root/mnist``. Their SHA-256 is checked.
    dtype : {"float32", "float64"}
        The dtype of the pixels.

    Returns
    -------
    (X_train, y_train), (X_test, y_test)
        `X` has shape (n, 784), pixels row by row, scaled from 0..255 to [0, 1]; `y` has shape (n,),
        int64, the digit 0 to 9.

    Raises
    ------
    DataError
        A file is missing, damaged, or does not fit its partner.
    ImportError
        ``download=True`` without pooch.

    References
    ----------
    .. [1] Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
       recognition", Proceedings of the IEEE 86(11), 1998.

    Examples
    --------
    >>> from minidl.datasets import mnist
    >>> (X, y), (X_test, y_test) = mnist(download=True)  # doctest: +SKIP
    >>> X.shape, X_test.shape  # doctest: +SKIP
    ((60000, 784), (10000, 784))
    """
    dtype = float_dtype(dtype)
    root = default_root() if root is None else Path(root).expanduser()
    folders = [root, root / "mnist"]
    paths = {name: _find(folders, name) for name in FILES}
    missing = [name for name, path in paths.items() if path is None]
    if missing and not download:
        raise DataError(
            f"MNIST: {', '.join(missing)} (plain or .gz) not found in {folders[0]} or "
            f"{folders[1]}. Pass root= or set MINIDL_DATA to the folder that has them, or fetch "
            "them once with mnist(download=True)."
        )
    for name in missing:
        paths[name] = _download(folders[1], name)

    pairs = []
    for part in ("train", "t10k"):
        images, labels = _read_pair(paths[f"{part}-images-idx3-ubyte"], paths[f"{part}-labels-idx1-ubyte"])
        X = images.reshape(len(images), SIDE * SIDE).astype(dtype)
        X /= 255
        pairs.append((X, labels.astype(np.int64)))
    return pairs[0], pairs[1]
