/* Losses: value, gradient and share of right answers, row by row.

   The value of a row is computed in the dtype and then widened, weighted and stored as float64. The
   gradient of a row is (its derivative) * c, where c = scale * weight (/ n) is computed in float64 and
   rounded once. A NaN in z gives a NaN value; nothing that is not finite turns into a number again. */
#include "softmax.inc.c"

#define LOSS_PARAMETERS                                                                           \
    ptrdiff_t rows, ptrdiff_t n, const void *z, ptrdiff_t ldz, const void *target, ptrdiff_t ldt, \
        const void *weight, double scale, void *dz, ptrdiff_t lddz, double *loss, double *hit,    \
        const double *param
#define LOSS_ARGUMENTS rows, n, z, ldz, target, ldt, weight, scale, dz, lddz, loss, hit, param

INLINE double weight_of_row(const void *weight, ptrdiff_t r)
{
    return weight ? (double)((const real *)weight)[r] : 1.0;
}

INLINE vec lane_number(int i) { return v_load(lane_numbers + i * VL); }

/* --- cross entropy ----------------------------------------------------------------------------- */

/* With p = softmax(z), S = sum exp(z - max) and the target distribution q,

       loss = -sum q log p = (sum q) log S - sum q (z - max)        dz = (p sum q - q) c

   where q = (1 - eps) t + eps / n, and t is a row of probabilities or the unit vector of a label.
   A term with q = 0 is 0, also where z = -inf. A label outside 0 ... n-1 gives NaN. */
typedef struct {
    const ptrdiff_t *labels; /* one of the two is NULL */
    const real *t;
    ptrdiff_t ldt;
    vec keep, spread, on; /* 1 - eps, eps / n, and their sum: the q of the label */
} distribution;

/* Columns j ... of row i of q. Lanes past the end of the row hold anything finite. */
INLINE group g_target(const distribution *q, ptrdiff_t i, ptrdiff_t j, ptrdiff_t left,
                      const lane_set *last)
{
    group g;
    if (q->labels) { /* label - j may be rounded, but not to or from one of 0 ... 15 */
        const vec lane = v_set((real)(q->labels[i] - j));
        EACH_VECTOR(k) g.v[k] = v_sel(v_eq(lane_number(k), lane), q->on, q->spread);
    } else {
        g = g_load(q->t + i * q->ldt + j, left, last);
        EACH_VECTOR(k) g.v[k] = v_fma(q->keep, g.v[k], q->spread);
    }
    return g;
}

/* label[i] = the label of row i, and dot[i] = z - max at the label, for a block of rows. An unknown
   label becomes -1, and the maximum of its row NaN, which reaches the loss and the gradient. */
INLINE void block_labels(ptrdiff_t count, ptrdiff_t n, const real *z, ptrdiff_t ldz,
                         const int64_t *given, ptrdiff_t label[BLOCK], real max[BLOCK],
                         real dot[BLOCK])
{
    for (ptrdiff_t i = 0; i < count; i++) {
        const int known = 0 <= given[i] && given[i] < n;
        label[i] = known ? (ptrdiff_t)given[i] : -1;
        if (!known)
            max[i] = REAL_NAN;
        dot[i] = (known ? z[i * ldz + given[i]] : 0) - max[i];
    }
}

/* 1 if z[label] is the maximum and no earlier element is. */
INLINE int first_is(ptrdiff_t label, ptrdiff_t n, const real *z, real max, const lane_set *last)
{
    int right = label >= 0 && z[label] == max;
    for (ptrdiff_t j = 0; right && j < label; j += GROUP_LANES) {
        const group g = g_load(z + j, n - j, last);
        const vec lane = v_set((real)(label - j));
        EACH_VECTOR(k)
            right &= !m_any(m_and(v_eq(g.v[k], v_set(max)), v_lt(lane_number(k), lane)));
    }
    return right;
}

/* dot[i] = sum q (z_i - max[i]) and total[i] = sum q, for a block of rows. */
INLINE void block_dot(ptrdiff_t count, ptrdiff_t n, const real *z, ptrdiff_t ldz, const lane_set *last,
                      const real max[BLOCK], const distribution *q, real dot[BLOCK], real total[BLOCK])
{
    const vec zero = v_zero();
    vec dots[BLOCK], totals[BLOCK];
    for (ptrdiff_t i = count; i % VL; i++)
        dots[i] = totals[i] = zero;
    for (ptrdiff_t i = 0; i < count; i++) {
        group dot_i = g_set(zero), total_i = dot_i;
        for (ptrdiff_t j = 0; j < n; j += GROUP_LANES) {
            const group shifted = g_shifted(z + i * ldz + j, n - j, last, max[i]);
            const group q_i = g_fill(g_target(q, i, j, n - j, last), n - j, last, zero);
            EACH_VECTOR(k)
            {
                const vec finite = v_sel(v_eq(q_i.v[k], zero), zero, shifted.v[k]);
                dot_i.v[k] = v_fma(q_i.v[k], finite, dot_i.v[k]);
            }
            total_i = g_add(total_i, q_i);
        }
        dots[i] = fold_sum(dot_i);
        totals[i] = fold_sum(total_i);
    }
    for (ptrdiff_t i = 0; i < count; i += VL) {
        v_store(dot + i, lanes_sum(dots + i));
        v_store(total + i, q->labels ? v_set(1) : lanes_sum(totals + i));
    }
}

/* param[0] is eps. */
INLINE void cross_entropy(const int by_label, LOSS_PARAMETERS)
{
    const lane_set last = last_lanes(n);
    const double eps = param[0], spread = eps / (double)n;
    distribution q = {
        .ldt = ldt,
        .keep = v_set((real)(1.0 - eps)),
        .spread = v_set((real)spread),
        .on = v_set((real)(1.0 - eps + spread)),
    };
    for (ptrdiff_t begin = 0; begin < rows; begin += BLOCK) {
        const ptrdiff_t count = rows_of_block(rows, begin);
        const real *from = (const real *)z + begin * ldz;
        real *to = dz ? (real *)dz + begin * lddz : NULL;
        q.t = by_label ? NULL : (const real *)target + begin * ldt;

        real max[BLOCK], sum[BLOCK], dot[BLOCK] = {0}, total[BLOCK] = {0}, value[BLOCK];
        ptrdiff_t label[BLOCK];
        int right[BLOCK] = {0};
        q.labels = by_label ? label : NULL;
        block_max(count, n, from, ldz, &last, max);
        if (by_label)
            block_labels(count, n, from, ldz, (const int64_t *)target + begin, label, max, dot);
        for (ptrdiff_t i = 0; hit && i < count; i++) {
            const real *row = from + i * ldz;
            right[i] = by_label ? first_is(label[i], n, row, max[i], &last)
                                : argmax_of_row(n, row, &last) ==
                                      argmax_of_row(n, q.t + i * ldt, &last);
        }
        if (by_label && eps == 0.0) /* dot is the one term that block_labels found */
            w_store(total, w_set(1));
        else
            block_dot(count, n, from, ldz, &last, max, &q, dot, total);

        waiting e;
        wait_in(&e, n, to, lddz);
        block_exp(count, n, from, ldz, &last, max, &e, sum);
        w_store(value, w_fma(w_load(total), vm_log(w_load(sum)), w_neg(w_load(dot))));
        for (ptrdiff_t i = 0; i < count; i++) {
            const double w = weight_of_row(weight, begin + i);
            const vec c = v_set((real)(scale * w)), all = v_set(sum[i]), q_sum = v_set(total[i]);
            loss[begin + i] = w * (double)value[i];
            if (hit)
                hit[begin + i] = right[i] && sum[i] == sum[i];
            for (ptrdiff_t j = 0; dz && j < n; j += GROUP_LANES) {
                group g = g_div(g_waiting(&e, i, j, n, &last), all);
                const group q_i = g_target(&q, i, j, n - j, &last);
                EACH_VECTOR(k)
                {
                    const vec minus_q = v_neg(q_i.v[k]);
                    g.v[k] = by_label ? v_add(g.v[k], minus_q) : v_fma(g.v[k], q_sum, minus_q);
                    g.v[k] = v_mul(g.v[k], c);
                }
                g_store(to + i * lddz + j, g, n - j, &last);
            }
        }
    }
}

static void loss_cross_entropy_label(LOSS_PARAMETERS) { cross_entropy(1, LOSS_ARGUMENTS); }
static void loss_cross_entropy_probability(LOSS_PARAMETERS) { cross_entropy(0, LOSS_ARGUMENTS); }

/* --- means over the outputs -------------------------------------------------------------------- */

/* The loss of one output and its derivative (of mse: half of it), and 1 where the answer is right. */
typedef struct {
    wide value, slope, right;
} output_loss;

/* log(1 + e^z) - y z, with s = (z > 0 ? 1 - y : y), as |z| s + log(1 + e^-|z|): nothing overflows, and
   nothing cancels where the answer is right. The derivative is +-(e^-|z| / (1 + e^-|z|) - s). */
INLINE output_loss binary_output(wide z, wide y)
{
    const wide zero = w_zero(), one = w_set(1), half = w_set(REAL_C(0.5));
    const wmask yes = w_lt(zero, z), no = w_le(z, zero);
    const wide size = w_abs(z), e = vm_exp(w_neg(size));
    const wide share = w_sel(yes, w_sub(one, y), y);
    const wide p = w_div(e, w_add(one, e));
    const wmask right = wm_or(wm_and(yes, w_lt(half, y)), wm_and(no, w_le(y, half)));
    output_loss out;
    out.value = w_add(w_sel(w_eq(share, zero), zero, w_mul(size, share)), vm_log1p(e));
    out.slope = w_sel(yes, w_sub(share, p), w_sub(p, share));
    out.right = w_sel(right, one, zero);
    return out;
}

INLINE output_loss loss_of_output(const int kind, wide z, wide y, wide delta)
{
    const wide d = w_sub(z, y), size = w_abs(d), zero = w_zero(), half = w_set(REAL_C(0.5));
    output_loss out = {zero, zero, zero};
    switch (kind) {
    case MDL_LOSS_binary_cross_entropy:
        return binary_output(z, y);
    case MDL_LOSS_mse:
        out.value = w_mul(d, d);
        out.slope = d;
        break;
    case MDL_LOSS_mae: /* the sign, where d is neither 0 nor NaN */
        out.value = size;
        out.slope = w_sel(w_lt(zero, size), w_copysign(w_set(1), d), d);
        break;
    default: { /* huber; a NaN is not far */
        const wmask far = w_le(delta, size);
        const wide line = w_mul(delta, w_sub(size, w_mul(half, delta)));
        out.value = w_sel(far, line, w_mul(w_mul(half, d), d));
        out.slope = w_sel(far, w_copysign(delta, d), d);
    }
    }
    return out;
}

/* Networks with one output: a wide holds a block of rows. The operations of a row are those of mean_loss,
   whose sums over the row add zeros only. */
INLINE void loss_of_column(const int kind, LOSS_PARAMETERS)
{
    const wide delta = w_set(kind == MDL_LOSS_huber ? (real)param[0] : 0);
    const double factor = kind == MDL_LOSS_mse ? 2.0 * scale : scale;
    for (ptrdiff_t begin = 0; begin < rows; begin += BLOCK) {
        const ptrdiff_t count = rows_of_block(rows, begin);
        real zs[BLOCK] = {0}, ys[BLOCK] = {0}, c[BLOCK] = {0}, value[BLOCK], slope[BLOCK], right[BLOCK];
        for (ptrdiff_t i = 0; i < count; i++) {
            zs[i] = ((const real *)z)[(begin + i) * ldz];
            ys[i] = ((const real *)target)[(begin + i) * ldt];
            c[i] = (real)(factor * weight_of_row(weight, begin + i));
        }
        const output_loss out = loss_of_output(kind, w_load(zs), w_load(ys), delta);
        w_store(value, out.value);
        w_store(slope, w_mul(out.slope, w_load(c)));
        w_store(right, out.right);
        for (ptrdiff_t i = 0; i < count; i++) {
            loss[begin + i] = weight_of_row(weight, begin + i) * (double)value[i];
            if (dz)
                ((real *)dz)[(begin + i) * lddz] = slope[i];
            if (hit)
                hit[begin + i] = (double)right[i];
        }
    }
    (void)n;
}

INLINE void mean_loss(const int kind, LOSS_PARAMETERS)
{
    const int binary = kind == MDL_LOSS_binary_cross_entropy;
    const lane_set last = last_lanes(n);
    const wide delta = w_set(kind == MDL_LOSS_huber ? (real)param[0] : 0);
    const double factor = kind == MDL_LOSS_mse ? 2.0 * scale : scale;
    for (ptrdiff_t r = 0; r < rows; r++) {
        const real *row = (const real *)z + r * ldz, *t = (const real *)target + r * ldt;
        real *slopes = dz ? (real *)dz + r * lddz : NULL;
        const double w = weight_of_row(weight, r);
        const vec c = v_set((real)(factor * w / (double)n));
        group sum = g_set(v_zero()), right = sum;
        for (ptrdiff_t j = 0; j < n; j += GROUP_LANES) {
            const ptrdiff_t left = n - j;
            const group zs = g_load(row + j, left, &last), ys = g_load(t + j, left, &last);
            const output_loss out = loss_of_output(kind, w_groups(zs), w_groups(ys), delta);
            group value, slope, hits;
            EACH_VECTOR(i)
            {
                value.v[i] = out.value.v[i];
                slope.v[i] = v_mul(out.slope.v[i], c);
                hits.v[i] = out.right.v[i];
            }
            if (binary) { /* of the others, a missing lane with z = y = 0 has the value 0 */
                value = g_fill(value, left, &last, v_zero());
                if (hit)
                    right = g_add(right, g_fill(hits, left, &last, v_zero()));
            }
            sum = g_add(sum, value);
            if (dz)
                g_store(slopes + j, slope, left, &last);
        }
        loss[r] = w * ((double)v_first(lane_sum(sum)) / (double)n);
        if (hit)
            hit[r] = binary ? (double)v_first(lane_sum(right)) / (double)n : 0.0;
    }
}

#define MEAN_LOSS(name)                                                                           \
    static void loss_##name(LOSS_PARAMETERS)                                                      \
    {                                                                                             \
        if (n == 1)                                                                               \
            loss_of_column(MDL_LOSS_##name, LOSS_ARGUMENTS);                                      \
        else                                                                                      \
            mean_loss(MDL_LOSS_##name, LOSS_ARGUMENTS);                                           \
    }
MEAN_LOSS(binary_cross_entropy)
MEAN_LOSS(mse)
MEAN_LOSS(mae)
MEAN_LOSS(huber)
