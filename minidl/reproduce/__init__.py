"""Published tables, computed again: the paper's number, the theory's and ours side by side.

>>> from minidl import reproduce
>>> list(reproduce.REPRODUCTIONS)
['glorot2010']
>>> reproduce.get("glorot2011")
Traceback (most recent call last):
minidl.errors.OptionError: reproduction='glorot2011' is unknown. Did you mean 'glorot2010'? Known: glorot2010.

The README of this folder says how to read a table and how to add a paper.
"""

from minidl.errors import unknown_name
from minidl.reproduce.base import Reproduction
from minidl.reproduce.glorot2010 import Glorot2010
from minidl.reproduce.report import Report, Row

__all__ = ["REPRODUCTIONS", "Glorot2010", "Report", "Reproduction", "Row", "get"]

#: name -> class
REPRODUCTIONS: dict[str, type[Reproduction]] = {Glorot2010.name: Glorot2010}


def get(name: str) -> Reproduction:
    """Return a reproduction by its name.

    Raises
    ------
    OptionError
        For a name that is not known; the message lists those that are.

    Examples
    --------
    >>> get("glorot2010").paper
    'Glorot, Bengio, 2010, Understanding the difficulty of training deep feedforward neural networks'
    """
    if name not in REPRODUCTIONS:
        raise unknown_name("reproduction", name, REPRODUCTIONS)
    return REPRODUCTIONS[name]()
