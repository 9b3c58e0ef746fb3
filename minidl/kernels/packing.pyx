"""Whether the matrix product packs: copies a panel of b or a block of a first, or reads it in place.

By default ("auto") the product packs where that is faster. The bits are the same either way, and to
prove it tests force one path: "always", or "never" where there is a choice (a matrix whose rows are not
contiguous is packed even then). The environment variable ``MINIDL_PACKING`` is read once, at import.
"""

import os
from contextlib import contextmanager

from minidl.errors import unknown_name

POLICIES = ("auto", "always", "never")

cdef enum:
    AUTO
    ALWAYS
    NEVER

cdef int policy = AUTO


cdef bint packs(bint worthwhile) noexcept nogil:
    return worthwhile if policy == AUTO else policy == ALWAYS


def packing():
    """Name of the policy in use.

    Examples
    --------
    >>> packing()
    'auto'
    """
    return POLICIES[policy]


def set_packing(name, argument="packing"):
    """Pack where it is faster ("auto"), wherever possible ("always"), or only where needed ("never").

    Raises
    ------
    OptionError
        For another name.
    """
    global policy
    if name not in POLICIES:
        raise unknown_name(argument, name, POLICIES)
    policy = POLICIES.index(name)


@contextmanager
def use_packing(name):
    """Use another policy inside a ``with`` block, in all threads.

    Examples
    --------
    >>> with use_packing("always"):
    ...     packing()
    'always'
    """
    before = packing()
    set_packing(name)
    try:
        yield
    finally:
        set_packing(before)


set_packing(os.environ.get("MINIDL_PACKING") or "auto", "MINIDL_PACKING")
