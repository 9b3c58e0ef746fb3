"""The roofs of this machine: multiply-adds per second, and bytes per second.

A kernel is judged by its distance from them: one that computes by :func:`fma_peak`, one that moves data by
:func:`copy_bandwidth` or :func:`triad_bandwidth`, a team whose threads read what others wrote by
:func:`handover_bandwidth`. Each is the best of many short tries of about two milliseconds, because whatever
else the machine does can only make a try slower. A core may run at another clock a second later: measure the
roof in the same run as the kernel, and more than once.
"""

import numpy as np

from cython.parallel cimport parallel, threadid
from libc.string cimport memcpy, memset

from minidl.kernels._leaf cimport MDL_MAX_CHAINS, Matrix, leaves, matrix, mdl_leaves

cdef extern from "team.h" nogil:
    ctypedef struct mdl_barrier:
        pass
    int mdl_team_size()
    void mdl_wait(mdl_barrier *barrier, int n_threads)
    double mdl_seconds()

from minidl import options
from minidl.data import float_dtype
from minidl.errors import out_of_range
from minidl.kernels import threads

cdef double TRY_SECONDS = 0.002  # shorter than a time slice of the operating system
cdef int LEAST_TRIES = 5

cdef enum Kind:
    FMA
    COPY
    TRIAD
    HANDOVER

# One try: what to run how often, and how long it took.
cdef struct Try:
    Kind kind
    const mdl_leaves *leaf
    ptrdiff_t repeats        # FMA: steps of the chains; else: passes over the arrays
    ptrdiff_t n              # elements of an array
    char *x
    char *y
    char *out
    mdl_barrier barrier
    double started, seconds
    ptrdiff_t team           # threads that took part: fewer than asked for if OpenMP grants no more


cdef void take_turns(Try *job, char *own, ptrdiff_t thread, ptrdiff_t n_threads) noexcept nogil:
    """Thread 0 updates an array, then the others read it, with memory of their own beside, and so on."""
    cdef ptrdiff_t _
    for _ in range(job.repeats):
        if thread == 0:
            job.leaf.triad(job.n, 0.0, job.out, job.out, job.out)  # ones stay ones
        if n_threads > 1:
            mdl_wait(&job.barrier, <int> n_threads)
        if thread > 0:
            job.leaf.triad(job.n, 0.0, own, job.out, own)
        if n_threads > 1:
            mdl_wait(&job.barrier, <int> n_threads)


cdef void run_share(Try *job, ptrdiff_t thread, ptrdiff_t n_threads) noexcept nogil:
    """One thread's share: its own chains, its slice of the arrays, or its turns with all of one."""
    cdef double chains[MDL_MAX_CHAINS]
    cdef ptrdiff_t size = job.leaf.item_size, first, count, _
    if job.kind == FMA:
        job.leaf.fma_chains(job.repeats, 0.5, 1.0, chains)
        return
    if job.kind == HANDOVER:
        take_turns(job, job.x + thread * job.n * size, thread, n_threads)
        return
    first = job.n * thread // n_threads
    count = job.n * (thread + 1) // n_threads - first
    first *= size
    for _ in range(job.repeats):
        if job.kind == COPY:
            memcpy(job.out + first, job.x + first, count * size)
        else:
            job.leaf.triad(count, 0.5, job.x + first, job.y + first, job.out + first)


cdef void time_share(Try *job, ptrdiff_t thread, ptrdiff_t n_threads) noexcept nogil:
    """All threads start together, and the slowest counts."""
    if n_threads > 1:
        mdl_wait(&job.barrier, <int> n_threads)
    if thread == 0:
        job.team = n_threads
        job.started = mdl_seconds()
    run_share(job, thread, n_threads)
    if n_threads > 1:
        mdl_wait(&job.barrier, <int> n_threads)
    if thread == 0:
        job.seconds = mdl_seconds() - job.started


cdef void time_once(Try *job, int team) noexcept nogil:
    if team == 1:
        time_share(job, 0, 1)
    else:
        with parallel(num_threads=team):
            time_share(job, threadid(), mdl_team_size())


cdef double best_rate(Try *job, int team, double seconds) except -1.0:
    """Most repeats per second in tries that take so many seconds together."""
    cdef double best = 0.0, spent = 0.0
    cdef int tries = 0
    job.repeats = 1
    while tries < LEAST_TRIES or spent < seconds:
        with nogil:
            time_once(job, team)
        best = max(best, job.repeats / max(job.seconds, 1e-9))
        spent += job.seconds
        tries += 1
        if job.seconds < TRY_SECONDS / 2:  # too short to be true, and so were those before it
            job.repeats *= 2
            best = 0.0
            tries = 0
    return best


def fma_peak(dtype="float32", n_threads=1, seconds=0.05):
    """The most floating-point operations per second that multiply-adds on registers reach.

    Every thread runs independent chains ``x = a x + b`` in the widest vectors of the instruction set level
    in use; all threads run at once. On a level without FMA the two operations are two instructions.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    n_threads : int
    seconds : float
        How long to try; the best try counts.

    Returns
    -------
    float
        GFLOP/s of all threads together; a multiply-add counts as 2.

    Raises
    ------
    DtypeError, OptionError
        For another dtype, or a number out of range.

    Examples
    --------
    >>> fma_peak("float64") > 0
    True
    """
    cdef Try job = new_try(FMA, dtype, seconds)
    cdef int team = threads.explicit_team(n_threads)
    cdef double steps = best_rate(&job, team, seconds)
    return 2e-9 * steps * job.team * job.leaf.n_chains * job.leaf.lanes


def copy_bandwidth(n_bytes=2**26, n_threads=1, seconds=0.2):
    """The most bytes per second that copying an array to another moves.

    The copy is memcpy of the C library. Bytes read and bytes written are counted: 2 n_bytes. What a CPU
    reads besides, the cache lines that it is about to overwrite, is not counted; memcpy avoids it for
    arrays much larger than the caches. For a cache take :func:`triad_bandwidth`: there memcpy has slow sizes.

    Parameters
    ----------
    n_bytes : int
        Of one array. Take a multiple of the last cache to measure the memory.
    n_threads : int
        Each thread copies its own slice, all at once.
    seconds : float
        How long to try; the best try counts.

    Returns
    -------
    float
        GB/s, 1 GB = 1e9 bytes.

    Examples
    --------
    >>> copy_bandwidth(2**20) > 0
    True
    """
    return 2e-9 * _array_rate(COPY, n_bytes, n_threads, seconds)


def triad_bandwidth(n_bytes=2**26, n_threads=1, seconds=0.2):
    """The most bytes per second that ``out = x + s y`` moves: the triad of the STREAM benchmark.

    Four streams are counted, 4 n_bytes: x and y are read, out is written, and before that read, because
    an ordinary store fetches the cache line that it changes. STREAM itself counts three of them: compare
    its figure with 3/4 of this one. Where the arrays fit a cache, the fetch is no traffic, and 3/4 of the
    figure is what moves.

    Parameters
    ----------
    n_bytes : int
        Of one of the three arrays. Take a multiple of the last cache to measure the memory, less for a cache.
    n_threads, seconds
        As for :func:`copy_bandwidth`.

    Returns
    -------
    float
        GB/s, 1 GB = 1e9 bytes.

    References
    ----------
    McCalpin, "Memory bandwidth and machine balance in current high performance computers", 1995.

    Examples
    --------
    >>> triad_bandwidth(2**20) > 0
    True
    """
    return 4e-9 * _array_rate(TRIAD, n_bytes, n_threads, seconds)


def handover_bandwidth(n_bytes=2**16, n_threads=2, seconds=0.05):
    """The most bytes per second of an array that one thread updates and the others read, again and again.

    A core can write a cache line only while no other core has a copy. In a training step every core reads
    weights and activations that another one wrote, and the next step writes them again: each line goes there
    and is asked back. How long that takes depends on where the cores lie: side by side at one cache, or far
    apart on a chip. In a virtual machine they may change places while a program runs. Waiting for each other,
    between update and reading, counts, too.

    Parameters
    ----------
    n_bytes : int
        Of the array. Take one that fits the cache of a core.
    n_threads : int
        One updates, the others read. With 1 nothing changes hands: compare with that.
    seconds : float
        How long to try; the best try counts.

    Returns
    -------
    float
        GB/s, 1 GB = 1e9 bytes: n_bytes for each update and the reading after it. 64 divided by it is the
        time of a cache line in ns.

    Examples
    --------
    >>> handover_bandwidth(2**12, n_threads=1) > 0
    True
    """
    return 1e-9 * _array_rate(HANDOVER, n_bytes, n_threads, seconds)


def fma_chains(steps, a, b, dtype="float32"):
    """What :func:`fma_peak` computes, so that one can see that it computes it.

    Parameters
    ----------
    steps : int
    a, b : float
        Rounded to the dtype.
    dtype : {"float32", "float64"}

    Returns
    -------
    ndarray
        Chain i after so many steps ``x = a x + b`` from x = i. Without rounding errors that is
        ``f + (i - f) a**steps`` with the fixed point ``f = b / (1 - a)``.

    Examples
    --------
    >>> fma_chains(2, 0.5, 1.0)[:3]
    array([1.5 , 1.75, 2.  ], dtype=float32)
    """
    cdef Try job = new_try(FMA, dtype, 1.0)
    if isinstance(steps, bool) or not hasattr(steps, "__index__") or int(steps) < 0:
        raise out_of_range("steps", steps, "an integer >= 0")
    chains = np.empty(job.leaf.n_chains, dtype)
    cdef Matrix view = matrix(chains, True)
    cdef ptrdiff_t n = steps
    cdef double a_ = a, b_ = b
    with nogil:
        job.leaf.fma_chains(n, a_, b_, view.data)
    return chains


cdef double _array_rate(Kind kind, n_bytes, n_threads, seconds) except -1.0:
    """Bytes of one array times passes over it, per second."""
    cdef Try job = new_try(kind, "float64", seconds)
    job.n = (options.count("n_bytes", n_bytes, 1) + 7) // 8
    cdef int team = threads.explicit_team(n_threads)
    # ones, not empty: memory that was never touched is not there yet
    cdef Matrix x = matrix(np.ones(job.n * (team if kind == HANDOVER else 1)), True)
    cdef Matrix out = matrix(np.ones(job.n), True)
    cdef Matrix y = matrix(np.ones(job.n)) if kind == TRIAD else x
    job.x = x.data
    job.y = y.data
    job.out = out.data
    return best_rate(&job, team, seconds) * job.n * 8


cdef Try new_try(Kind kind, dtype, seconds) except *:
    cdef Try job
    memset(&job, 0, sizeof(job))  # the barrier open
    job.kind = kind
    if not (isinstance(seconds, (int, float)) and seconds >= 0):
        raise out_of_range("seconds", seconds, "a number >= 0")
    job.leaf = leaves(float_dtype(dtype).itemsize == 8)
    return job
