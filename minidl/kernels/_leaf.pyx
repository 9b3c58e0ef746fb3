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

import numpy as np

from minidl.errors import DtypeError, IsaError, ShapeError, unknown_name

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    #define MDL_OPENMP _OPENMP
    static int mdl_omp_max_threads(void) { return omp_get_max_threads(); }
    static int mdl_omp_thread_limit(void) { return omp_get_thread_limit(); }
    /* Ends the pool of the calling thread. The runtime of LLVM renews itself after a fork and needs no
       such help; that of GCC can do it from version 9 on. */
    #if defined(__clang__)
    static int mdl_omp_pause(void) { return 0; }
    #elif __GNUC__ >= 9
    static int mdl_omp_pause(void) { return omp_pause_resource_all(omp_pause_soft); }
    #else
    static int mdl_omp_pause(void) { return -1; }
    #endif
    #else
    #define MDL_OPENMP 0
    static int mdl_omp_max_threads(void) { return 1; }
    static int mdl_omp_thread_limit(void) { return 1; }
    static int mdl_omp_pause(void) { return 0; }
    #endif
    #ifdef __VERSION__
    #define MDL_COMPILER __VERSION__
    #else
    #define MDL_COMPILER "unknown"
    #endif
    """
    const int MDL_OPENMP
    const char *MDL_COMPILER
    int mdl_omp_max_threads() nogil
    int mdl_omp_thread_limit() nogil
    int mdl_omp_pause() nogil

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


def deviations():
    """What makes the bits of this thread differ from those of minidl-num-1, in words; mostly nothing.

    Examples
    --------
    >>> isinstance(deviations(), list)
    True
    """
    cdef int faults = in_use[0].canary() | in_use[1].canary()
    found = []
    if not (in_use[0].fused and in_use[1].fused):
        found.append("without FMA")
    if faults & MDL_CONTRACTS:
        found.append("compiled with contraction of a*b + c")
    if faults & MDL_SPLITS_FMA:
        found.append("FMA rounds twice")
    if faults & MDL_ROUNDS_OTHERWISE:
        found.append("the rounding mode is not to nearest")
    return found


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


def openmp_max_threads():
    """What OpenMP would use: OMP_NUM_THREADS, or the CPUs at start-up, or what omp_set_num_threads said."""
    return mdl_omp_max_threads()


def openmp_thread_limit():
    """What OpenMP will not exceed, whatever is asked for: OMP_THREAD_LIMIT."""
    return mdl_omp_thread_limit()


def openmp_pause():
    """End the OpenMP threads that wait for the calling thread; its next region starts new ones.

    Returns True if the calling thread now may fork: a child of a thread that has a pool would wait for
    threads which are not there.
    """
    cdef int failed
    with nogil:
        failed = mdl_omp_pause()
    return failed == 0


def compiler():
    """Version string of the C compiler that built the extensions."""
    return MDL_COMPILER.decode()


def check_floats(name, x):
    """Raise DtypeError, naming the argument, unless x is an array that the leaves can read in place."""
    if not isinstance(x, np.ndarray) or x.dtype.char not in "fd" or not x.dtype.isnative:
        raise DtypeError(f"{name}: expected an ndarray of float32 or float64, got "
                         f"{getattr(x, 'dtype', type(x).__name__)}.")
    if not x.flags.aligned:
        raise DtypeError(f"{name} starts at an address that is no multiple of its item size: "
                         f"pass {name}.copy().")


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
        if view.buffer.format in (b"=f", b"=d"):
            raise DtypeError("an array starts at an address that is no multiple of its item size: copy it")
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
