"""Binds a program to memory: names become pointers, and the ops of a step a plan that runs without the GIL.

How a run walks through its steps is minidl/engine/steps.pyx, what an op does minidl/engine/execute.pyx. Here
are the memory, the team of threads (with one thread no OpenMP call is made), and what comes back to Python.
"""

from cpython.exc cimport PyErr_CheckSignals
from cython.parallel cimport parallel, threadid
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

cimport numpy as cnp

from minidl.engine.execute cimport assign_run
from minidl.engine.plan cimport (
    C_INTERRUPTED, CACHE_LINE, CLOCK_FLOPS, BoundOp, CachedProduct, Plan, Step, mdl_flush_subnormals,
    mdl_restore_floats, mdl_seconds, mdl_team_size,
)
from minidl.engine.steps cimport run_share, sum_weights, time_passes
from minidl.kernels._leaf cimport Matrix, data_of, leaves, matrix
from minidl.kernels.activation cimport ActivationCall, activation_call
from minidl.kernels.gemm cimport scratch_bytes

import math

import numpy as np

from minidl.engine.ops import TILES
from minidl.engine.params import aligned_zeros
from minidl.kernels import threads
from minidl.kernels.tuner import TeamTuner, Way
from minidl.kernels._leaf import loss_names

cnp.import_array()

# Bytes of parameters from which teams also try to write them past the caches: fewer had better stay there.
cdef ptrdiff_t STREAM_BYTES = 256 * 1024

# Why a run ended: the values of C_FINISHED ... in plan.pxd.
FINISHED, TIME_SLICE, BAD_LOSS, BAD_GRADIENT, BAD_UPDATE, INTERRUPTED = range(6)


cdef int poll_signals(Plan *plan) noexcept nogil:
    """Look for signals from inside a long step; an exception is kept for after the run."""
    cdef int signal = 0
    plan.poll_at = mdl_seconds() + 0.05
    mdl_restore_floats(plan.floats)  # for the handlers
    with gil:
        try:
            PyErr_CheckSignals()
        except BaseException as error:
            (<BoundProgram> plan.owner).pending = error
            signal = C_INTERRUPTED
    mdl_flush_subnormals()
    return signal


cdef class BoundProgram:
    """A program bound to memory: ready to run.

    Parameters
    ----------
    program : Program
    params, grads, velocity : ndarray or None
        The flat vectors; None where the program has no such operand.
    """

    def __cinit__(self):
        self.plan.ops = NULL
        self.products = NULL

    def __dealloc__(self):
        free(self.plan.ops)
        free(self.products)

    def __init__(self, program, params, grads=None, velocity=None):
        self.program = program
        self.arenas = {
            "param": params,
            "grad": grads,
            "state": velocity,
            "work": aligned_zeros(max(program.work_size, 1), program.dtype),
        }
        cdef bint is_double = program.dtype == "float64"
        cdef Plan *plan = &self.plan
        plan.leaf = leaves(is_double)
        plan.batch = program.batch
        plan.n_ops = len(program.ops)
        plan.ops = <BoundOp *> calloc(max(plan.n_ops, 1), sizeof(BoundOp))
        if plan.ops == NULL:
            raise MemoryError("no memory for the program")
        plan.owner = <void *> self
        plan.poll = poll_signals
        self.flops_per_row = program.flops() / program.batch
        plan.long_steps = program.flops() > CLOCK_FLOPS
        plan.row_loss = NULL
        plan.first_guard = plan.n_guards = 0
        plan.param = <char *> data_of(params, "fd", True)
        plan.grad = plan.velocity = NULL
        if grads is not None:
            plan.grad = <char *> data_of(grads, "fd", True)
        if velocity is not None:
            plan.velocity = <char *> data_of(velocity, "fd", True)
        self.lent_by_name = {}
        self.tuners = {}
        self.streams = (plan.leaf.streams and program.purpose == "train"
                        and program.layout.size * plan.leaf.item_size >= STREAM_BYTES)
        self._scratch = None
        barriers = program.barriers()
        for position, op in enumerate(program.ops):
            plan.ops[position].barrier = barriers[position]
            self._bind_op(&plan.ops[position], position, op)

    cdef _bind_op(self, BoundOp *bound, Py_ssize_t position, op):
        """Turn names into pointers."""
        cdef Plan *plan = &self.plan
        cdef ActivationCall call
        cdef Py_ssize_t i
        bound.leaf = plan.leaf
        bound.updates = op.kind.name == "SGD"
        bound.decides = (op.kind.name == "DENSE_DW" and position > 0
                         and self.program.ops[position - 1].kind.name == "GUARD")
        bound.tiles = op.cut == TILES
        if op.kind.name == "GUARD":
            plan.first_guard = position - plan.n_guards  # they stand together
            plan.n_guards += 1
        assign_run(bound, op.kind.name)
        for i, name in enumerate(op.kind.operands):
            buffer = op.operands.get(name)
            if buffer is None:
                continue
            if buffer.arena == "bound":
                bound.bound[i] = op.kind.name != "GATHER"
                self.lent_by_name.setdefault(buffer.name, []).append((position, i))
            else:
                bound.p[i] = self._address(buffer)
                bound.stride[i] = buffer.stride * np.dtype(buffer.dtype).itemsize
        attributes = op.attributes
        bound.k = attributes.get("fan_in", 0)
        bound.n = attributes.get("fan_out", op.operands[op.kind.operands[0]].cols)
        activation = attributes.get("activation")
        if activation is not None:
            call = activation_call(activation)
            for i in range(4):
                bound.param[i] = call.param[i]
            if op.kind.name == "DENSE" and activation.name == "identity":
                bound.forward = NULL
            else:
                bound.forward = plan.leaf.act_forward[call.code]
            if activation.name != "identity":
                bound.backward = plan.leaf.act_backward[call.code]
        if op.kind.name == "GUARD":
            bound.k, bound.n = op.operands["x"].cols, op.operands["dz"].cols
        if op.kind.name == "GATHER":
            buffer = op.operands["y"]
            bound.bytes = buffer.cols * np.dtype(buffer.dtype).itemsize
        if op.kind.name == "LOSS":
            bound.loss = plan.leaf.loss[<int> loss_names().index(attributes["loss"])]
            for i, value in enumerate(attributes["params"]):
                bound.param[i] = value
            plan.row_loss = <double *> self._address(op.operands["row_loss"])
            plan.row_hit = <double *> self._address(op.operands["row_hit"])
        if op.kind.name == "SGD":
            bound.param[0] = attributes.get("lr_factor", 1.0)

    cdef char *_address(self, buffer) except NULL:
        arena = self.arenas[buffer.arena]
        if arena is None:
            raise ValueError(f"program needs the {buffer.arena} arena for {buffer.name}")
        cdef Matrix view = matrix(arena)
        return view.data + <ptrdiff_t> buffer.offset * view.item_size

    def view(self, name):
        """The array behind a buffer of the program, for study and tests: rows of the last batch."""
        buffer = self.program.buffers[name]
        arena = self.arenas[buffer.arena]
        itemsize = np.dtype(buffer.dtype).itemsize
        rows = self.program.batch if buffer.rows is None else buffer.rows
        start = buffer.offset * arena.itemsize
        block = arena.view(np.uint8)[start : start + rows * buffer.stride * itemsize]
        return block.view(buffer.dtype).reshape(rows, buffer.stride)[:, : buffer.cols]

    def lend(self, arrays):
        """Lend arrays for the bound buffers: name -> ndarray with unit column stride.

        The arrays must stay unchanged in place until others are lent; "weights" may also be lent for
        programs that read no weight operand but average with weights.
        """
        cdef cnp.ndarray array
        cdef BoundOp *op
        for name, places in self.lent_by_name.items():
            array = arrays[name]
            for position, operand in places:
                op = &self.plan.ops[<ptrdiff_t> position]
                op.p[<int> operand] = <char *> cnp.PyArray_DATA(array)
                op.stride[<int> operand] = cnp.PyArray_STRIDE(array, 0)
        array = arrays.get("weight")
        self.plan.weight = NULL if array is None else <char *> cnp.PyArray_DATA(array)
        self.lent = dict(arrays)

    @property
    def batch(self):
        """Rows of one step: at most those the program was written for."""
        return self.plan.batch

    @batch.setter
    def batch(self, Py_ssize_t rows):
        if not 1 <= rows <= self.program.batch:
            raise ValueError(f"batch {rows}: the program has room for 1 to {self.program.batch} rows")
        self.plan.batch = rows

    @property
    def steps_done(self):
        """The first step that the last run did not complete."""
        return self.plan.steps_done

    def is_current(self):
        """True if the instruction set level of the kernels is still the one this was bound for."""
        return self.plan.leaf == leaves(self.plan.leaf.item_size == 8)

    def threads_for(self, rows, n_threads=None):
        """The team that the next run with steps of so many rows would use."""
        return self._way(self.flops_per_row * rows, n_threads)[0].team

    def _way(self, flops, n_threads):
        """How to run steps of so many operations, and for how many seconds at most."""
        if n_threads is not None:
            return Way(threads.explicit_team(n_threads)), math.inf
        return self._tuner(flops).choose(flops, streams=self.streams)

    def _tuner(self, flops):
        """The tuner of steps with about so many operations: within a factor of two."""
        size = math.frexp(flops)[1]
        if size not in self.tuners:
            self.tuners[size] = TeamTuner()
        return self.tuners[size]

    def run(self, Py_ssize_t n_rows, Py_ssize_t start, Py_ssize_t stop, results, index=None, lr=None,
            sgd=None, bint no_velocity_yet=False, n_threads=None, double seconds=0.05):
        """Run steps start..stop-1 of a pass over n_rows rows, at most for about so many seconds.

        Parameters
        ----------
        n_rows : int
            Rows of the pass; step s takes rows s*batch .. (s+1)*batch - 1, the last step what is left.
        start, stop : int
        results : ndarray of float64, shape (3, n_steps), or None
            Receives sum of w*loss, sum of hits, and sum of w of each step.
        index : ndarray of int64, shape (n_rows,), optional
            Order of the rows, for programs that gather.
        lr : ndarray of float64, shape (n_steps,), optional
        sgd : minidl.optim.SGD, optional
        no_velocity_yet : bool
            The first of these steps is the first ever with this velocity.
        n_threads : int, optional
        seconds : float
            Time slice; without n_threads it may be shorter, to try another team.

        Returns
        -------
        done : int
            The first step that was not completed.
        status : int
            FINISHED, TIME_SLICE, BAD_LOSS, BAD_GRADIENT, BAD_UPDATE.

        Raises
        ------
        RuntimeError
            If another thread is running this program: a bound program has one set of buffers.
        BaseException
            What a signal handler raised (KeyboardInterrupt); parameters are those of the last
            completed step.
        """
        cdef Plan *plan = &self.plan
        if self.running:
            raise RuntimeError("this program is already running in another thread")
        plan.steps_done = start  # also if this call fails before the first step
        cdef double *result_data
        cdef Py_ssize_t n_steps
        cdef double flops = self.flops_per_row * min(n_rows, plan.batch)
        cdef int team
        way, patience = self._way(flops, n_threads)
        team, plan.sgd.stream = way
        seconds = min(seconds, patience)
        plan.n_rows = n_rows
        plan.start = start
        plan.stop = stop
        plan.index = NULL
        plan.lr = NULL
        if index is not None:
            plan.index = <const int64_t *> data_of(index, "lq", False)
        if lr is not None:
            plan.lr = <const double *> data_of(lr, "d", False)
        if sgd is not None:
            plan.sgd.momentum = sgd.momentum
            plan.sgd.dampening = sgd.dampening
            plan.sgd.weight_decay = sgd.weight_decay
            plan.sgd.nesterov = sgd.nesterov
        plan.no_velocity_yet = no_velocity_yet
        plan.check_finite = self.program.purpose == "train"
        plan.losses = plan.hits = plan.weights = NULL
        if results is not None:
            result_data = <double *> data_of(results, "d", True)
            n_steps = results.shape[1]
            plan.losses = result_data
            plan.hits = result_data + n_steps
            plan.weights = result_data + 2 * n_steps
        elif plan.row_loss != NULL:
            raise ValueError("a program with a loss needs an array for its results")
        self.program.n_threads = team
        self._prepare_team(team)
        cdef double now = mdl_seconds()
        plan.slice_end = now + seconds
        plan.poll_at = now + 0.05
        self.running = True
        self.pending = None
        try:
            with nogil:
                if team == 1:
                    run_share(plan, 0, 1)
                else:
                    with parallel(num_threads=team):
                        run_share(plan, threadid(), mdl_team_size())
        finally:
            self.running = False
        if n_threads is None:
            self._tuner(flops).record(way, flops * (plan.steps_done - start), mdl_seconds() - now)
        if self.pending is not None:
            error, self.pending = self.pending, None
            raise error
        return plan.steps_done, plan.status

    def first_bad_op(self, Py_ssize_t n_rows, Py_ssize_t step_number, index=None):
        """Run one step op by op, without the update, and return the first op with a bad result.

        Returns
        -------
        Op or None
            The first op that wrote a number that is not finite.
        """
        cdef Plan *plan = &self.plan
        cdef Step step
        cdef Py_ssize_t o
        self._prepare_team(1)
        step.fused = False
        step.first_row = step_number * plan.batch
        step.rows = min(plan.batch, n_rows - step.first_row)
        step.index = NULL
        if index is not None:
            step.index = <const int64_t *> data_of(index, "lq", False) + step.first_row
        cdef double total = step.rows
        if plan.weight != NULL:
            total = sum_weights(plan, step.index, step.first_row, step.rows)
        step.scale = 1.0 / total if total > 0.0 else 0.0
        for o in range(plan.n_ops):
            if plan.ops[o].updates:
                continue
            with nogil:
                plan.floats = mdl_flush_subnormals()
                plan.ops[o].run(&plan.ops[o], plan, &step, 0, 1)
                mdl_restore_floats(plan.floats)
            op = self.program.ops[o]
            for name in op.kind.writes:
                buffer = op.operands.get(name.rstrip("?"))
                if buffer is None or buffer.arena == "bound" or not buffer.dtype.startswith("float"):
                    continue
                written = self.view(buffer.name)
                if buffer.rows is None:
                    written = written[: step.rows]
                if not np.isfinite(written).all():
                    return op
        return None

    def time_ops(self, Py_ssize_t n_rows, Py_ssize_t passes, index=None, n_threads=None):
        """Run the first step op by op, many times, and return how long each op took.

        The team meets before and after each op, so an op takes as long as its slowest thread. The clock
        and the meetings cost a tenth of a microsecond or more: the sum is longer than a step. Nothing is
        learnt, because the learning rate is 0; a velocity changes.

        Parameters
        ----------
        n_rows : int
            Rows of the pass, as for :meth:`run`.
        passes : int
        index, n_threads
            As for :meth:`run`.

        Returns
        -------
        ndarray of float64, shape (passes, n_ops)
            Seconds.
        """
        cdef Plan *plan = &self.plan
        if self.running:
            raise RuntimeError("this program is already running in another thread")
        cdef int team
        cdef double flops = self.flops_per_row * min(n_rows, plan.batch)
        team, plan.sgd.stream = self._way(flops, n_threads)[0]
        cdef Step step
        step.fused = False
        step.first_row = 0
        step.rows = min(plan.batch, n_rows)
        step.index = <const int64_t *> data_of(index, "lq", False) if index is not None else NULL
        step.lr = 0.0
        step.first_update = False
        step.scale = 1.0 / step.rows
        seconds = np.zeros((passes, max(plan.n_ops, 1)))
        cdef double *data = <double *> data_of(seconds, "d", True)
        self._prepare_team(team)
        self.running = True
        try:
            with nogil:
                if team == 1:
                    time_passes(plan, &step, passes, data, 0, 1)
                else:
                    with parallel(num_threads=team):
                        time_passes(plan, &step, passes, data, threadid(), mdl_team_size())
        finally:
            self.running = False
        return seconds[:, : plan.n_ops]

    cdef _prepare_team(self, int team):
        """Scratch memory and flags for a team of that size."""
        cdef Plan *plan = &self.plan
        cdef Matrix view
        cdef CachedProduct *products
        cdef ptrdiff_t o
        if self.room < team:
            # whatever can fail or be interrupted comes first: until then the smaller team keeps what it has
            # small work touches little of it, and should not pay for a whole huge page
            scratch = aligned_zeros(team * scratch_bytes() // 4, "float32", huge=plan.long_steps)
            flags = np.zeros(team * (CACHE_LINE // sizeof(int)), np.int32)
            products = <CachedProduct *> calloc(team * max(plan.n_ops, 1), sizeof(CachedProduct))
            if products == NULL:
                raise MemoryError("no memory for the plans of a team")
            free(self.products)
            self.products = products
            for o in range(plan.n_ops):
                plan.ops[o].products = products + o * team
            self._scratch, self._flags, self.room = scratch, flags, team
        view = matrix(self._scratch)
        plan.scratch = view.data
        self._flags[:] = 0
        plan.flags = <int *> data_of(self._flags, "i", True)
