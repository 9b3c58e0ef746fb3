/* The register tile: c = init + a b for a few rows and up to four vectors of columns.

   All of c lives in registers while k runs. For each k one row of b is loaded (VECS vectors), each
   element of a is broadcast, and ROWS * VECS fused multiply-adds follow: ROWS * VECS independent chains
   hide the latency of the FMA, and (ROWS + VECS) loads feed ROWS * VECS FMAs. Lanes run over columns,
   never over k, so every element of c is the chain p = fma(a, b, p) that minidl-num-1 prescribes,
   whatever the shape of the tile.

   It does not block, pack, thread, or apply an activation: that is minidl/kernels/matmul.pyx. */

/* Rows that leave room in the register file for the vectors of b and one broadcast. */
#if MDL_LEVEL == MDL_X86_V4 || MDL_LEVEL == MDL_NEON
#define TILE_MAX_VECS 4
#define TILE_MAX_ROWS {0, 12, 12, 8, 6} /* 32 registers */
#else
#define TILE_MAX_VECS 2
#define TILE_MAX_ROWS {0, 12, 6, 0, 0} /* 16 registers */
#endif

/* With mask registers a partial vector costs what a full one costs, and one tile serves both. */
#define MASKS_ARE_FREE (MDL_LEVEL == MDL_X86_V4)

/* Element (row, p) of a. Rows are addressed from every third row pointer, because an x86 address
   is base + {1, 2} * stride: twelve rows need four bases and one stride register. */
#define A_AT(row, p) (transposed ? a[row] : base[(row) / 3][((row) % 3) * lda + (p)])

INLINE void tile(const int transposed, const int rows, const int vecs, const int full, ptrdiff_t n,
                 ptrdiff_t k, const real *restrict a, ptrdiff_t lda, const real *restrict b,
                 ptrdiff_t ldb, const real *init, ptrdiff_t ldi, real *c, ptrdiff_t ldc)
{
    const vtail tail = v_tail(n - (vecs - 1) * VL);
    const real *base[MDL_MAX_ROWS / 3];
    vec acc[MDL_MAX_ROWS][MDL_MAX_VECS];
    vec bv[MDL_MAX_VECS];

#pragma GCC unroll 12
    for (int i = 0; i < rows; i++) {
        if (i % 3 == 0)
            base[i / 3] = a + i * lda;
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++)
            acc[i][j] = v_zero();
    }

#define STEP(p)                                                                     \
    do {                                                                            \
        _Pragma("GCC unroll 4") for (int j = 0; j < vecs - 1; j++)                  \
            bv[j] = v_load(b + j * VL);                                             \
        bv[vecs - 1] = full ? v_load(b + (vecs - 1) * VL)                           \
                            : v_load_tail(b + (vecs - 1) * VL, tail);               \
        _Pragma("GCC unroll 12") for (int i = 0; i < rows; i++)                     \
        {                                                                           \
            const vec av = v_set(A_AT(i, p));                                       \
            _Pragma("GCC unroll 4") for (int j = 0; j < vecs; j++)                  \
                acc[i][j] = v_fma(av, bv[j], acc[i][j]);                            \
        }                                                                           \
        b += ldb;                                                                   \
        if (transposed)                                                             \
            a += lda;                                                               \
    } while (0)
#define ADVANCE(steps)                                                              \
    do {                                                                            \
        _Pragma("GCC unroll 4") for (int i = 0; i < (rows + 2) / 3; i++)            \
            base[i] += (steps);                                                     \
    } while (0)
#define RUN                                                                         \
    for (; k >= 4; k -= 4) {                                                        \
        STEP(0);                                                                    \
        STEP(1);                                                                    \
        STEP(2);                                                                    \
        STEP(3);                                                                    \
        ADVANCE(4);                                                                 \
    }                                                                               \
    for (; k > 0; k--) {                                                            \
        STEP(0);                                                                    \
        ADVANCE(1);                                                                 \
    }

    RUN

#pragma GCC unroll 12
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++) {
            const real *from = init + i * ldi + j * VL;
            real *to = c + i * ldc + j * VL;
            if (full || j < vecs - 1)
                v_store(to, v_add(v_load(from), acc[i][j]));
            else
                v_store_tail(to, v_add(v_load_tail(from, tail), acc[i][j]), tail);
        }
    }
#undef ADVANCE
#undef RUN
#undef STEP
}

#define TILE(transposed, rows, vecs)                                                              \
    static void tile_##transposed##_##rows##x##vecs(                                              \
        ptrdiff_t n, ptrdiff_t k, const void *a, ptrdiff_t lda, const void *b, ptrdiff_t ldb,     \
        const void *init, ptrdiff_t ldi, void *c, ptrdiff_t ldc)                                  \
    {                                                                                             \
        if (!MASKS_ARE_FREE && n == vecs * VL)                                                    \
            tile(transposed, rows, vecs, 1, n, k, a, lda, b, ldb, init, ldi, c, ldc);             \
        else                                                                                      \
            tile(transposed, rows, vecs, 0, n, k, a, lda, b, ldb, init, ldi, c, ldc);             \
    }
#define TILES_1(v) \
    TILE(0, 1, v) TILE(0, 2, v) TILE(0, 3, v) TILE(0, 4, v) TILE(0, 5, v) TILE(0, 6, v) \
    TILE(1, 1, v) TILE(1, 2, v) TILE(1, 3, v) TILE(1, 4, v) TILE(1, 5, v) TILE(1, 6, v)
#define TILES_7(v) TILE(0, 7, v) TILE(0, 8, v) TILE(1, 7, v) TILE(1, 8, v)
#define TILES_9(v) \
    TILE(0, 9, v) TILE(0, 10, v) TILE(0, 11, v) TILE(0, 12, v) \
    TILE(1, 9, v) TILE(1, 10, v) TILE(1, 11, v) TILE(1, 12, v)


TILES_1(1) TILES_7(1) TILES_9(1) TILES_1(2)
#if TILE_MAX_VECS == 4
TILES_7(2) TILES_9(2) TILES_1(3) TILES_7(3) TILES_1(4)
#define FOUR(t, r) {NULL, tile_##t##_##r##x1, tile_##t##_##r##x2, tile_##t##_##r##x3, tile_##t##_##r##x4}
#define THREE(t, r) {NULL, tile_##t##_##r##x1, tile_##t##_##r##x2, tile_##t##_##r##x3}
#define TWO(t, r) {NULL, tile_##t##_##r##x1, tile_##t##_##r##x2}
#define TILE_ROWS(t)                                                                          \
    {{NULL}, FOUR(t, 1), FOUR(t, 2), FOUR(t, 3), FOUR(t, 4), FOUR(t, 5), FOUR(t, 6),          \
     THREE(t, 7), THREE(t, 8), TWO(t, 9), TWO(t, 10), TWO(t, 11), TWO(t, 12)}
#else
#define TWO(t, r) {NULL, tile_##t##_##r##x1, tile_##t##_##r##x2}
#define ONE(t, r) {NULL, tile_##t##_##r##x1}
#define TILE_ROWS(t)                                                                          \
    {{NULL}, TWO(t, 1), TWO(t, 2), TWO(t, 3), TWO(t, 4), TWO(t, 5), TWO(t, 6),                \
     ONE(t, 7), ONE(t, 8), ONE(t, 9), ONE(t, 10), ONE(t, 11), ONE(t, 12)}
#endif
#define TILE_TABLE {TILE_ROWS(0), TILE_ROWS(1)}
