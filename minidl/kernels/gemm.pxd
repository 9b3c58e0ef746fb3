from libc.string cimport memset

from minidl.kernels._leaf cimport (
    mdl_act_backward_fn, mdl_act_forward_fn, mdl_all_finite_fn, mdl_leaves,
)

# What to do with a finished panel of c while it is in cache; a NULL function does nothing.
ctypedef struct Epilogue:
    mdl_act_forward_fn *forward    # c = act(c), and act'(c) to saved unless that is NULL
    mdl_act_backward_fn *backward  # c = c * act'(.), from saved
    char *saved
    ptrdiff_t lds
    const double *param
    mdl_all_finite_fn *all_finite  # *flag |= 1 if c is not finite
    int *flag

# How the rows of a block are cut into tiles: `tall` tiles of `rows` rows, then tiles of one row less.
ctypedef struct Heights:
    ptrdiff_t count, rows, tall

# The plan of one product c = init + a b: sizes and strides in elements, and what follows from them.
ctypedef struct Product:
    const mdl_leaves *leaf
    ptrdiff_t m, n, k
    ptrdiff_t a_row, a_col, b_row, b_col
    bint swapped            # c^T = b^T a^T is computed, in panels that are transposed into c
    bint narrow             # few columns: a is transposed in registers, lanes run over rows
    bint one_panel          # all of c is one panel of one block: no loops
    bint one_row            # b is streamed past the sums of a single row
    bint transposed         # the tile reads a along its columns
    bint pack_a, pack_b
    bint fetch              # tiles fetch what is read next
    ptrdiff_t block         # rows of a block of a; the last one may have fewer
    ptrdiff_t panels        # `wide` panels of `width` vectors, then panels of one vector less
    ptrdiff_t width, wide
    ptrdiff_t group         # panels that pass over a block of a before the next block
    Heights heights[2]      # of a whole block, in the panels of `width` and of `width` - 1 vectors

cdef inline Epilogue no_epilogue() noexcept nogil:
    """One that does nothing; whoever wants a function of it fills in what that needs."""
    cdef Epilogue epilogue
    memset(&epilogue, 0, sizeof(Epilogue))
    return epilogue

cdef inline ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) noexcept nogil:
    return (a + b - 1) // b

cdef ptrdiff_t scratch_bytes() noexcept nogil  # per thread

cdef void plan_product(Product *p, const mdl_leaves *leaf, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,
                       ptrdiff_t a_row, ptrdiff_t a_col, ptrdiff_t b_row,
                       ptrdiff_t b_col, bint b_aligned) noexcept nogil

cdef void gemm(const Product *p, const char *a, const char *b, const char *init, char *c,
               ptrdiff_t ldc, const Epilogue *epilogue, char *scratch) noexcept nogil
