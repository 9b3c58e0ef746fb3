"""The loop over the steps of a run, as each thread of the team walks it.

Every thread walks the whole list of ops and computes its own slice of each; a barrier stands only where one
op reads what other threads wrote. Between two steps the clock is read, and after the time slice the run
returns to Python, where signals and progress bars are served. Nothing in here does arithmetic on tensors:
that is minidl/kernels and csrc/leaf.

A step that would leave a number that is not finite does not update the parameters:

* the loss is summed, in row order in float64, before the update; if it is not finite, the run stops;
* each gradient is searched as it is computed, and nothing is updated before all are known to be finite. Where
  the guards show beforehand that none can overflow, there is no search, and each block is updated at once;
* an update that would overflow keeps the old value of that element, and the run stops after it.
"""

from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint64_t

from minidl.engine.execute cimport gradients_fit
from minidl.engine.plan cimport (
    C_BAD_GRADIENT, C_BAD_LOSS, C_BAD_UPDATE, C_FINISHED, C_INTERRUPTED, C_TIME_SLICE, CACHE_LINE,
    BoundOp, Plan, Step, mdl_flush_subnormals, mdl_restore_floats, mdl_seconds, mdl_wait,
)


cdef double sum_weights(Plan *plan, const int64_t *index, ptrdiff_t first,
                        ptrdiff_t rows) noexcept nogil:
    """Sum of the sample weights of a batch, in row order in float64."""
    cdef ptrdiff_t r, i
    cdef double total = 0.0
    for r in range(rows):
        i = index[r] if index != NULL else first + r
        if plan.leaf.item_size == 8:
            total += (<double *> plan.weight)[i]
        else:
            total += (<float *> plan.weight)[i]
    return total


cdef int any_flag(Plan *plan, ptrdiff_t n_threads, int bit) noexcept nogil:
    cdef ptrdiff_t t
    for t in range(n_threads):
        if plan.flags[t * (CACHE_LINE // sizeof(int))] & bit:
            return 1
    return 0


cdef int meet(Plan *plan, ptrdiff_t thread, ptrdiff_t n_threads, ptrdiff_t *meetings,
              int signal) noexcept nogil:
    """A barrier at which every thread learns what thread 0 wants: the same for all of them.

    Two slots, because a fast thread may reach the next barrier while a slow one still reads this slot.
    """
    if n_threads == 1:
        return signal
    cdef int slot = meetings[0] & 1
    meetings[0] += 1
    if thread == 0:
        plan.signal[slot] = signal
    mdl_wait(&plan.barrier, <int> n_threads)
    return plan.signal[slot]


cdef void run_share(Plan *plan, ptrdiff_t thread, ptrdiff_t n_threads) noexcept nogil:
    """A run, as one thread of the team sees it, with subnormal numbers flushed to zero."""
    cdef uint64_t before = mdl_flush_subnormals()
    if thread == 0:
        plan.floats = before
    run_steps(plan, thread, n_threads)
    mdl_restore_floats(before)


cdef void run_steps(Plan *plan, ptrdiff_t thread, ptrdiff_t n_threads) noexcept nogil:
    """All steps of a run."""
    cdef ptrdiff_t s, o, meetings = 0, done = plan.start
    cdef int signal = 0, status = C_FINISHED
    cdef bint recorded, updated
    cdef double total
    cdef Step step
    cdef BoundOp *op
    s = plan.start
    while s < plan.stop and status == C_FINISHED:
        step.first_row = s * plan.batch
        step.rows = min(plan.batch, plan.n_rows - step.first_row)
        step.index = plan.index + step.first_row if plan.index != NULL else NULL
        step.lr = plan.lr[s] if plan.lr != NULL else 0.0
        step.first_update = plan.no_velocity_yet and s == plan.start
        total = <double> step.rows if plan.weight == NULL else sum_weights(
            plan, step.index, step.first_row, step.rows)
        step.scale = 1.0 / total if total > 0.0 else 0.0
        if thread == 0 and plan.weights != NULL:
            plan.weights[s] = total

        recorded = updated = False
        step.fused = False
        for o in range(plan.n_ops):
            op = &plan.ops[o]
            if op.updates and step.fused:
                continue  # each gradient was followed by its update
            if plan.long_steps and thread == 0 and signal == 0 and mdl_seconds() > plan.poll_at:
                signal = plan.poll(plan)
            if op.barrier:
                signal = meet(plan, thread, n_threads, &meetings, signal)
            if signal != 0 and (op.barrier or n_threads == 1) and not (step.fused or updated):
                status = C_INTERRUPTED  # nothing has been updated in this step
                break
            if (op.decides or op.updates) and not recorded:
                # the losses are complete, and nothing has been updated
                record_loss(plan, s, thread, step.rows, &total)
                recorded = True
                if plan.check_finite and not isfinite(total):
                    status = C_BAD_LOSS
                    break
            if op.decides:
                step.fused = gradients_fit(plan, &step)
            if op.updates:
                if plan.check_finite and any_flag(plan, n_threads, 1):
                    status = C_BAD_GRADIENT
                    break
            op.run(op, plan, &step, thread, n_threads)
            updated = updated or op.updates  # with factors on the learning rate there are several such ops

        if status == C_INTERRUPTED:
            break
        if thread == 0 and status == C_FINISHED and signal == 0 and (
                plan.long_steps or (s & 15) == 15) and mdl_seconds() > plan.slice_end:
            signal = C_TIME_SLICE
        # the end of the step: everything is written, everybody knows how it went
        signal = meet(plan, thread, n_threads, &meetings, signal)
        if not recorded and plan.row_loss != NULL:
            record_loss(plan, s, thread, step.rows, &total)
            meet(plan, thread, n_threads, &meetings, 0)  # the next step overwrites the losses
        if status == C_FINISHED and plan.check_finite and any_flag(plan, n_threads, 2):
            status = C_BAD_UPDATE
        if status == C_FINISHED or status == C_BAD_UPDATE:
            done = s + 1
        if status == C_FINISHED and signal != 0:
            status = signal
        s += 1
    if thread == 0:
        plan.steps_done = done
        plan.status = status


cdef void time_passes(Plan *plan, Step *step, ptrdiff_t passes, double *seconds, ptrdiff_t thread,
                      ptrdiff_t n_threads) noexcept nogil:
    """Time the ops of one step, as one thread of the team sees them; thread 0 has the watch."""
    cdef ptrdiff_t i, o
    cdef double started = 0.0
    cdef uint64_t before = mdl_flush_subnormals()
    for i in range(passes):
        for o in range(plan.n_ops):
            if n_threads > 1:
                mdl_wait(&plan.barrier, <int> n_threads)
            if thread == 0:
                started = mdl_seconds()
            plan.ops[o].run(&plan.ops[o], plan, step, thread, n_threads)
            if n_threads > 1:
                mdl_wait(&plan.barrier, <int> n_threads)
            if thread == 0:
                seconds[i * plan.n_ops + o] = mdl_seconds() - started
    mdl_restore_floats(before)


cdef void record_loss(Plan *plan, ptrdiff_t s, ptrdiff_t thread, ptrdiff_t rows,
                      double *total) noexcept nogil:
    """Sum the losses of the batch in row order; thread 0 writes the results of the step."""
    total[0] = sum_rows(plan.row_loss, rows)
    if thread == 0:
        plan.losses[s] = total[0]
        plan.hits[s] = sum_rows(plan.row_hit, rows)


cdef double sum_rows(const double *x, ptrdiff_t rows) noexcept nogil:
    cdef ptrdiff_t r
    cdef double total = 0.0
    for r in range(rows):
        total += x[r]
    return total
