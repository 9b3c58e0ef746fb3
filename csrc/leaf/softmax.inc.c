/* Softmax by rows, from the exponentials of z - max z, which cannot overflow and sum to 1 or more.

   The maximum ignores NaN, because NaN - max is NaN: it reaches the sum, and so every result of its
   row. A row that holds +inf, or nothing but -inf, gives NaN; -inf beside other numbers has
   probability 0.

   Rows are taken in blocks of BLOCK, one step for all of them before the next: the steps of one row wait
   for each other, those of different rows do not. Rows of one group or less stand in a buffer without
   gaps while their exponentials are taken, so that no vector is spent on what lies between them. */

#define BLOCK WIDE_LANES /* rows, so that a wide has one number of each */

INLINE ptrdiff_t rows_of_block(ptrdiff_t rows, ptrdiff_t begin)
{
    return rows - begin < BLOCK ? rows - begin : BLOCK;
}

INLINE group g_sub(group g, vec b)
{
    EACH_VECTOR(i) g.v[i] = v_sub(g.v[i], b);
    return g;
}

INLINE group g_div(group g, vec divisor)
{
    EACH_VECTOR(i) g.v[i] = v_div(g.v[i], divisor);
    return g;
}

/* A group of z - max; missing lanes are 0. */
INLINE group g_shifted(const real *z, ptrdiff_t left, const lane_set *last, real max)
{
    return g_fill(g_sub(g_load(z, left, last), v_set(max)), left, last, v_zero());
}

/* max[i] = max z_i for a block of rows. */
INLINE void block_max(ptrdiff_t count, ptrdiff_t n, const real *z, ptrdiff_t ldz, const lane_set *last,
                      real max[BLOCK])
{
    const vec lowest = v_set(-REAL_INF);
    for (ptrdiff_t begin = 0; begin < count; begin += VL) {
        vec folded[VL];
        for (ptrdiff_t i = 0; i < VL; i++)
            folded[i] = lowest;
        for (ptrdiff_t i = 0; i < VL && begin + i < count; i++) {
            const real *row = z + (begin + i) * ldz;
            group best = g_set(lowest);
            for (ptrdiff_t j = 0; j < n; j += GROUP_LANES)
                best = g_max(g_fill(g_load(row + j, n - j, last), n - j, last, lowest), best);
            folded[i] = fold_max(best);
        }
        v_store(max + begin, lanes_max(folded));
    }
}

/* Where the exponentials of a block wait for their sum: those of narrow rows in a buffer, row by row
   without gaps, those of wider rows in the output, if there is one. */
typedef struct {
    real *row;
    ptrdiff_t stride;
    real buffer[BLOCK * GROUP_LANES + WIDE_LANES];
} waiting;

INLINE void wait_in(waiting *e, ptrdiff_t n, real *out, ptrdiff_t ldo)
{
    const int narrow = n <= GROUP_LANES;
    e->row = narrow ? e->buffer : out;
    e->stride = narrow ? n : ldo;
}

/* Narrow rows: all of them are shifted, then all exponentials taken, then each row summed. The vectors
   that a row writes past its end lie where the next row, or nothing, will stand. */
INLINE void narrow_exp(ptrdiff_t count, ptrdiff_t n, const real *z, ptrdiff_t ldz, const lane_set *last,
                       const real max[BLOCK], real *e, vec folded[BLOCK])
{
    const int one = n <= VL;
    for (ptrdiff_t i = 0; i < count; i++) {
        const group g = g_sub(g_load_last(z + i * ldz, last), v_set(max[i]));
        EACH_VECTOR(k) if (k == 0 || !one) v_store(e + i * n + k * VL, g.v[k]);
    }
    w_store(e + count * n, w_zero()); /* an exponential far from 0 may be slow */
    for (ptrdiff_t j = 0; j < count * n; j += WIDE_LANES)
        w_store(e + j, exp_to_40(w_load(e + j)));
    for (ptrdiff_t i = 0; i < count; i++) {
        group g = g_set(v_zero());
        EACH_VECTOR(k) if (k == 0 || !one) g.v[k] = v_load(e + i * n + k * VL);
        g = g_fill_last(g, last, v_zero());
        folded[i] = one ? g.v[0] : fold_sum(g);
    }
}

/* A group, over and over. */
INLINE wide w_groups(group g)
{
    wide w;
    EACH_OF_WIDE(i) w.v[i] = g.v[i % GROUP];
    return w;
}

/* The exponentials of one wide row, to e if there is a place, and their sum. */
INLINE vec wide_exp(ptrdiff_t n, const real *z, const lane_set *last, real max, real *e)
{
    group total = g_set(v_zero());
    for (ptrdiff_t j = 0; j < n; j += GROUP_LANES) {
        const wide w = exp_to_40(w_groups(g_shifted(z + j, n - j, last, max)));
        group g;
        EACH_VECTOR(k) g.v[k] = w.v[k];
        g = g_fill(g, n - j, last, v_zero());
        if (e)
            g_store(e + j, g, n - j, last);
        total = g_add(total, g);
    }
    return fold_sum(total);
}

/* e_i = exp(z_i - max[i]), kept where there is a place, and sum[i] = sum e_i, for a block of rows. The sums
   of rows that are not there are 1. */
INLINE void block_exp(ptrdiff_t count, ptrdiff_t n, const real *z, ptrdiff_t ldz, const lane_set *last,
                      const real max[BLOCK], const waiting *e, real sum[BLOCK])
{
    vec folded[BLOCK];
    if (n <= GROUP_LANES)
        narrow_exp(count, n, z, ldz, last, max, e->row, folded);
    else
        for (ptrdiff_t i = 0; i < count; i++)
            folded[i] = wide_exp(n, z + i * ldz, last, max[i], e->row ? e->row + i * e->stride : NULL);
    for (ptrdiff_t i = count; i % VL; i++)
        folded[i] = v_zero();
    for (ptrdiff_t i = 0; i < count; i += VL)
        v_store(sum + i, lanes_sum(folded + i));
    for (ptrdiff_t i = count; i < BLOCK; i++)
        sum[i] = 1;
}

/* Columns j ... of row i of the exponentials. Lanes past the end of a narrow row hold anything. */
INLINE group g_waiting(const waiting *e, ptrdiff_t i, ptrdiff_t j, ptrdiff_t n, const lane_set *last)
{
    const real *from = e->row + i * e->stride + j;
    group g;
    if (n > GROUP_LANES)
        return g_load(from, n - j, last);
    EACH_VECTOR(k) g.v[k] = v_load(from + k * VL);
    return g;
}

static void softmax(ptrdiff_t rows, ptrdiff_t n, const void *z, ptrdiff_t ldz, void *y, ptrdiff_t ldy)
{
    const lane_set last = last_lanes(n);
    for (ptrdiff_t begin = 0; begin < rows; begin += BLOCK) {
        const ptrdiff_t count = rows_of_block(rows, begin);
        const real *from = (const real *)z + begin * ldz;
        real *to = (real *)y + begin * ldy;
        real max[BLOCK], sum[BLOCK];
        waiting e;
        wait_in(&e, n, to, ldy);
        block_max(count, n, from, ldz, &last, max);
        block_exp(count, n, from, ldz, &last, max, &e, sum);
        for (ptrdiff_t i = 0; i < count; i++)
            for (ptrdiff_t j = 0; j < n; j += GROUP_LANES)
                g_store(to + i * ldy + j, g_div(g_waiting(&e, i, j, n, &last), v_set(sum[i])), n - j, &last);
    }
}

/* (z - max) - log sum: never the logarithm of a probability, which may have become 0. */
static void log_softmax(ptrdiff_t rows, ptrdiff_t n, const void *z, ptrdiff_t ldz, void *y,
                        ptrdiff_t ldy)
{
    const lane_set last = last_lanes(n);
    for (ptrdiff_t begin = 0; begin < rows; begin += BLOCK) {
        const ptrdiff_t count = rows_of_block(rows, begin);
        const real *from = (const real *)z + begin * ldz;
        real *to = (real *)y + begin * ldy;
        real max[BLOCK], sum[BLOCK], log_sum[BLOCK];
        waiting nowhere;
        wait_in(&nowhere, n, NULL, 0);
        block_max(count, n, from, ldz, &last, max);
        block_exp(count, n, from, ldz, &last, max, &nowhere, sum);
        w_store(log_sum, vm_log(w_load(sum)));
        for (ptrdiff_t i = 0; i < count; i++) {
            for (ptrdiff_t j = 0; j < n; j += GROUP_LANES) {
                const group g = g_sub(g_load(from + i * ldz + j, n - j, &last), v_set(max[i]));
                g_store(to + i * ldy + j, g_sub(g, v_set(log_sum[i])), n - j, &last);
            }
        }
    }
}

static void softmax_backward(ptrdiff_t rows, ptrdiff_t n, const void *dy, ptrdiff_t lddy, const void *y,
                             ptrdiff_t ldy, void *dz, ptrdiff_t lddz)
{
    const lane_set last = last_lanes(n);
    for (ptrdiff_t r = 0; r < rows; r++) {
        const real *slope = (const real *)dy + r * lddy, *p = (const real *)y + r * ldy;
        real *to = (real *)dz + r * lddz;
        group dot = g_set(v_zero());
        for (ptrdiff_t j = 0; j < n; j += GROUP_LANES) {
            const group a = g_load(slope + j, n - j, &last), b = g_load(p + j, n - j, &last);
            EACH_VECTOR(i) dot.v[i] = v_fma(a.v[i], b.v[i], dot.v[i]);
        }
        const vec mean = lane_sum(dot); /* of dy under the distribution y */
        for (ptrdiff_t j = 0; j < n; j += GROUP_LANES) {
            const group a = g_load(slope + j, n - j, &last), b = g_load(p + j, n - j, &last);
            group g = g_sub(a, mean);
            EACH_VECTOR(i) g.v[i] = v_mul(b.v[i], g.v[i]);
            g_store(to + j, g, n - j, &last);
        }
    }
}
