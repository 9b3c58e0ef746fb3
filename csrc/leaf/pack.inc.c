/* Packing: copies a block of b, of any strides, to rows of ldp elements that a tile can read.

   Three ways in: rows are contiguous (plain copies), columns are contiguous (b is a transposed matrix:
   VL x VL blocks are transposed in registers), or neither (element by element). */

/* Transposes VL vectors in registers: log2(VL) rounds of perfect shuffles. */
INLINE void transpose_block(vec r[VL])
{
    vec t[VL];
#pragma GCC unroll 4
    for (int width = 1; width < VL; width *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < VL / 2; i++) {
            t[2 * i] = v_zip_lo(r[i], r[i + VL / 2]);
            t[2 * i + 1] = v_zip_hi(r[i], r[i + VL / 2]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++)
            r[i] = t[i];
    }
}

static void pack_transposed(ptrdiff_t k, ptrdiff_t n, const real *b, ptrdiff_t col_stride,
                            real *panel, ptrdiff_t ldp)
{
    for (ptrdiff_t j = 0; j < n; j += VL) {
        const ptrdiff_t width = n - j < VL ? n - j : VL;
        const vtail columns = v_tail(width);
        for (ptrdiff_t p = 0; p < k; p += VL) {
            const ptrdiff_t height = k - p < VL ? k - p : VL;
            const vtail rows = v_tail(height);
            vec r[VL];
#pragma GCC unroll 16
            for (int i = 0; i < VL; i++) {
                const real *column = b + (j + i) * col_stride + p;
                if (i >= width)
                    r[i] = v_zero();
                else if (height == VL)
                    r[i] = v_load(column);
                else
                    r[i] = v_load_tail(column, rows);
            }
            transpose_block(r);
#pragma GCC unroll 16
            for (int i = 0; i < VL; i++) {
                real *row = panel + (p + i) * ldp + j;
                if (i < height) {
                    if (j + VL <= ldp)
                        v_store(row, r[i]);
                    else
                        v_store_tail(row, r[i], columns);
                }
            }
        }
    }
}

static void pack(ptrdiff_t k, ptrdiff_t n, const void *b, ptrdiff_t row_stride, ptrdiff_t col_stride,
                 void *panel, ptrdiff_t ldp)
{
    const real *from = b;
    real *to = panel;
    if (col_stride == 1) {
        for (ptrdiff_t p = 0; p < k; p++)
            memcpy(to + p * ldp, from + p * row_stride, (size_t)n * sizeof(real));
    } else if (row_stride == 1) {
        pack_transposed(k, n, from, col_stride, to, ldp);
    } else {
        for (ptrdiff_t p = 0; p < k; p++)
            for (ptrdiff_t j = 0; j < n; j++)
                to[p * ldp + j] = from[p * row_stride + j * col_stride];
    }
    for (ptrdiff_t p = 0; n < ldp && p < k; p++)
        memset(to + p * ldp + n, 0, (size_t)(ldp - n) * sizeof(real));
}
