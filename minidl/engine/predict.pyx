"""Prediction for a few rows, in a microsecond: no lookup, no conversion.

Python calls this with whatever it was given; it returns None for anything but an ordinary array of the
right dtype and width, and for many rows. The general path then takes over. The ops, and so the bits, are the
same. Little work holds the GIL and runs on one thread; more goes through BoundProgram.run, which finds out
whether a team pays.
"""

import os

cimport numpy as cnp
from libc.stdint cimport uint64_t

from minidl.engine.plan cimport BoundOp, Plan, Step, mdl_flush_subnormals, mdl_restore_floats
from minidl.engine.program cimport BoundProgram
from minidl.kernels._leaf cimport leaves

from minidl.kernels import threads

cnp.import_array()

# Work of one call that goes the short way; a single row always may. Some forty microseconds, which may hold
# the GIL: Python itself keeps it for 5000.
SMALL_FLOPS = 4e6
# Work that one thread does even where there are more: some thirty microseconds.
ALONE_FLOPS = 3e6

cdef enum:
    MAX_PLACES = 8  # operands of a program that are its input or its output


def most_rows(flops_per_row):
    """Return how many rows of so many operations may go the short way.

    Examples
    --------
    >>> most_rows(1e6), most_rows(1e9)
    (4, 1)
    """
    return int(max(1.0, SMALL_FLOPS / max(flops_per_row, 1.0)))


cdef class SmallPredictor:
    """Runs a program that predicts, on arrays that need no preparation.

    Parameters
    ----------
    bound : BoundProgram
        Of purpose "predict"; nobody else may run it.
    n_inputs, n_outputs : int
    """

    cdef BoundProgram bound
    cdef int type_number
    cdef ptrdiff_t n_inputs, n_outputs, item_size, max_rows, rows_small, rows_alone
    cdef bint busy  # the program runs, perhaps without the GIL
    cdef object process
    cdef int n_inputs_at, n_outputs_at
    cdef char **input_at[MAX_PLACES]
    cdef char **output_at[MAX_PLACES]
    cdef ptrdiff_t *input_stride[MAX_PLACES]

    def __init__(self, BoundProgram bound, n_inputs, n_outputs):
        cdef BoundOp *op
        self.bound = bound
        self.n_inputs = n_inputs
        self.n_outputs = n_outputs
        self.item_size = bound.plan.leaf.item_size
        self.process = os.getpid()
        self.type_number = cnp.NPY_DOUBLE if self.item_size == 8 else cnp.NPY_FLOAT
        flops_per_row = max(bound.program.flops(1), 1.0)
        self.max_rows = most_rows(flops_per_row)
        self.rows_small = <ptrdiff_t> (SMALL_FLOPS / flops_per_row)
        self.rows_alone = <ptrdiff_t> (ALONE_FLOPS / flops_per_row)
        for position, operand in bound.lent_by_name["x"]:
            op = &bound.plan.ops[<ptrdiff_t> position]
            self.input_at[self.n_inputs_at] = &op.p[<int> operand]
            self.input_stride[self.n_inputs_at] = &op.stride[<int> operand]
            self.n_inputs_at += 1
        for position, operand in bound.lent_by_name["output"]:
            op = &bound.plan.ops[<ptrdiff_t> position]
            self.output_at[self.n_outputs_at] = &op.p[<int> operand]
            op.stride[<int> operand] = self.n_outputs * self.item_size
            self.n_outputs_at += 1
        bound._prepare_team(1)

    def __call__(self, X, n_threads=None):
        """Return the outputs for the rows of X, or None if the general path must see to it."""
        if not cnp.PyArray_CheckExact(X):
            return None
        cdef cnp.ndarray array = X
        if (cnp.PyArray_NDIM(array) != 2 or cnp.PyArray_TYPE(array) != self.type_number
                or not cnp.PyArray_ISBEHAVED_RO(array)):
            return None
        cdef ptrdiff_t rows = cnp.PyArray_DIM(array, 0), stride = cnp.PyArray_STRIDE(array, 0)
        cdef Plan *plan = &self.bound.plan
        if (cnp.PyArray_DIM(array, 1) != self.n_inputs or rows < 1 or rows > self.max_rows
                or cnp.PyArray_STRIDE(array, 1) != self.item_size
                or stride < self.n_inputs * self.item_size or stride % self.item_size != 0
                or plan.leaf != leaves(self.item_size == 8)):
            return None
        cdef bint by_itself = rows <= self.rows_alone or rows <= self.rows_small and (
            n_threads == 1 or threads.limit()[0] == 1)
        cdef cnp.npy_intp shape[2]
        shape[0] = rows
        shape[1] = self.n_outputs
        cdef cnp.ndarray result = cnp.PyArray_EMPTY(2, shape, self.type_number, 0)
        cdef int i
        if self.busy:
            return None
        # from here on no Python code, during which another thread might come, until it is busy or done
        for i in range(self.n_inputs_at):
            self.input_at[i][0] = <char *> cnp.PyArray_DATA(array)
            self.input_stride[i][0] = stride
        for i in range(self.n_outputs_at):
            self.output_at[i][0] = <char *> cnp.PyArray_DATA(result)
        if by_itself:
            self.run(rows)
            return result
        self.busy = True
        cdef ptrdiff_t done = 0, n_steps = (rows + plan.batch - 1) // plan.batch
        try:
            while done < n_steps:  # a run ends early to try another team
                done, _ = self.bound.run(rows, done, n_steps, None, n_threads=n_threads)
        finally:
            self.busy = False
        return result

    def is_stale(self):
        """Return whether another instruction set level is in use now, or this is a fork of a busy process."""
        forked = self.busy and self.process != os.getpid()
        return self.bound.plan.leaf != leaves(self.item_size == 8) or forked

    cdef void run(self, ptrdiff_t rows) noexcept:
        cdef Plan *plan = &self.bound.plan
        cdef Step step
        cdef ptrdiff_t o
        cdef uint64_t before = mdl_flush_subnormals()
        step.index = NULL
        step.scale = 0.0
        step.lr = 0.0
        step.first_update = False
        step.fused = False
        step.first_row = 0
        while step.first_row < rows:
            step.rows = min(rows - step.first_row, plan.batch)
            for o in range(plan.n_ops):
                plan.ops[o].run(&plan.ops[o], plan, &step, 0, 1)
            step.first_row += step.rows
        mdl_restore_floats(before)
