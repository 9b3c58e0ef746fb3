from minidl.engine.plan cimport BoundOp, Plan, Step

cdef void assign_run(BoundOp *op, str name) noexcept  # op.run = NULL for an unknown op
cdef bint gradients_fit(Plan *plan, Step *step) noexcept nogil
