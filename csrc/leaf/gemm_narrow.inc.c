/* c = init + a b for a b of a few columns. A tile would use as few lanes of its vectors. Here lanes run over
   rows: blocks of VL rows and VL columns of a are transposed in registers, and column p of a, a vector,
   meets the numbers of row p of b. Each sum is still the chain p = fma(a, b, p) of minidl-num-1. */

/* So many rows of c (groups of VL), all of k. */
INLINE void narrow_rows(const int n, const int groups, ptrdiff_t k, const real *a, ptrdiff_t lda,
                        const real *b, ptrdiff_t b_row, ptrdiff_t b_col, const real *init, real *c,
                        ptrdiff_t ldc)
{
    vec sum[2][MDL_MAX_NARROW];
#pragma GCC unroll 2
    for (int g = 0; g < groups; g++) {
#pragma GCC unroll 6
        for (int j = 0; j < n; j++)
            sum[g][j] = v_set(init[j]);
    }
    do {
        const ptrdiff_t block = k < MDL_K_BLOCK ? k : MDL_K_BLOCK, whole = block - block % VL;
        vec chain[2][MDL_MAX_NARROW];
#pragma GCC unroll 2
        for (int g = 0; g < groups; g++) {
#pragma GCC unroll 6
            for (int j = 0; j < n; j++)
                chain[g][j] = v_zero();
        }
        for (ptrdiff_t p = 0; p < whole; p += VL, a += VL) {
#pragma GCC unroll 2
            for (int g = 0; g < groups; g++) {
                const real *row = b;
                vec column[VL];
                v_load_transposed(a + g * VL * lda, lda, column);
#pragma GCC unroll 16
                for (int i = 0; i < VL; i++, row += b_row) {
#pragma GCC unroll 6
                    for (int j = 0; j < n; j++)
                        chain[g][j] = v_fma(column[i], v_set(row[j * b_col]), chain[g][j]);
                }
            }
            b += VL * b_row;
        }
        if (whole < block) {
            const ptrdiff_t rest = block - whole;
#pragma GCC unroll 2
            for (int g = 0; g < groups; g++) {
                const real *row = b;
                vec column[VL];
                load_corner(a + g * VL * lda, lda, VL, rest, column);
                for (int i = 0; i < rest; i++, row += b_row) {
#pragma GCC unroll 6
                    for (int j = 0; j < n; j++)
                        chain[g][j] = v_fma(column[i], v_set(row[j * b_col]), chain[g][j]);
                }
            }
            a += rest;
            b += rest * b_row;
        }
#pragma GCC unroll 2
        for (int g = 0; g < groups; g++) {
#pragma GCC unroll 6
            for (int j = 0; j < n; j++)
                sum[g][j] = v_add(sum[g][j], chain[g][j]);
        }
        k -= block;
    } while (k > 0);
#pragma GCC unroll 2
    for (int g = 0; g < groups; g++) {
#pragma GCC unroll 6
        for (int j = 0; j < n; j++) {
            real rows[VL];
            v_store(rows, sum[g][j]);
            for (int i = 0; i < VL; i++)
                c[(g * VL + i) * ldc + j] = rows[i];
        }
    }
}

/* The last group steps back to rows that have been computed: each is computed from its inputs alone. */
INLINE void narrow_columns(const int n, ptrdiff_t m, ptrdiff_t k, const real *a, ptrdiff_t lda,
                           const real *b, ptrdiff_t b_row, ptrdiff_t b_col, const real *init, real *c,
                           ptrdiff_t ldc)
{
    ptrdiff_t i = 0;
    for (; n <= 4 && i + 2 * VL <= m; i += 2 * VL) /* two groups, or too few chains are under way */
        narrow_rows(n, 2, k, a + i * lda, lda, b, b_row, b_col, init, c + i * ldc, ldc);
    for (; i < m; i += VL) {
        const ptrdiff_t first = i + VL <= m ? i : m - VL;
        narrow_rows(n, 1, k, a + first * lda, lda, b, b_row, b_col, init, c + first * ldc, ldc);
    }
}

static void narrow(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const void *a, ptrdiff_t lda, const void *b,
                   ptrdiff_t b_row, ptrdiff_t b_col, const void *init, void *c, ptrdiff_t ldc)
{
    switch (n) {
    case 1:
        narrow_columns(1, m, k, a, lda, b, b_row, b_col, init, c, ldc);
        break;
    case 2:
        narrow_columns(2, m, k, a, lda, b, b_row, b_col, init, c, ldc);
        break;
    case 3:
        narrow_columns(3, m, k, a, lda, b, b_row, b_col, init, c, ldc);
        break;
    case 4:
        narrow_columns(4, m, k, a, lda, b, b_row, b_col, init, c, ldc);
        break;
    case 5:
        narrow_columns(5, m, k, a, lda, b, b_row, b_col, init, c, ldc);
        break;
    default:
        narrow_columns(6, m, k, a, lda, b, b_row, b_col, init, c, ldc);
    }
}
