/* The register tile: c = init + a b for a few rows and a few vectors of columns.

   All of c lives in registers while k runs. For each k one row of b is loaded (VECS vectors), each
   element of a is broadcast, and ROWS * VECS fused multiply-adds follow: ROWS * VECS independent chains
   hide the latency of the FMA, and (ROWS + VECS) loads feed ROWS * VECS FMAs. Lanes run over columns,
   never over k, so every element of c is the chain p = fma(a, b, p) that minidl-num-1 prescribes,
   whatever the shape of the tile.

   It does not block, pack, thread, or apply an activation: that is minidl/kernels/gemm.pyx. */

/* The shapes that fit the register file: rows * vecs accumulators, the shorter side of the tile held,
   and one register for the longer side in turn. Few rows get wide tiles, because at least eight chains
   must be under way to hide the latency on a CPU with two FMA units.

   TILE_WIDTHS is the preferred number of vectors for so many rows of c (from 1; the last entry stands
   for more). If all rows of c are one block and such a panel would not stay in L1, it is TILE_BLOCK_WIDTH
   at most: no other block shares the panels, and taller tiles read them less often. Both hold unless the
   rows of b lie in pages of their own: then it is never less than the last entry. A panel may be one
   vector wider, up to TILE_STRETCH, rather than leave a panel of one vector, whose tile is bound by its
   loads. */
#define UP_TO_1(X, v) X(1, v)
#define UP_TO_2(X, v) UP_TO_1(X, v) X(2, v)
#define UP_TO_3(X, v) UP_TO_2(X, v) X(3, v)
#define UP_TO_4(X, v) UP_TO_3(X, v) X(4, v)
#define UP_TO_5(X, v) UP_TO_4(X, v) X(5, v)
#define UP_TO_6(X, v) UP_TO_5(X, v) X(6, v)
#define UP_TO_8(X, v) UP_TO_6(X, v) X(7, v) X(8, v)
#define UP_TO_12(X, v) UP_TO_8(X, v) X(9, v) X(10, v) X(11, v) X(12, v)

#if MDL_LEVEL == MDL_X86_V4 || MDL_LEVEL == MDL_NEON /* 32 registers */
#define TILE_SHAPES(X)                                                                            \
    UP_TO_12(X, 1) UP_TO_12(X, 2) UP_TO_8(X, 3) UP_TO_6(X, 4)                                     \
    UP_TO_5(X, 5) UP_TO_4(X, 6) UP_TO_3(X, 7) UP_TO_3(X, 8)
#define TILE_MAX_ROWS {0, 12, 12, 8, 6, 5, 4, 3, 3}
#define TILE_WIDTHS {0, 8, 8, 8, 6, 5, 4, 3, 3, 4} /* seven and eight rows fit into one tile */
#define TILE_BLOCK_WIDTH 3
#define TILE_STRETCH 4
#else /* 16 registers */
#define TILE_SHAPES(X)                                                                            \
    UP_TO_12(X, 1) UP_TO_6(X, 2) UP_TO_4(X, 3) UP_TO_3(X, 4)                                      \
    UP_TO_2(X, 5) UP_TO_2(X, 6) UP_TO_1(X, 7) UP_TO_1(X, 8)
#define TILE_MAX_ROWS {0, 12, 6, 4, 3, 2, 2, 1, 1}
#define TILE_WIDTHS {0, 8, 5, 3, 3, 2, 2, 2, 2, 2}
#define TILE_BLOCK_WIDTH 2
#define TILE_STRETCH 3
#endif

/* What will be needed from another cache is fetched while k runs, a little before every so many steps: many
   requests at once would make the loads of b wait behind them. The rows of c are among it if k is long enough,
   else they would come too late; and if they are more than a few, which a small c has. */
#define LEAST_DEPTH 96
#define LEAST_ROWS 4

INLINE void fetch_lines(mdl_ahead *ahead)
{
    ptrdiff_t n = ahead->share < ahead->left ? ahead->share : ahead->left;
    ahead->left -= n;
    for (; n > 0; n--) {
        __builtin_prefetch(ahead->row + 64 * ahead->line, 0, 2); /* to L2 */
        if (++ahead->line == ahead->lines) {
            ahead->line = 0;
            ahead->row += ahead->step;
        }
    }
}

/* Element (row, p) of a. Rows are addressed from every third row pointer, because an x86 address
   is base + {1, 2} * stride: twelve rows need four bases and one stride register. */
#define A_AT(row, p) (transposed ? a[row] : base[(row) / 3][((row) % 3) * lda + (p)])
#define B_AT(j) ((j) < whole ? v_load(b + (j) * VL) : v_load_tail(b + (j) * VL, tail))

/* Steps of k in a turn of the loop. Each pointer that moves and each branch takes a slot beside the FMAs in
   what the core can issue, and a core that works for another hyperthread, too, has few. Small and partial
   tiles wait for other things, and are spared the code. */
#define UNROLL(kind, rows, vecs) ((kind) == MDL_TILE_FULL && (rows) * (vecs) >= 12 ? 4 : 1)

/* One step of k: b points to its row of b; its column of a is p steps on from base, or lies at a if a is
   transposed. */
INLINE void tile_step(const int halved, const int transposed, const int rows, const int vectors,
                      const int whole, const real *restrict a, const real *const *base, ptrdiff_t lda,
                      const int p, const real *restrict b, vtail tail, vec acc[][MDL_MAX_VECS],
                      hvec *half_acc)
{
    vec held[MDL_MAX_VECS];
    hvec half_b = h_zero();
    if (halved)
        half_b = h_load_tail(b + vectors * VL, tail);
    if (rows >= vectors + halved) {
#pragma GCC unroll 8
        for (int j = 0; j < vectors; j++)
            held[j] = B_AT(j);
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++) {
            if (vectors + halved == 1) { /* the one use of the number: AVX-512 loads it as a part of the FMA */
                if (halved)
                    h_accumulate(&half_acc[i], h_set(A_AT(i, p)), half_b);
                else
                    acc[i][0] = v_fma(v_set(A_AT(i, p)), held[0], acc[i][0]);
                continue;
            }
            const vec av = v_set(A_AT(i, p));
#pragma GCC unroll 8
            for (int j = 0; j < vectors; j++)
                v_accumulate(&acc[i][j], av, held[j]);
            if (halved)
                h_accumulate(&half_acc[i], h_low(av), half_b);
        }
    } else {
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++)
            held[i] = v_set(A_AT(i, p));
#pragma GCC unroll 8
        for (int j = 0; j < vectors; j++) {
            const vec bv = B_AT(j);
#pragma GCC unroll 12
            for (int i = 0; i < rows; i++) {
                if (rows == 1) /* the one use of bv, whose load may become a part of the FMA */
                    acc[i][j] = v_fma(held[i], bv, acc[i][j]);
                else
                    v_accumulate(&acc[i][j], held[i], bv);
            }
        }
#pragma GCC unroll 12
        for (int i = 0; halved && i < rows; i++)
            h_accumulate(&half_acc[i], h_low(held[i]), half_b);
    }
}

INLINE void tile(const int kind, const int transposed, const int rows, const int vecs, ptrdiff_t n,
                 ptrdiff_t k, const real *restrict a, ptrdiff_t lda, const real *restrict b,
                 ptrdiff_t ldb, const real *init, ptrdiff_t ldi, real *c, ptrdiff_t ldc,
                 mdl_ahead *ahead)
{
    const int full = kind == MDL_TILE_FULL, halved = kind == MDL_TILE_HALF;
    const int whole = full ? vecs : vecs - 1;       /* vectors without a mask */
    const int vectors = halved ? vecs - 1 : vecs;   /* ... and without the half one */
    const int unroll = UNROLL(kind, rows, vecs);
    const vtail tail = v_tail(full ? VL : n - whole * VL);
    const real *base[MDL_MAX_ROWS / 3];
    const real *c_row = c, *c_end = rows < LEAST_ROWS || k < LEAST_DEPTH ? c : c + rows * ldc;
    const ptrdiff_t pause = ahead || c_end != c ? MDL_FETCH_STEPS : k;
    vec acc[MDL_MAX_ROWS][MDL_MAX_VECS];
    hvec half_acc[MDL_MAX_ROWS];

#pragma GCC unroll 12
    for (int i = 0; i < rows; i++) {
        if (i % 3 == 0)
            base[i / 3] = a + i * lda;
#pragma GCC unroll 8
        for (int j = 0; j < vectors; j++)
            acc[i][j] = v_zero();
        if (halved)
            half_acc[i] = h_zero();
    }

    while (k > 0) {
        ptrdiff_t steps = k < 2 * pause ? k : pause;
        k -= steps;
        __asm__("" : "+r"(steps)); /* for all that the compiler knows, too many to write out one by one */
        for (int i = 0; i < (rows > 6 ? 2 : 1) && c_row != c_end; i++) {
#pragma GCC unroll 8
            for (int j = 0; j < vecs; j++)
                __builtin_prefetch(c_row + j * VL, 1);
            __builtin_prefetch(c_row + n - 1, 1);
            c_row += ldc;
        }
        if (ahead)
            fetch_lines(ahead);
        for (; steps >= unroll; steps -= unroll) {
#pragma GCC unroll 4
            for (int p = 0; p < unroll; p++) {
                tile_step(halved, transposed, rows, vectors, whole, a, base, lda, p, b, tail, acc, half_acc);
                b += ldb;
                if (transposed)
                    a += lda;
                /* pointers that move, and a stride as it is: not a register for each sum of them */
                __asm__("" : "+r"(b), "+r"(a), "+r"(lda));
            }
            if (!transposed) {
#pragma GCC unroll 4
                for (int i = 0; i < (rows + 2) / 3; i++)
                    base[i] += unroll;
            }
        }
        for (; unroll > 1 && steps > 0; steps--) {
            tile_step(halved, transposed, rows, vectors, whole, a, base, lda, 0, b, tail, acc, half_acc);
            b += ldb;
            if (transposed) {
                a += lda;
            } else {
#pragma GCC unroll 4
                for (int i = 0; i < (rows + 2) / 3; i++)
                    base[i]++;
            }
        }
    }

#pragma GCC unroll 12
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 8
        for (int j = 0; j < vecs; j++) {
            const real *from = init + i * ldi + j * VL;
            real *to = c + i * ldc + j * VL;
            if (j < whole)
                v_store(to, v_add(v_load(from), acc[i][j]));
            else if (halved)
                h_store_tail(to, h_add(h_load_tail(from, tail), half_acc[i]), tail);
            else
                v_store_tail(to, v_add(v_load_tail(from, tail), acc[i][j]), tail);
        }
    }
}

/* The variants are functions of their own: together they would spill registers. */
#define TILE_FUNCTION(name, kind, transposed, rows, vecs)                                         \
    static void name##_##rows##x##vecs(                                                           \
        ptrdiff_t n, ptrdiff_t k, const void *a, ptrdiff_t lda, const void *b, ptrdiff_t ldb,     \
        const void *init, ptrdiff_t ldi, void *c, ptrdiff_t ldc, mdl_ahead *ahead)                \
    {                                                                                             \
        tile(kind, transposed, rows, vecs, n, k, a, lda, b, ldb, init, ldi, c, ldc, ahead);       \
    }
#if MDL_HALF_LANES
#define HALF_FUNCTIONS(rows, vecs)                                                                \
    TILE_FUNCTION(half_n, MDL_TILE_HALF, 0, rows, vecs)                                           \
    TILE_FUNCTION(half_t, MDL_TILE_HALF, 1, rows, vecs)
#define HALF_ENTRIES(rows, vecs)                                                                  \
    [MDL_TILE_HALF][0][rows][vecs] = half_n_##rows##x##vecs,                                      \
    [MDL_TILE_HALF][1][rows][vecs] = half_t_##rows##x##vecs,
#else
#define HALF_FUNCTIONS(rows, vecs)
#define HALF_ENTRIES(rows, vecs)
#endif
#define DEFINE_TILES(rows, vecs)                                                                  \
    TILE_FUNCTION(partial_n, MDL_TILE_PARTIAL, 0, rows, vecs)                                     \
    TILE_FUNCTION(partial_t, MDL_TILE_PARTIAL, 1, rows, vecs)                                     \
    TILE_FUNCTION(full_n, MDL_TILE_FULL, 0, rows, vecs)                                           \
    TILE_FUNCTION(full_t, MDL_TILE_FULL, 1, rows, vecs)                                           \
    HALF_FUNCTIONS(rows, vecs)
TILE_SHAPES(DEFINE_TILES)

#define ENTRIES(rows, vecs)                                                                       \
    [MDL_TILE_PARTIAL][0][rows][vecs] = partial_n_##rows##x##vecs,                                \
    [MDL_TILE_PARTIAL][1][rows][vecs] = partial_t_##rows##x##vecs,                                \
    [MDL_TILE_FULL][0][rows][vecs] = full_n_##rows##x##vecs,                                      \
    [MDL_TILE_FULL][1][rows][vecs] = full_t_##rows##x##vecs,                                      \
    HALF_ENTRIES(rows, vecs)
#define TILE_TABLE {TILE_SHAPES(ENTRIES)}
