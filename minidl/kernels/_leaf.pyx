"""The one owner of the C leaves: which instruction set level is in use, and what the build has.

The level is chosen once, at import: the highest that this build has and this CPU can run, lowered by
the environment variable ``MINIDL_ISA`` (portable, neon, x86-64-v3, x86-64-v4). Tests and studies may
change it with :func:`use_isa`; programs that are already bound keep theirs.
"""

import os
from contextlib import contextmanager

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release,
    PyObject_GetBuffer,
)

from minidl.errors import DtypeError, IsaError, ShapeError, unknown_name

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    #define MDL_OPENMP _OPENMP
    static int mdl_omp_limit(void) { return omp_get_max_threads(); }
    #else
    #define MDL_OPENMP 0
    static int mdl_omp_limit(void) { return 1; }
    #endif
    #ifdef __VERSION__
    #define MDL_COMPILER __VERSION__
    #else
    #define MDL_COMPILER "unknown"
    #endif
    """
    const int MDL_OPENMP
    const char *MDL_COMPILER
    int mdl_omp_limit() nogil

cdef const mdl_leaves *in_use[2]


cdef const mdl_leaves *leaves(bint is_double) noexcept nogil:
    return in_use[1 if is_double else 0]


def known_isa():
    """Names of all levels minidl knows, lowest first."""
    return tuple(mdl_level_names[level].decode() for level in range(MDL_N_LEVELS))


def available_isa():
    """Names of the levels that this build has and this CPU can run, lowest first.

    Examples
    --------
    >>> available_isa()[0]
    'portable'
    """
    return tuple(
        mdl_level_names[level].decode() for level in range(MDL_N_LEVELS)
        if mdl_table(level, 0) is not NULL
    )


def isa():
    """Name of the level in use.

    Examples
    --------
    >>> isa() in available_isa()
    True
    """
    return mdl_level_names[in_use[0].level].decode()


def fused():
    """True if the level in use rounds ``a*b + c`` once, as the contract minidl-num-1 demands."""
    return bool(in_use[0].fused and in_use[1].fused)


def set_isa(name):
    """Use another instruction set level for kernels and for programs bound from now on.

    Parameters
    ----------
    name : str
        One of :func:`available_isa`.

    Raises
    ------
    OptionError
        If no level has that name.
    IsaError
        If this build or this CPU does not have it.
    """
    names = known_isa()
    if name not in names:
        raise unknown_name("isa", name, names)
    cdef int level = names.index(name)
    if mdl_table(level, 0) is NULL:
        raise IsaError(
            f"instruction set level {name!r} is not available on this machine. "
            f"Available: {', '.join(available_isa())}. "
            "MINIDL_ISA can only lower the level; unset it to use the highest."
        )
    in_use[0] = mdl_table(level, 0)
    in_use[1] = mdl_table(level, 1)


@contextmanager
def use_isa(name):
    """Use another instruction set level inside a ``with`` block.

    Examples
    --------
    >>> with use_isa("portable"):
    ...     isa()
    'portable'
    """
    before = isa()
    set_isa(name)
    try:
        yield
    finally:
        set_isa(before)


def activation_table():
    """The activations that the leaves know: name -> (saves, number of parameters).

    ``saves`` is "output" where the derivative is computed from y, else "derivative".
    """
    return {
        mdl_act_names[i].decode(): (
            "output" if mdl_act_saves_output[i] else "derivative", mdl_act_params[i])
        for i in range(MDL_N_ACT)
    }


def vmath_names():
    """Names of the vector functions, for :func:`minidl.kernels.vmath`."""
    return tuple(mdl_vmath_names[i].decode() for i in range(MDL_N_VMATH))


def loss_names():
    """Names of the loss kernels, for :func:`minidl.kernels.loss`."""
    return tuple(mdl_loss_names[i].decode() for i in range(MDL_N_LOSS))


def openmp_version():
    """The ``_OPENMP`` date of the compiler as an integer, 0 for a build without OpenMP."""
    return MDL_OPENMP


def openmp_limit():
    """What OpenMP would use: OMP_NUM_THREADS, or the CPUs this process may run on."""
    return mdl_omp_limit()


def compiler():
    """Version string of the C compiler that built the extensions."""
    return MDL_COMPILER.decode()


cdef class Matrix:
    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.buffer)


cdef Matrix matrix(object array, bint writable=False):
    """Borrow a 1-D (one row) or 2-D array of float32 or float64.

    Raises DtypeError or ShapeError; a caller with a name for the argument words its own error first.
    """
    cdef Matrix view = Matrix.__new__(Matrix)
    cdef int flags = PyBUF_STRIDES | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0)
    try:
        PyObject_GetBuffer(array, &view.buffer, flags)
    except (BufferError, ValueError) as error:
        raise DtypeError(f"cannot use this array in place: {error}") from None
    view.held = True
    cdef char kind = view.buffer.format[0]
    if (kind != b"f" and kind != b"d") or view.buffer.format[1] != 0:
        raise DtypeError(
            f"expected float32 or float64, got buffer format {view.buffer.format.decode()!r}")
    if view.buffer.ndim != 1 and view.buffer.ndim != 2:
        raise ShapeError(f"expected a 1-D or 2-D array, got {view.buffer.ndim} dimensions")
    cdef int last = view.buffer.ndim - 1
    view.item_size = view.buffer.itemsize
    view.data = <char *> view.buffer.buf
    view.rows = view.buffer.shape[0] if last == 1 else 1
    view.cols = view.buffer.shape[last]
    view.row_stride = view.buffer.strides[0] if last == 1 else view.cols * view.item_size
    view.col_stride = view.buffer.strides[last]
    if view.row_stride % view.item_size or view.col_stride % view.item_size:
        raise ShapeError("expected strides that are multiples of the item size; make a copy")
    view.row_stride //= view.item_size
    view.col_stride //= view.item_size
    if view.cols <= 1:  # the stride of a single column means nothing
        view.col_stride = 1
    view.leaf = leaves(view.item_size == 8)
    return view


cdef void *data_of(object array, str formats, bint writable) except NULL:
    cdef Py_buffer buffer
    cdef int flags = PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | (PyBUF_WRITABLE if writable else 0)
    PyObject_GetBuffer(array, &buffer, flags)
    cdef bint fits = buffer.format.decode() in formats
    cdef void *data = buffer.buf
    PyBuffer_Release(&buffer)
    if not fits:
        raise DtypeError(f"expected an array of buffer format {formats!r}, got {array.dtype}")
    return data


def _choose_level():
    """Set the level at import."""
    requested = os.environ.get("MINIDL_ISA", "")
    try:
        set_isa(requested if requested else mdl_level_names[mdl_best_level()].decode())
    except Exception as error:
        raise IsaError(f"MINIDL_ISA={requested}: {error}") from None


_choose_level()
