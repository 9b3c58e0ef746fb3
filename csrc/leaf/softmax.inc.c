/* Softmax by rows, from the exponentials of z - max z, which cannot overflow and sum to 1 or more.

   The maximum ignores NaN, because NaN - max is NaN: it reaches the sum, and so every result of its
   row. A row that holds +inf, or nothing but -inf, gives NaN; -inf beside other numbers has
   probability 0.

   Rows are taken in blocks of VL, one step for all of them before the next: the steps of one row wait
   for each other, those of different rows do not. */

INLINE ptrdiff_t rows_of_block(ptrdiff_t rows, ptrdiff_t begin)
{
    return rows - begin < VL ? rows - begin : VL;
}

INLINE group g_sub(group g, vec b)
{
    EACH_VECTOR(i) g.v[i] = v_sub(g.v[i], b);
    return g;
}

INLINE group g_exp(group g)
{
    EACH_VECTOR(i) g.v[i] = vm_exp(w_same(g.v[i])).v[0];
    return g;
}

INLINE group g_div(group g, vec divisor)
{
    EACH_VECTOR(i) g.v[i] = v_div(g.v[i], divisor);
    return g;
}

/* A group of z - max; missing lanes are 0. (-inf would spare block_exp a step, but the exponential of a
   number that far down underflows, which costs many CPUs more than all the rest.) */
INLINE group g_shifted(const real *z, ptrdiff_t left, const lane_set *last, real max)
{
    return g_fill(g_sub(g_load(z, left, last), v_set(max)), left, last, v_zero());
}

/* max[i] = max z_i for a block of rows. */
INLINE void block_max(ptrdiff_t count, ptrdiff_t n, const real *z, ptrdiff_t ldz, const lane_set *last,
                      real max[VL])
{
    const vec lowest = v_set(-REAL_INF);
    vec folded[VL];
    for (ptrdiff_t i = count; i < VL; i++)
        folded[i] = lowest;
    for (ptrdiff_t i = 0; i < count; i++) {
        const real *row = z + i * ldz;
        group best = g_set(lowest);
        for (ptrdiff_t j = 0; j < n; j += GROUP_LANES)
            best = g_max(g_fill(g_load(row + j, n - j, last), n - j, last, lowest), best);
        folded[i] = fold_max(best);
    }
    v_store(max, lanes_max(folded));
}

/* Where the exponentials of a block wait for their sum. Rows of one group wait in a buffer, which takes
   whole groups; wider rows wait in the output, where last == the lanes of the row. */
typedef struct {
    real *row;
    ptrdiff_t stride;
    lane_set last;
    real buffer[VL * GROUP_LANES];
} waiting;

INLINE void wait_in(waiting *e, ptrdiff_t n, real *out, ptrdiff_t ldo, const lane_set *last)
{
    e->row = out;
    e->stride = ldo;
    e->last = *last;
    if (n <= GROUP_LANES && out) {
        e->row = e->buffer;
        e->stride = GROUP_LANES;
        e->last = last_lanes(GROUP_LANES);
    }
}

/* e_i = exp(z_i - max[i]), kept where there is a place, and sum[i] = sum e_i, for a block of rows. */
INLINE void block_exp(ptrdiff_t count, ptrdiff_t n, const real *z, ptrdiff_t ldz, const lane_set *last,
                      const real max[VL], const waiting *e, real sum[VL])
{
    vec folded[VL];
    for (ptrdiff_t i = count; i < VL; i++)
        folded[i] = v_zero();
    for (ptrdiff_t i = 0; i < count; i++) {
        const real *row = z + i * ldz;
        group total = g_set(v_zero());
        for (ptrdiff_t j = 0; j < n; j += GROUP_LANES) {
            const group shifted = g_shifted(row + j, n - j, last, max[i]);
            const group g = g_fill(g_exp(shifted), n - j, last, v_zero());
            if (e->row)
                g_store(e->row + i * e->stride + j, g, n - j, &e->last);
            total = g_add(total, g);
        }
        folded[i] = fold_sum(total);
    }
    v_store(sum, lanes_sum(folded));
}

static void softmax(ptrdiff_t rows, ptrdiff_t n, const void *z, ptrdiff_t ldz, void *y, ptrdiff_t ldy)
{
    const lane_set last = last_lanes(n);
    for (ptrdiff_t begin = 0; begin < rows; begin += VL) {
        const ptrdiff_t count = rows_of_block(rows, begin);
        const real *from = (const real *)z + begin * ldz;
        real *to = (real *)y + begin * ldy;
        real max[VL], sum[VL];
        waiting e;
        wait_in(&e, n, to, ldy, &last);
        block_max(count, n, from, ldz, &last, max);
        block_exp(count, n, from, ldz, &last, max, &e, sum);
        for (ptrdiff_t i = 0; i < count; i++) {
            const real *row = e.row + i * e.stride;
            for (ptrdiff_t j = 0; j < n; j += GROUP_LANES) {
                const group g = g_load(row + j, n - j, &e.last);
                g_store(to + i * ldy + j, g_div(g, v_set(sum[i])), n - j, &last);
            }
        }
    }
}

/* (z - max) - log sum: never the logarithm of a probability, which may have become 0. */
static void log_softmax(ptrdiff_t rows, ptrdiff_t n, const void *z, ptrdiff_t ldz, void *y,
                        ptrdiff_t ldy)
{
    const lane_set last = last_lanes(n);
    for (ptrdiff_t begin = 0; begin < rows; begin += VL) {
        const ptrdiff_t count = rows_of_block(rows, begin);
        const real *from = (const real *)z + begin * ldz;
        real *to = (real *)y + begin * ldy;
        real max[VL], sum[VL], log_sum[VL];
        waiting nowhere;
        wait_in(&nowhere, n, NULL, 0, &last);
        block_max(count, n, from, ldz, &last, max);
        block_exp(count, n, from, ldz, &last, max, &nowhere, sum);
        v_store(log_sum, vm_log(w_same(v_load(sum))).v[0]);
        for (ptrdiff_t i = 0; i < count; i++) {
            for (ptrdiff_t j = 0; j < n; j += GROUP_LANES) {
                const group g = g_shifted(from + i * ldz + j, n - j, &last, max[i]);
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
