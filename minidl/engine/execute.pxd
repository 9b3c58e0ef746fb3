from minidl.engine.plan cimport BoundOp

cdef void assign_run(BoundOp *op, str name) noexcept  # op.run = NULL for an unknown op
