"""Names of initializers: from what a user writes to a strategy object, and from a file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

import numpy as np

from minidl.errors import MinidlError, OptionError, unknown_name
from minidl.init.arrays import Fixed, FromFunction
from minidl.init.base import Initializer
from minidl.options import parse_call

__all__ = ["from_dict", "get", "names", "register"]

_factories: dict[str, Callable[..., Initializer]] = {}
_classes: dict[str, type[Initializer]] = {"Fixed": Fixed}
_values: dict[str, type] = {}  # arguments of initializers that are objects, but no initializers


def register(name: str, factory: Callable[..., Initializer] | None = None, *, replace: bool = False):
    """Give an initializer a name, which :func:`get` and every ``init=`` argument then accept.

    Parameters
    ----------
    name : str
        A Python identifier.
    factory : callable, optional
        A subclass of :class:`Initializer`, or a function that returns an initializer. Without it,
        ``register`` is a decorator. Only a class can be read back from a file.
    replace : bool
        Whether the name may be in use already.

    Returns
    -------
    callable
        The factory, or a decorator.

    Raises
    ------
    OptionError
        The name is not an identifier, or is in use.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from minidl.init import Uniform
    >>> @register("wide_uniform")
    ... @dataclass(frozen=True, repr=False)
    ... class WideUniform(Initializer):
    ...     def law(self, fan_in, fan_out):
    ...         return Uniform(-3.0 / fan_in, 3.0 / fan_in)
    >>> get("wide_uniform").bound(30, 10)
    0.1
    """
    if factory is None:
        return lambda decorated: register(name, decorated, replace=replace)
    if not isinstance(name, str) or not name.isidentifier():
        raise OptionError(f"name={name!r}: expected an identifier, for example 'my_init'.")
    if not callable(factory):
        raise OptionError(f"factory={factory!r}: expected an Initializer class or a function.")
    is_class = isinstance(factory, type) and issubclass(factory, Initializer)
    taken = name in _factories or (is_class and _classes.get(factory.__name__, factory) is not factory)
    if taken and not replace:
        raise OptionError(f"name={name!r} (or the name of its class) is in use; pass replace=True.")
    _factories[name] = factory
    if is_class:
        _classes[factory.__name__] = factory
    return factory


def register_value(cls: type) -> type:
    """Let records hold objects of a class that is an argument of initializers; it has ``to_dict``."""
    _values[cls.__name__] = cls
    return cls


def names() -> list[str]:
    """Return the names that :func:`get` knows, sorted.

    Examples
    --------
    >>> "he_normal" in names()
    True
    """
    return sorted(_factories)


def factory(name: str) -> Callable[..., Initializer]:
    """Return what a name stands for: a class, or a function that returns an initializer.

    Raises
    ------
    OptionError
        The name is unknown.

    Examples
    --------
    >>> factory("he").__name__
    'He'
    """
    if name not in _factories:
        raise unknown_name("init", name, _factories)
    return _factories[name]


def get(x: object) -> Initializer:
    """Return the initializer that `x` stands for.

    Parameters
    ----------
    x : Initializer, str, ndarray or callable
        An initializer is returned as it is. A string is a name, ``"he_normal"``, or a name with
        literal arguments, ``"he_normal(mode='fan_out')"``. An array becomes :class:`Fixed`. A
        callable ``f(shape, stream, dtype)`` that returns an array becomes :class:`FromFunction`.

    Returns
    -------
    Initializer

    Raises
    ------
    OptionError
        The name is unknown, the arguments do not fit, or `x` is something else.

    Examples
    --------
    >>> from minidl.init import He
    >>> get("kaiming_normal") == get("he_normal") == He()
    True
    >>> get("he_uniform(mode='fan_out', slope=0.2)")
    He(distribution='uniform', mode='fan_out', slope=0.2)
    """
    if isinstance(x, Initializer):
        return x
    if isinstance(x, str):
        name, args, kwargs = parse_call("init", x, "'he_normal(mode=\"fan_out\")'")
        return _make(x, factory(name), args, kwargs)
    if isinstance(x, np.ndarray):
        return Fixed(x)
    if isinstance(x, type) and issubclass(x, Initializer):
        return _make(x.__name__, x, (), {})
    if callable(x):
        return FromFunction(x)
    raise OptionError(
        f"init={x!r}: expected a name, an Initializer, an array, or a function "
        "f(shape, stream, dtype) that returns an array."
    )


def from_dict(record: Mapping) -> Initializer:
    """Return the initializer that ``to_dict`` wrote.

    Raises
    ------
    OptionError
        The record has no known name, or its values do not fit.

    Examples
    --------
    >>> from minidl.init import He
    >>> from_dict(He(slope=0.1).to_dict())
    He(slope=0.1)
    """
    if not isinstance(record, Mapping) or not isinstance(record.get("name"), str):
        raise OptionError(f"expected a dict with the 'name' of an initializer, got {record!r}.")
    values = dict(record)
    name = values.pop("name")
    if name not in _classes:
        raise unknown_name("name", name, _classes)
    arguments = {key: _decode(value) for key, value in values.items()}
    return _make(name, _classes[name].from_arguments, (arguments,), {})


def _decode(value: object) -> object:
    """Rebuild the initializers and their arguments inside sequences."""
    if isinstance(value, Mapping):
        if value.get("name") in _values:
            values = dict(value)
            return _values[values.pop("name")](**values)
        return from_dict(value)
    if isinstance(value, list):
        return [_decode(item) for item in value]
    return value


def _make(text: str, factory: Callable, args: tuple, kwargs: dict) -> Initializer:
    """Call a factory; arguments that it does not have are the user's error, not ours."""
    try:
        result = factory(*args, **kwargs)
    except MinidlError:
        raise
    except TypeError as error:
        known = ", ".join(inspect.signature(factory).parameters) or "no arguments"
        raise OptionError(f"init={text!r}: {error}. It takes {known}.") from error
    if not isinstance(result, Initializer):
        raise OptionError(f"init={text!r}: its factory returned {result!r}, not an Initializer.")
    return result


register("fixed", Fixed)
