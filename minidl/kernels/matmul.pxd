from minidl.kernels._leaf cimport mdl_act_backward_fn, mdl_act_forward_fn, mdl_leaves

# What to do with a finished panel of c while it is in cache; a NULL function does nothing.
ctypedef struct Epilogue:
    mdl_act_forward_fn *forward    # c = act(c), and act'(c) to saved unless that is NULL
    mdl_act_backward_fn *backward  # c = c * act'(.), from saved
    char *saved
    ptrdiff_t lds
    const double *param

cdef ptrdiff_t scratch_bytes() noexcept nogil  # per thread

cdef void gemm(const mdl_leaves *leaf, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,
               const char *a, ptrdiff_t a_row, ptrdiff_t a_col,
               const char *b, ptrdiff_t b_row, ptrdiff_t b_col,
               const char *init, ptrdiff_t ldi, char *c, ptrdiff_t ldc,
               const Epilogue *epilogue, char *scratch) noexcept nogil

cdef void gemm_share(const mdl_leaves *leaf, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,
                     const char *a, ptrdiff_t a_row, ptrdiff_t a_col,
                     const char *b, ptrdiff_t b_row, ptrdiff_t b_col,
                     const char *init, ptrdiff_t ldi, char *c, ptrdiff_t ldc,
                     const Epilogue *epilogue, char *scratch,
                     ptrdiff_t thread, ptrdiff_t n_threads) noexcept nogil
