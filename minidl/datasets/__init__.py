"""Data sets to learn on: two that are computed, two that are read.

>>> from minidl.datasets import spirals
>>> X, y = spirals(300)
>>> X.shape, y.shape
((300, 2), (300,))

======================  =============================  =======================================
name                    what                           needs
======================  =============================  =======================================
:func:`shapeset`        images of one or two shapes    NumPy
:func:`spirals`         interleaved spirals, 2-D       NumPy
:func:`digits`          1797 digits of 8 by 8 pixels   scikit-learn
:func:`mnist`           70000 digits of 28 by 28       its four files, or pooch to fetch them
======================  =============================  =======================================
"""

from .digits import digits
from .mnist import mnist
from .shapeset import shapeset
from .spirals import spirals

__all__ = ["digits", "mnist", "shapeset", "spirals"]
