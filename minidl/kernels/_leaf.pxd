# The C seam (csrc/minidl.h) for the other Cython modules, and borrowed views of arrays.
from libc.stdint cimport int64_t

cdef extern from "minidl.h" nogil:
    enum:
        MDL_N_LEVELS
        MDL_K_BLOCK
        MDL_MAX_VECS
        MDL_MAX_NARROW
        MDL_TILE_PARTIAL
        MDL_TILE_FULL
        MDL_TILE_HALF
        MDL_FETCH_STEPS
        MDL_N_WIDTHS
        MDL_MAX_CHAINS
        MDL_N_VMATH
        MDL_N_ACT
        MDL_N_LOSS
        MDL_ACT_identity
        MDL_CONTRACTS
        MDL_SPLITS_FMA
        MDL_ROUNDS_OTHERWISE
    ctypedef struct mdl_ahead:
        const char *row
        ptrdiff_t step
        ptrdiff_t lines
        ptrdiff_t line
        ptrdiff_t share
        ptrdiff_t left
    ctypedef void mdl_tile_fn(ptrdiff_t, ptrdiff_t, const void *, ptrdiff_t, const void *, ptrdiff_t,
                              const void *, ptrdiff_t, void *, ptrdiff_t, mdl_ahead *) noexcept
    ctypedef void mdl_narrow_fn(ptrdiff_t, ptrdiff_t, ptrdiff_t, const void *, ptrdiff_t, const void *,
                                ptrdiff_t, ptrdiff_t, const void *, void *, ptrdiff_t) noexcept
    ctypedef void mdl_chain_rows_fn(ptrdiff_t, ptrdiff_t, const void *, ptrdiff_t, const void *,
                                    ptrdiff_t, void *) noexcept
    ctypedef void mdl_add_row_fn(ptrdiff_t, const void *, const void *, void *) noexcept
    ctypedef void mdl_pack_fn(ptrdiff_t, ptrdiff_t, const void *, ptrdiff_t, ptrdiff_t, void *,
                              ptrdiff_t) noexcept
    ctypedef void mdl_transpose_fn(ptrdiff_t, ptrdiff_t, const void *, ptrdiff_t, void *,
                                   ptrdiff_t) noexcept
    ctypedef void mdl_map_fn(ptrdiff_t, const void *, void *) noexcept
    ctypedef void mdl_act_forward_fn(ptrdiff_t, ptrdiff_t, const void *, ptrdiff_t, void *, ptrdiff_t,
                                     void *, ptrdiff_t, const double *) noexcept
    ctypedef void mdl_act_backward_fn(ptrdiff_t, ptrdiff_t, const void *, ptrdiff_t, const void *,
                                      ptrdiff_t, void *, ptrdiff_t, const double *) noexcept
    ctypedef void mdl_softmax_fn(ptrdiff_t, ptrdiff_t, const void *, ptrdiff_t, void *,
                                 ptrdiff_t) noexcept
    ctypedef void mdl_softmax_backward_fn(ptrdiff_t, ptrdiff_t, const void *, ptrdiff_t, const void *,
                                          ptrdiff_t, void *, ptrdiff_t) noexcept
    ctypedef void mdl_col_sum_fn(ptrdiff_t, ptrdiff_t, const void *, ptrdiff_t, const void *,
                                 void *) noexcept
    ctypedef void mdl_col_max_fn(ptrdiff_t, ptrdiff_t, const void *, ptrdiff_t, void *) noexcept
    ctypedef void mdl_row_reduce_fn(ptrdiff_t, ptrdiff_t, const void *, ptrdiff_t, void *) noexcept
    ctypedef void mdl_row_argmax_fn(ptrdiff_t, ptrdiff_t, const void *, ptrdiff_t, int64_t *) noexcept
    ctypedef void mdl_row_largest_fn(ptrdiff_t, ptrdiff_t, const void *, ptrdiff_t, double *,
                                     ptrdiff_t) noexcept
    ctypedef void mdl_gather_fn(ptrdiff_t, ptrdiff_t, const int64_t *, const char *, ptrdiff_t, char *,
                                ptrdiff_t) noexcept
    ctypedef int mdl_all_finite_fn(ptrdiff_t, ptrdiff_t, const void *, ptrdiff_t) noexcept
    ctypedef void mdl_loss_fn(ptrdiff_t, ptrdiff_t, const void *, ptrdiff_t, const void *, ptrdiff_t,
                              const void *, double, void *, ptrdiff_t, double *, double *,
                              const double *) noexcept
    ctypedef struct mdl_sgd:
        double lr
        double momentum
        double dampening
        double weight_decay
        int nesterov
        int first_step
        int stream
    ctypedef int mdl_sgd_fn(ptrdiff_t, void *, void *, const void *, const mdl_sgd *) noexcept
    ctypedef int mdl_canary_fn() noexcept
    ctypedef void mdl_fma_chains_fn(ptrdiff_t, double, double, void *) noexcept
    ctypedef void mdl_triad_fn(ptrdiff_t, double, const void *, const void *, void *) noexcept
    ctypedef struct mdl_leaves:
        int level
        int fused
        ptrdiff_t item_size
        ptrdiff_t lanes
        ptrdiff_t half_lanes
        int streams
        ptrdiff_t max_rows[9]
        ptrdiff_t widths[10]
        ptrdiff_t block_width
        ptrdiff_t stretch
        mdl_tile_fn *tile[3][2][13][9]
        mdl_narrow_fn *narrow
        mdl_chain_rows_fn *chain_rows
        mdl_add_row_fn *add_row
        mdl_pack_fn *pack
        mdl_transpose_fn *transpose
        mdl_map_fn *vmath[1]
        mdl_act_forward_fn *act_forward[1]
        mdl_act_backward_fn *act_backward[1]
        mdl_softmax_fn *softmax
        mdl_softmax_fn *log_softmax
        mdl_softmax_backward_fn *softmax_backward
        mdl_col_sum_fn *col_sum
        mdl_col_max_fn *col_max
        mdl_row_reduce_fn *row_sum
        mdl_row_reduce_fn *row_max
        mdl_row_argmax_fn *row_argmax
        mdl_row_largest_fn *row_largest
        mdl_gather_fn *gather
        mdl_all_finite_fn *all_finite
        mdl_loss_fn *loss[1]
        mdl_sgd_fn *sgd
        mdl_canary_fn *canary
        ptrdiff_t n_chains
        mdl_fma_chains_fn *fma_chains
        mdl_triad_fn *triad
    const char *const mdl_level_names[1]
    const char *const mdl_vmath_names[1]
    const char *const mdl_act_names[1]
    const int mdl_act_saves_output[1]
    const int mdl_act_params[1]
    const char *const mdl_loss_names[1]
    const mdl_leaves *mdl_table(int level, int is_double)
    int mdl_best_level()


cdef const mdl_leaves *leaves(bint is_double) noexcept nogil  # the table in use


cdef class Matrix:
    """A borrowed float32 or float64 matrix: pointer, sizes, strides in elements."""
    cdef Py_buffer buffer
    cdef bint held
    cdef char *data
    cdef ptrdiff_t rows, cols, row_stride, col_stride, item_size
    cdef const mdl_leaves *leaf


cdef Matrix matrix(object array, bint writable=*)

# The first byte of a contiguous array whose buffer format is one of the letters; valid while the array is.
cdef void *data_of(object array, str formats, bint writable) except NULL
