from minidl.kernels._leaf cimport mdl_leaves
from minidl.kernels.gemm cimport Epilogue

# A borrowed matrix: strides in elements, the type is NPY_FLOAT or NPY_DOUBLE.
cdef struct View:
    char *data
    int type
    ptrdiff_t size
    ptrdiff_t rows, cols, row_stride, col_stride

cdef object view_of(str name, object array, View *view, bint may_copy)

# One thread's block of c = epilogue(init + a b), a stand-alone product.
cdef void share(const mdl_leaves *leaf, const View *a, const View *b, const View *c, const char *init,
                const Epilogue *epilogue, char *scratch, ptrdiff_t thread,
                ptrdiff_t n_threads) noexcept nogil

# Scratch memory for a team of at least that size, and back; with the GIL.
cdef char *take_scratch(int *team) except NULL
cdef void give_scratch(char *scratch, int team) noexcept
