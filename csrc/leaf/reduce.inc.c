/* Reductions, and the group of virtual lanes that they share with softmax and the losses.

   A row is reduced over GROUP_LANES virtual lanes: lane l takes elements l, l + GROUP_LANES, ... in
   ascending order, starting from +0 (or -inf), and a fixed tree (+8) +4 +2 +1 joins the lanes. Columns
   are reduced one chain each. So the order of operations, and with it every bit of the result, is the
   same whatever the width of the machine's vectors. */

/* --- groups ------------------------------------------------------------------------------------ */

typedef struct {
    vec v[GROUP];
} group;

/* The first n lanes of a group. */
typedef struct {
    ptrdiff_t n;
    vtail tail[GROUP];
    vmask exists[GROUP];
} lane_set;

static const real lane_numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

#define EACH_VECTOR(i) _Pragma("GCC unroll 4") for (int i = 0; i < GROUP; i++)

/* The lanes of the last group of a row of n: 1 to GROUP_LANES of them, 0 only if n is 0. */
INLINE lane_set last_lanes(ptrdiff_t n)
{
    lane_set last;
    last.n = (n - 1) % GROUP_LANES + 1;
    EACH_VECTOR(i)
    {
        const ptrdiff_t left = last.n - i * VL;
        last.tail[i] = v_tail(left < 0 ? 0 : left < VL ? left : VL);
        last.exists[i] = v_lt(v_load(lane_numbers + i * VL), v_set((real)last.n));
    }
    return last;
}

INLINE group g_set(vec v)
{
    group g;
    EACH_VECTOR(i) g.v[i] = v;
    return g;
}

/* Reads the last group of a row; missing lanes are +0. Whole vectors are read as such, because a tail
   is slow on some levels. */
INLINE group g_load_last(const real *p, const lane_set *last)
{
    group g;
    EACH_VECTOR(i)
    {
        if (last->n >= (i + 1) * VL)
            g.v[i] = v_load(p + i * VL);
        else
            g.v[i] = v_load_tail(p + i * VL, last->tail[i]);
    }
    return g;
}

/* Gives the missing lanes of the last group another value than +0. */
INLINE group g_fill_last(group g, const lane_set *last, vec fill)
{
    EACH_VECTOR(i) g.v[i] = v_sel(last->exists[i], g.v[i], fill);
    return g;
}

/* The next two work on any group of a row: `left` elements of the row begin at p. */
INLINE group g_load(const real *p, ptrdiff_t left, const lane_set *last)
{
    group g;
    if (left <= GROUP_LANES)
        return g_load_last(p, last);
    EACH_VECTOR(i) g.v[i] = v_load(p + i * VL);
    return g;
}

INLINE group g_fill(group g, ptrdiff_t left, const lane_set *last, vec fill)
{
    return left <= GROUP_LANES ? g_fill_last(g, last, fill) : g;
}

INLINE void g_store(real *p, group g, ptrdiff_t left, const lane_set *last)
{
    EACH_VECTOR(i)
    {
        if (left > GROUP_LANES || last->n >= (i + 1) * VL)
            v_store(p + i * VL, g.v[i]);
        else if (last->n > i * VL)
            v_store_tail(p + i * VL, g.v[i], last->tail[i]);
    }
}

INLINE group g_add(group a, group b)
{
    EACH_VECTOR(i) a.v[i] = v_add(a.v[i], b.v[i]);
    return a;
}

/* Ignores a NaN in a. */
INLINE group g_max(group a, group b)
{
    EACH_VECTOR(i) a.v[i] = v_max(a.v[i], b.v[i]);
    return a;
}

/* The larger of a and b, NaN if either is: v_max alone would forget a NaN in a. */
INLINE vec v_max_nan(vec a, vec b) { return v_sel(v_isnan(a), a, v_max(a, b)); }

INLINE group g_max_nan(group a, group b)
{
    EACH_VECTOR(i) a.v[i] = v_max_nan(a.v[i], b.v[i]);
    return a;
}

/* The tree. Zipping the halves of a vector puts lane l beside lane l + VL/2, so that one operation
   joins them. Zipped with itself, a group ends in every lane after log2(VL) rounds (lane_). Zipped with
   each other, VL groups share the rounds (lanes_): fold_ first makes one vector of each, and lane i of
   the result is group i. */
#define LANE_TREE(name, op)                                                                       \
    INLINE vec fold_##name(group g)                                                               \
    {                                                                                             \
        _Pragma("GCC unroll 2") for (int half = GROUP / 2; half > 0; half /= 2)                   \
            _Pragma("GCC unroll 2") for (int i = 0; i < half; i++)                                \
                g.v[i] = op(g.v[i], g.v[i + half]);                                               \
        return g.v[0];                                                                            \
    }                                                                                             \
    INLINE vec lane_##name(group g)                                                               \
    {                                                                                             \
        vec v = fold_##name(g);                                                                   \
        _Pragma("GCC unroll 4") for (int width = 1; width < VL; width *= 2)                       \
            v = op(v_zip_lo(v, v), v_zip_hi(v, v));                                               \
        return v;                                                                                 \
    }                                                                                             \
    INLINE vec lanes_##name(const vec folded[VL])                                                 \
    {                                                                                             \
        vec v[VL];                                                                                \
        _Pragma("GCC unroll 16") for (int i = 0; i < VL; i++)                                     \
            v[i] = folded[i];                                                                     \
        _Pragma("GCC unroll 4") for (int half = VL / 2; half > 0; half /= 2)                      \
            _Pragma("GCC unroll 8") for (int i = 0; i < half; i++)                                \
                v[i] = op(v_zip_lo(v[i], v[i + half]), v_zip_hi(v[i], v[i + half]));              \
        return v[0];                                                                              \
    }
LANE_TREE(sum, v_add)
LANE_TREE(max, v_max)
LANE_TREE(max_nan, v_max_nan)

INLINE real v_first(vec v)
{
    real values[VL];
    v_store(values, v);
    return values[0];
}

/* --- rows -------------------------------------------------------------------------------------- */

INLINE real max_of_row(ptrdiff_t n, const real *x, const lane_set *last)
{
    const vec lowest = v_set(-REAL_INF);
    group best = g_set(lowest);
    for (ptrdiff_t j = 0; j < n; j += GROUP_LANES)
        best = g_max_nan(g_fill(g_load(x + j, n - j, last), n - j, last, lowest), best);
    return v_first(lane_max_nan(best));
}

/* -1 for an empty row. */
INLINE ptrdiff_t argmax_of_row(ptrdiff_t n, const real *x, const lane_set *last)
{
    const real best = max_of_row(n, x, last);
    const vec bests = v_set(best);
    ptrdiff_t j = 0;
    for (; j + VL <= n; j += VL) { /* find the vector, then the lane */
        const vec v = v_load(x + j);
        if (m_any(m_or(v_eq(v, bests), v_isnan(v))))
            break;
    }
    while (j < n && x[j] != best && x[j] == x[j])
        j++;
    return j < n ? j : -1;
}

static void row_sum(ptrdiff_t rows, ptrdiff_t n, const void *x, ptrdiff_t ldx, void *out)
{
    const lane_set last = last_lanes(n);
    for (ptrdiff_t r = 0; r < rows; r++) {
        const real *row = (const real *)x + r * ldx;
        group sum = g_set(v_zero());
        for (ptrdiff_t j = 0; j < n; j += GROUP_LANES)
            sum = g_add(sum, g_load(row + j, n - j, &last));
        ((real *)out)[r] = v_first(lane_sum(sum));
    }
}

static void row_max(ptrdiff_t rows, ptrdiff_t n, const void *x, ptrdiff_t ldx, void *out)
{
    const lane_set last = last_lanes(n);
    for (ptrdiff_t r = 0; r < rows; r++)
        ((real *)out)[r] = max_of_row(n, (const real *)x + r * ldx, &last);
}

static void row_argmax(ptrdiff_t rows, ptrdiff_t n, const void *x, ptrdiff_t ldx, int64_t *out)
{
    const lane_set last = last_lanes(n);
    for (ptrdiff_t r = 0; r < rows; r++)
        out[r] = argmax_of_row(n, (const real *)x + r * ldx, &last);
}

/* --- columns ----------------------------------------------------------------------------------- */

#define COLUMN_VECS 4 /* vectors of columns at a time: they hide the latency of an addition */
#define EACH_COLUMN(i) _Pragma("GCC unroll 4") for (int i = 0; i < vecs; i++)

/* One row of a panel: `vecs` vectors, of which the last has `width` elements. */
INLINE vec load_column(const real *row, int i, const int vecs, ptrdiff_t width, vtail tail)
{
    const int whole = i < vecs - 1 || width == VL;
    return whole ? v_load(row + i * VL) : v_load_tail(row + i * VL, tail);
}

INLINE void sum_panel(const int vecs, ptrdiff_t width, ptrdiff_t rows, const real *x, ptrdiff_t ldx,
                      const real *init, real *out)
{
    const vtail tail = v_tail(width);
    vec total[COLUMN_VECS], part[COLUMN_VECS];
    EACH_COLUMN(i) total[i] = init ? load_column(init, i, vecs, width, tail) : v_zero();
    for (ptrdiff_t begin = 0; begin < rows; begin += MDL_K_BLOCK) {
        const ptrdiff_t end = rows - begin < MDL_K_BLOCK ? rows : begin + MDL_K_BLOCK;
        EACH_COLUMN(i) part[i] = v_zero();
        for (ptrdiff_t r = begin; r < end; r++)
            EACH_COLUMN(i)
                part[i] = v_add(part[i], load_column(x + r * ldx, i, vecs, width, tail));
        EACH_COLUMN(i) total[i] = v_add(total[i], part[i]);
    }
    EACH_COLUMN(i)
    {
        if (i < vecs - 1 || width == VL)
            v_store(out + i * VL, total[i]);
        else
            v_store_tail(out + i * VL, total[i], tail);
    }
}

static void col_sum(ptrdiff_t rows, ptrdiff_t n, const void *x, ptrdiff_t ldx, const void *init,
                    void *out)
{
    for (ptrdiff_t j = 0; j < n; j += COLUMN_VECS * VL) {
        const real *from = (const real *)x + j, *start = init ? (const real *)init + j : NULL;
        real *to = (real *)out + j;
        const ptrdiff_t left = n - j;
        if (left > 3 * VL)
            sum_panel(4, left < 4 * VL ? left - 3 * VL : VL, rows, from, ldx, start, to);
        else if (left > 2 * VL)
            sum_panel(3, left - 2 * VL, rows, from, ldx, start, to);
        else if (left > VL)
            sum_panel(2, left - VL, rows, from, ldx, start, to);
        else
            sum_panel(1, left, rows, from, ldx, start, to);
    }
}

static void col_max(ptrdiff_t rows, ptrdiff_t n, const void *x, ptrdiff_t ldx, void *out)
{
    for (ptrdiff_t j = 0; j < n; j += VL) {
        const ptrdiff_t width = n - j < VL ? n - j : VL;
        const vtail tail = v_tail(width);
        const real *from = (const real *)x + j;
        real *to = (real *)out + j;
        vec best = v_set(-REAL_INF);
        for (ptrdiff_t r = 0; r < rows; r++)
            best = v_max_nan(load_column(from + r * ldx, 0, 1, width, tail), best);
        if (width == VL)
            v_store(to, best);
        else
            v_store_tail(to, best, tail);
    }
}

/* --- finite ------------------------------------------------------------------------------------ */

/* Looks at a row, several vectors at a time; no result depends on the order. `bad` becomes NaN in some lane
   if the row has an infinity or NaN: x * 0 is NaN exactly there, and a NaN stays in its chain. `top` gets
   the largest magnitudes of the rest. */
INLINE void scan_row(ptrdiff_t n, const real *x, vtail tail, wide *top, wide *bad)
{
#define SCAN(i, from)                                                                             \
    do {                                                                                          \
        const vec scanned = from;                                                                 \
        top->v[i] = v_max(v_abs(scanned), top->v[i]);                                             \
        bad->v[i] = v_fma(scanned, v_zero(), bad->v[i]);                                          \
    } while (0)
    for (; n >= WIDE_LANES; n -= WIDE_LANES, x += WIDE_LANES)
        EACH_OF_WIDE(i) SCAN(i, v_load(x + i * VL));
    EACH_OF_WIDE(i)
    {
        if (n < VL)
            break;
        SCAN(i, v_load(x));
        n -= VL;
        x += VL;
    }
    if (n > 0)
        SCAN(WIDE - 1, v_load_tail(x, tail));
#undef SCAN
}

/* The lanes of `bad` that are NaN, of all its vectors. */
INLINE vmask bad_lanes(const wide *bad)
{
    vec sum = bad->v[0];
#pragma GCC unroll 8
    for (int i = 1; i < WIDE; i++)
        sum = v_add(sum, bad->v[i]);
    return v_isnan(sum);
}

static void row_largest(ptrdiff_t rows, ptrdiff_t n, const void *x, ptrdiff_t ldx, double *out,
                        ptrdiff_t ldo)
{
    const vtail tail = v_tail(n % VL);
    for (ptrdiff_t first = 0; first < rows; first += VL) { /* the joining of lanes is shared by VL rows */
        const ptrdiff_t count = rows - first < VL ? rows - first : VL;
        vec lanes[VL];
        real largest[VL];
        for (ptrdiff_t i = 0; i < VL; i++) {
            wide top = w_zero(), bad = w_zero();
            if (i < count)
                scan_row(n, (const real *)x + (first + i) * ldx, tail, &top, &bad);
#pragma GCC unroll 8
            for (int w = 1; w < WIDE; w++)
                top.v[0] = v_max(top.v[w], top.v[0]);
            lanes[i] = v_sel(bad_lanes(&bad), v_set(REAL_INF), top.v[0]);
        }
        v_store(largest, lanes_max(lanes));
        for (ptrdiff_t i = 0; i < count; i++)
            out[(first + i) * ldo] = (double)largest[i];
    }
}

static int all_finite(ptrdiff_t rows, ptrdiff_t n, const void *x, ptrdiff_t ldx)
{
    if (ldx == n) { /* one long row */
        n *= rows;
        rows = n > 0;
    }
    const vtail tail = v_tail(n % VL);
    wide top = w_zero(), bad = w_zero();
    for (ptrdiff_t r = 0; r < rows; r++)
        scan_row(n, (const real *)x + r * ldx, tail, &top, &bad);
    return !m_any(bad_lanes(&bad));
}
