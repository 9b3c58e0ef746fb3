"""Random streams: a seed and a path name a sequence of draws, whoever asks for it and when."""

from __future__ import annotations

import hashlib
import numbers

import numpy as np

from minidl.errors import OptionError
from minidl.kernels import random

__all__ = ["Stream", "as_stream"]


class Stream:
    """A sequence of 64-bit random draws, named by a seed and a path.

    A stream is a name, not a generator: it has no position, nothing is used up, and equal streams
    give equal numbers in any order of calls, on any machine, with any number of threads. Numbers
    that must differ come from streams of different paths.

    Parameters
    ----------
    seed : int
        Any integer of any size; 0 is a seed like any other.
    *path : str or int
        What the numbers are for, for example ``"0", "weight"``. The parts ``"0"`` and ``0`` differ,
        and so do ``"ab", "c"`` and ``"a", "bc"``.

    Attributes
    ----------
    seed : int
    path : tuple of str or int
    key : tuple of two int
        Two 64-bit words, the BLAKE2b hash of seed and path; the key of a Philox4x64-10 generator.

    Raises
    ------
    OptionError
        The seed is not an integer, or a part of the path is neither str nor int.

    References
    ----------
    Salmon, Moraes, Dror, Shaw, *Parallel random numbers: as easy as 1, 2, 3*, SC 2011.

    Examples
    --------
    >>> stream = Stream(7, "0", "weight")
    >>> stream == Stream(7).child("0").child("weight")
    True
    >>> stream.permutation(5)
    array([2, 3, 1, 4, 0])
    """

    __slots__ = ("key", "path", "seed")

    seed: int
    path: tuple[str | int, ...]
    key: tuple[int, int]

    def __init__(self, seed: int, *path: str | int):
        if not _is_integer(seed):
            raise OptionError(f"seed={seed!r}: expected an integer, for example seed=0.")
        for part in path:
            if not (isinstance(part, str) or _is_integer(part)):
                raise OptionError(f"path: expected parts of type str or int, got {part!r}.")
        path = tuple(part if isinstance(part, str) else int(part) for part in path)
        object.__setattr__(self, "seed", int(seed))
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "key", _hash(self.seed, *path))

    def child(self, *parts: str | int) -> Stream:
        """Return the stream of a longer path."""
        return Stream(self.seed, *self.path, *parts)

    def raw(self, n: int) -> np.ndarray:
        """Return the first n draws, an ndarray of uint64."""
        return random.raw(self.key, 0, n)

    def permutation(self, n: int) -> np.ndarray:
        """Return the numbers 0 .. n-1 in random order, an ndarray of int64."""
        return random.permutation(self.key, n)

    def __setattr__(self, name, value):
        raise AttributeError(f"a Stream cannot be changed (setting {name!r}); make another one")

    def __delattr__(self, name):
        raise AttributeError(f"a Stream cannot be changed (deleting {name!r}); make another one")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Stream):
            return NotImplemented
        return self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __reduce__(self):
        return Stream, (self.seed, *self.path)

    def __repr__(self) -> str:
        return f"Stream({', '.join(repr(part) for part in (self.seed, *self.path))})"


def as_stream(rng: int | Stream) -> Stream:
    """Return a stream for a seed, and a stream as it is.

    Raises
    ------
    OptionError
        `rng` is neither. A NumPy generator is refused: its numbers depend on the order of calls.
    """
    if isinstance(rng, Stream):
        return rng
    if not _is_integer(rng):
        raise OptionError(f"rng={rng!r}: expected an integer seed or a minidl.init.Stream.")
    return Stream(rng)


def _is_integer(x: object) -> bool:
    return isinstance(x, numbers.Integral) and not isinstance(x, bool | np.bool_)


def _hash(*parts: str | int) -> tuple[int, int]:
    """Hash parts to 128 bits. Type and length precede each part: no two paths look the same."""
    state = hashlib.blake2b(digest_size=16, person=b"minidl stream 1")
    for part in parts:
        kind, text = ("s", part) if isinstance(part, str) else ("i", f"{part:x}")
        data = text.encode("utf-8", "surrogatepass")
        state.update(f"{kind}{len(data)}:".encode() + data)
    digest = state.digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")
