/* Packing: copies a block of b, of any strides, to rows of ldp elements that a tile can read.

   Three ways in: rows are contiguous (plain copies), columns are contiguous (b is a transposed matrix:
   VL x VL blocks are transposed in registers), or neither (element by element). Transposition is also a
   leaf of its own, for a product whose transpose is cheaper to compute. */

/* r[i] = column i of the VL x VL block whose rows start at from, from + ldf, ...: log2(VL) rounds of
   perfect shuffles in registers. */
#ifndef MDL_HAS_LOAD_TRANSPOSED
INLINE void shuffle_columns(vec r[VL])
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
INLINE void v_load_transposed(const real *from, ptrdiff_t ldf, vec r[VL])
{
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++)
        r[i] = v_load(from + i * ldf);
    shuffle_columns(r);
}
#endif

/* The same block of fewer rows or columns: VL rows of a buffer that the missing elements leave at +0. */
INLINE void load_corner(const real *from, ptrdiff_t ldf, ptrdiff_t rows, ptrdiff_t cols, vec r[VL])
{
    real corner[VL * VL];
    const vtail tail = v_tail(cols);
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++)
        v_store(corner + i * VL, i < rows ? v_load_tail(from + i * ldf, tail) : v_zero());
    v_load_transposed(corner, VL, r);
}

/* Whole blocks in a row, each so many elements after the last one: a loop of its own, because beside the
   corners the compiler runs out of registers for addresses. */
static __attribute__((noinline)) void transpose_blocks(ptrdiff_t blocks, const real *from,
                                                       ptrdiff_t from_step, ptrdiff_t ldf, real *to,
                                                       ptrdiff_t to_step, ptrdiff_t ldt)
{
    for (; blocks > 0; blocks--) {
        vec r[VL];
        v_load_transposed(from, ldf, r);
        real *row = to;
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) {
            v_store(row, r[i]);
            row += ldt;
            __asm__("" : "+r"(row)); /* one pointer that moves, not VL of them */
        }
        from += from_step;
        to += to_step;
    }
}

/* One block with k <= VL rows and n <= VL columns of the result; its row has room for `room` elements. */
INLINE void transpose_corner(ptrdiff_t k, ptrdiff_t n, const real *from, ptrdiff_t ldf, real *to,
                             ptrdiff_t ldt, ptrdiff_t room)
{
    const vtail columns = v_tail(n);
    vec r[VL];
    load_corner(from, ldf, n, k, r);
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++) {
        if (i >= k)
            break;
        if (room >= VL)
            v_store(to + i * ldt, r[i]);
        else
            v_store_tail(to + i * ldt, r[i], columns);
    }
}

/* panel[p, j] = b[j, p] for n rows of b; columns n..end-1 of the panel may be overwritten with +0.

   A narrow panel is filled downwards, a wide one row by row: what is written has to be fetched first, which
   goes fast where lines follow one another. */
INLINE void transpose_rows(ptrdiff_t k, ptrdiff_t n, const real *b, ptrdiff_t ldb, real *panel,
                           ptrdiff_t ldp, ptrdiff_t end)
{
    const ptrdiff_t k_whole = k - k % VL, n_whole = n - n % VL;
    if (n > 4 * VL) {
        for (ptrdiff_t p = 0; p < k_whole; p += VL)
            transpose_blocks(n_whole / VL, b + p, VL * ldb, ldb, panel + p * ldp, VL, ldp);
    } else {
        for (ptrdiff_t j = 0; j < n_whole; j += VL)
            transpose_blocks(k_whole / VL, b + j * ldb, VL, ldb, panel + j, VL * ldp, ldp);
    }
    if (k_whole < k)
        for (ptrdiff_t j = 0; j < n_whole; j += VL)
            transpose_corner(k - k_whole, VL, b + j * ldb + k_whole, ldb, panel + k_whole * ldp + j, ldp, VL);
    if (n_whole < n)
        for (ptrdiff_t p = 0; p < k; p += VL)
            transpose_corner(k - p < VL ? k - p : VL, n - n_whole, b + n_whole * ldb + p, ldb,
                             panel + p * ldp + n_whole, ldp, end - n_whole);
}

/* Rows of so many vectors, a number that the compiler knows. */
INLINE void copy_vectors(const int vecs, ptrdiff_t k, const real *from, ptrdiff_t ldf, real *to,
                         ptrdiff_t ldt)
{
#pragma GCC unroll 4
    for (ptrdiff_t p = 0; p < k; p++) {
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++)
            v_store(to + j * VL, v_load(from + j * VL));
        from += ldf;
        to += ldt;
    }
}

static void copy_rows(ptrdiff_t k, ptrdiff_t n, const real *from, ptrdiff_t ldf, real *to, ptrdiff_t ldt)
{
    for (; n >= 4 * VL; n -= 4 * VL, from += 4 * VL, to += 4 * VL)
        copy_vectors(4, k, from, ldf, to, ldt);
    for (; n >= 2 * VL; n -= 2 * VL, from += 2 * VL, to += 2 * VL)
        copy_vectors(2, k, from, ldf, to, ldt);
    for (; n >= VL; n -= VL, from += VL, to += VL)
        copy_vectors(1, k, from, ldf, to, ldt);
    if (n > 0) {
        const vtail tail = v_tail(n);
        for (ptrdiff_t p = 0; p < k; p++)
            v_store_tail(to + p * ldt, v_load_tail(from + p * ldf, tail), tail);
    }
}

static void transpose(ptrdiff_t rows, ptrdiff_t cols, const void *from, ptrdiff_t ldf, void *to,
                      ptrdiff_t ldt)
{
    transpose_rows(cols, rows, from, ldf, to, ldt, rows);
}

static void pack(ptrdiff_t k, ptrdiff_t n, const void *b, ptrdiff_t row_stride, ptrdiff_t col_stride,
                 void *panel, ptrdiff_t ldp)
{
    const real *from = b;
    real *to = panel;
    if (col_stride == 1) {
        copy_rows(k, n, from, row_stride, to, ldp);
    } else if (row_stride == 1) {
        transpose_rows(k, n, from, col_stride, to, ldp, ldp);
    } else {
        for (ptrdiff_t p = 0; p < k; p++)
            for (ptrdiff_t j = 0; j < n; j++)
                to[p * ldp + j] = from[p * row_stride + j * col_stride];
    }
    for (ptrdiff_t p = 0; n < ldp && p < k; p++)
        memset(to + p * ldp + n, 0, (size_t)(ldp - n) * sizeof(real));
}
