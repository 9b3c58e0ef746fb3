/* Activations: values and derivatives, over the rows of a matrix.

   An activation is one or two inline functions of vectors, and a macro makes the leaves of them:

     flag 1 in MDL_ACTIVATIONS   value_<name>(z, k) and slope_<name>(y, k) = act'(z) from y = act(z)
     flag 0                      both_<name>(z, k): y and act'(z), which share their exponentials

   so the bits of y do not depend on whether a derivative is wanted. Definitions are PyTorch's, also at
   kinks (relu'(0) = 0). NaN in z gives NaN in y, and infinities give the limit, never inf * 0. A NaN
   or inf in dy reaches dz even where the derivative is 0.

   slope_ of relu and its kind gives 1 for y = NaN, so that dy passes. */

typedef struct {
    vec y, d;
} act_pair;

/* param[0], where an activation has one, and its reciprocal. */
typedef struct {
    vec a, inverse;
} act_constants;

INLINE act_constants act_prepare(const int params, const double *param)
{
    const double a = params ? param[0] : 1.0;
    const act_constants k = {v_set((real)a), v_set((real)(1.0 / a))};
    return k;
}

/* v_max and v_min with a NaN in z, the second operand, coming out again. */
INLINE vec at_least(real low, vec z) { return v_max(v_set(low), z); }
INLINE vec at_most(real high, vec z) { return v_min(v_set(high), z); }
INLINE vec clamp(real low, real high, vec z) { return at_least(low, at_most(high, z)); }
INLINE vec positive_part(vec z) { return at_least(0, z); }

/* z, or the number of largest size instead of inf: 0 times it is 0. */
INLINE vec bounded_below(vec z) { return at_least(-REAL_MAX, z); }
INLINE vec bounded(vec z) { return clamp(-REAL_MAX, REAL_MAX, z); }

/* y <= 0 ? a : b */
INLINE vec by_sign(vec y, vec a, vec b) { return v_sel(v_le(y, v_zero()), a, b); }

/* --- piecewise linear, and their kin ----------------------------------------------------------- */

INLINE vec value_identity(vec z, act_constants k) { return (void)k, z; }
INLINE vec slope_identity(vec y, act_constants k) { return (void)y, (void)k, v_set(1); }

INLINE vec value_relu(vec z, act_constants k) { return (void)k, positive_part(z); }
INLINE vec slope_relu(vec y, act_constants k) { return (void)k, by_sign(y, v_zero(), v_set(1)); }

INLINE vec value_leaky_relu(vec z, act_constants k) { return by_sign(z, v_mul(k.a, z), z); }
INLINE vec slope_leaky_relu(vec y, act_constants k) { return by_sign(y, k.a, v_set(1)); }

INLINE vec value_relu6(vec z, act_constants k) { return (void)k, clamp(0, 6, z); }
INLINE vec slope_relu6(vec y, act_constants k)
{
    (void)k;
    return v_sel(v_le(v_set(6), y), v_zero(), by_sign(y, v_zero(), v_set(1)));
}

INLINE vec value_hard_tanh(vec z, act_constants k) { return (void)k, clamp(-1, 1, z); }
INLINE vec slope_hard_tanh(vec y, act_constants k)
{
    const vec one = v_set(1);
    (void)k;
    return v_sel(v_le(one, v_abs(y)), v_zero(), one);
}

/* relu6(z + 3) / 6 */
INLINE vec value_hard_sigmoid(vec z, act_constants k)
{
    (void)k;
    return v_div(clamp(0, 6, v_add(z, v_set(3))), v_set(6));
}
INLINE vec slope_hard_sigmoid(vec y, act_constants k)
{
    const vec inside = by_sign(y, v_zero(), v_set(REAL_C(1.0) / 6));
    (void)k;
    return v_sel(v_le(v_set(1), y), v_zero(), inside);
}

/* z relu6(z + 3) / 6; z/3 + 1/2 between the kinks at -3 and 3 */
INLINE act_pair both_hard_swish(vec z, act_constants k)
{
    const vec three = v_set(3), gate = v_div(clamp(0, 6, v_add(z, three)), v_set(6));
    const vec middle = v_add(v_div(z, three), v_set(REAL_C(0.5)));
    const vec d = v_sel(v_le(three, z), v_set(1), v_sel(v_le(z, v_set(-3)), v_zero(), middle));
    const act_pair out = {v_mul(bounded_below(z), gate), d};
    return (void)k, out;
}

INLINE act_pair both_relu_squared(vec z, act_constants k)
{
    const vec y = positive_part(z);
    const act_pair out = {v_mul(y, y), v_add(y, y)};
    return (void)k, out;
}

/* --- exponential below 0 ----------------------------------------------------------------------- */

#define SELU_SCALE REAL_C(1.0507009873554805)       /* lambda of Klambauer et al. 2017 */
#define SELU_SCALE_ALPHA REAL_C(1.7580993408473766) /* lambda alpha */

INLINE vec negative_expm1(vec z) { return expm1_nonpositive(v_min(v_zero(), z)); }

/* z > 0 ? z : a (e^z - 1). The derivative below 0 is y + a = a e^z. */
INLINE vec value_elu(vec z, act_constants k)
{
    return v_fma(k.a, negative_expm1(z), positive_part(z));
}
INLINE vec slope_elu(vec y, act_constants k) { return by_sign(y, v_add(y, k.a), v_set(1)); }

INLINE vec value_selu(vec z, act_constants k)
{
    const vec above = v_mul(v_set(SELU_SCALE), positive_part(z));
    (void)k;
    return v_fma(v_set(SELU_SCALE_ALPHA), negative_expm1(z), above);
}
INLINE vec slope_selu(vec y, act_constants k)
{
    (void)k;
    return by_sign(y, v_add(y, v_set(SELU_SCALE_ALPHA)), v_set(SELU_SCALE));
}

/* z > 0 ? z : a (e^(z/a) - 1) */
INLINE vec value_celu(vec z, act_constants k)
{
    return v_fma(k.a, negative_expm1(v_mul(z, k.inverse)), positive_part(z));
}
INLINE vec slope_celu(vec y, act_constants k)
{
    return by_sign(y, v_fma(y, k.inverse, v_set(1)), v_set(1));
}

/* --- sigmoids ---------------------------------------------------------------------------------- */

INLINE vec value_sigmoid(vec z, act_constants k) { return (void)k, vm_sigmoid(z); }
INLINE vec slope_sigmoid(vec y, act_constants k) { return (void)k, v_mul(y, v_sub(v_set(1), y)); }

INLINE vec value_tanh(vec z, act_constants k) { return (void)k, vm_tanh(z); }
INLINE vec slope_tanh(vec y, act_constants k) { return (void)k, v_fnma(y, y, v_set(1)); }

/* a tanh(b z) with a = 1.7159, b = 2/3 (LeCun et al. 1998); a b (1 - (y/a)^2) */
#define LECUN_A REAL_C(1.7159)
#define LECUN_B REAL_C(0.6666666666666666)
INLINE vec value_lecun_tanh(vec z, act_constants k)
{
    (void)k;
    return v_mul(v_set(LECUN_A), vm_tanh(v_mul(v_set(LECUN_B), z)));
}
INLINE vec slope_lecun_tanh(vec y, act_constants k)
{
    (void)k;
    return v_fnma(v_mul(v_set(LECUN_B / LECUN_A), y), y, v_set(LECUN_A * LECUN_B));
}

/* z / (1 + |z|); 1 / (1 + |z|)^2 = (1 - |y|)^2 */
INLINE vec value_softsign(vec z, act_constants k)
{
    const vec x = bounded(z);
    (void)k;
    return v_div(x, v_add(v_set(1), v_abs(x)));
}
INLINE vec slope_softsign(vec y, act_constants k)
{
    const vec t = v_sub(v_set(1), v_abs(y));
    return (void)k, v_mul(t, t);
}

/* log(1 + e^z) = max(z, 0) + log(1 + e^-|z|); sigmoid(z) = 1 - e^-y */
INLINE vec value_softplus(vec z, act_constants k)
{
    (void)k;
    return v_add(positive_part(z), log1p_unit(exp_nonpositive(v_neg(v_abs(z)))));
}
INLINE vec slope_softplus(vec y, act_constants k)
{
    (void)k;
    return v_neg(expm1_nonpositive(v_neg(y)));
}

/* log sigmoid(z) = -softplus(-z); sigmoid(-z) = 1 - e^y */
INLINE vec value_log_sigmoid(vec z, act_constants k)
{
    return v_neg(value_softplus(v_neg(z), k));
}
INLINE vec slope_log_sigmoid(vec y, act_constants k)
{
    return (void)k, v_neg(expm1_nonpositive(y));
}

INLINE act_pair both_arctan(vec z, act_constants k)
{
    const vec one = v_set(1);
    const act_pair out = {vm_atan(z), v_div(one, v_fma(z, z, one))};
    return (void)k, out;
}

/* --- z times a gate ---------------------------------------------------------------------------- */

/* sigmoid(z) and sigmoid(-z): the second is not 1 minus the first, which would cancel. */
typedef struct {
    vec on, off;
} gate_pair;

INLINE gate_pair sigmoid_pair(vec z)
{
    const vec one = v_set(1), e = exp_nonpositive(v_neg(v_abs(z)));
    const vec large = v_div(one, v_add(one, e)), small = v_mul(e, large);
    const vmask negative = v_lt(z, v_zero());
    const gate_pair g = {v_sel(negative, small, large), v_sel(negative, large, small)};
    return g;
}

/* z s with s = sigmoid(z); s + z s (1 - s) */
INLINE act_pair both_silu(vec z, act_constants k)
{
    const gate_pair s = sigmoid_pair(z);
    const act_pair out = {v_mul(bounded_below(z), s.on),
                          v_fma(v_mul(bounded(z), s.on), s.off, s.on)};
    return (void)k, out;
}

/* z Phi(z); Phi(z) + z Phi'(z) */
INLINE act_pair both_gelu(vec z, act_constants k)
{
    const normal_pair p = normal(z);
    const act_pair out = {v_mul(bounded_below(z), p.cumulative),
                          v_fma(bounded(z), p.density, p.cumulative)};
    return (void)k, out;
}

/* (z/2) (1 + tanh u) = z sigmoid(2 u) with u = sqrt(2/pi) (z + 0.044715 z^3). Beyond the clamp the gate
   is 0 or 1 whatever z is. */
#define GELU_TANH_END REAL_C(32.0)
#define GELU_TANH_1 REAL_C(1.5957691216057308) /* 2 sqrt(2/pi) */
#define GELU_TANH_3 (GELU_TANH_1 * REAL_C(0.044715))
INLINE act_pair both_gelu_tanh(vec z, act_constants k)
{
    const vec x = clamp(-GELU_TANH_END, GELU_TANH_END, z), square = v_mul(x, x);
    const vec c1 = v_set(GELU_TANH_1);
    const gate_pair s = sigmoid_pair(v_mul(x, v_fma(square, v_set(GELU_TANH_3), c1)));
    const vec inner = v_fma(square, v_set(3 * GELU_TANH_3), c1);
    const act_pair out = {v_mul(bounded_below(z), s.on),
                          v_fma(v_mul(v_mul(x, inner), s.on), s.off, s.on)};
    return (void)k, out;
}

/* z tanh(softplus(z)) = z n / (n + 2) with e = e^z, n = e (e + 2), and derivative
   n / (n + 2) + 4 z e (1 + e) / (n + 2)^2. Beyond the clamp the gate is 1. */
#if MDL_DOUBLE
#define MISH_END 40.0
#else
#define MISH_END 20.0f
#endif
INLINE act_pair both_mish(vec z, act_constants k)
{
    const vec x = at_most(MISH_END, z), e = exp_join(exp_split(at_least(EXP_LOWEST, x)));
    const vec n = v_mul(e, v_add(e, v_set(2))), inverse = v_div(v_set(1), v_add(n, v_set(2)));
    const vec gate = v_mul(n, inverse);
    const vec slope = v_mul(v_mul(v_mul(v_set(4), e), inverse), v_mul(v_add(v_set(1), e), inverse));
    const act_pair out = {v_mul(bounded_below(z), gate), v_fma(bounded_below(x), slope, gate)};
    return (void)k, out;
}

/* --- periodic ---------------------------------------------------------------------------------- */

/* sin(w z); w cos(w z). The rounding error of w z, known from the fused product, is not lost. */
INLINE act_pair both_sine(vec z, act_constants k)
{
    const vec x = v_mul(k.a, z), lo = v_fma(k.a, z, v_neg(x));
    const sine_pair s = sin_cos_sum(x, lo);
    const act_pair out = {s.sin, v_mul(k.a, s.cos)};
    return out;
}

/* --- over matrices ----------------------------------------------------------------------------- */

INLINE vec load_some(const real *p, const int whole, vtail tail)
{
    return whole ? v_load(p) : v_load_tail(p, tail);
}

INLINE void store_some(real *p, vec v, const int whole, vtail tail)
{
    if (whole)
        v_store(p, v);
    else
        v_store_tail(p, v, tail);
}

/* step(i, whole) for each vector of a row, two at a time where there are two; `tail` has the n % VL
   lanes of the last one. Rows that follow one another in memory are one row. */
#define EACH_ROW_VECTOR(contiguous, step)                                                         \
    if (contiguous) {                                                                             \
        n *= rows;                                                                                \
        rows = 1;                                                                                 \
    }                                                                                             \
    const vtail tail = v_tail(n % VL);                                                            \
    for (ptrdiff_t r = 0; r < rows; r++) {                                                        \
        ptrdiff_t i = 0;                                                                          \
        for (; n - i >= 2 * VL; i += 2 * VL) {                                                    \
            step(i, 1);                                                                           \
            step(i + VL, 1);                                                                      \
        }                                                                                         \
        for (; i < n; i += VL) {                                                                  \
            const int whole = n - i >= VL;                                                        \
            step(i, whole);                                                                       \
        }                                                                                         \
    }

#define STEP_VALUE(i, whole)                                                                      \
    store_some(y + r * ldy + (i), both(load_some(z + r * ldz + (i), whole, tail), k).y, whole, tail)
#define STEP_BOTH(i, whole)                                                                       \
    do {                                                                                          \
        const act_pair out = both(load_some(z + r * ldz + (i), whole, tail), k);                  \
        store_some(y + r * ldy + (i), out.y, whole, tail);                                        \
        store_some(d + r * ldd + (i), out.d, whole, tail);                                        \
    } while (0)
#define STEP_SLOPE(i, whole)                                                                      \
    do {                                                                                          \
        const vec a = slope(load_some(saved + r * lds + (i), whole, tail), k);                    \
        const vec g = load_some(dy + r * lddy + (i), whole, tail);                                \
        store_some(dz + r * lddz + (i), v_mul(g, a), whole, tail);                                \
    } while (0)

typedef act_pair act_both_fn(vec z, act_constants k);
typedef vec act_slope_fn(vec saved, act_constants k);

INLINE void forward_rows(act_both_fn *const both, ptrdiff_t rows, ptrdiff_t n, const real *z,
                         ptrdiff_t ldz, real *y, ptrdiff_t ldy, act_constants k)
{
    EACH_ROW_VECTOR(ldz == n && ldy == n, STEP_VALUE)
}

INLINE void forward_rows_both(act_both_fn *const both, ptrdiff_t rows, ptrdiff_t n, const real *z,
                              ptrdiff_t ldz, real *y, ptrdiff_t ldy, real *d, ptrdiff_t ldd,
                              act_constants k)
{
    EACH_ROW_VECTOR(ldz == n && ldy == n && ldd == n, STEP_BOTH)
}

INLINE void backward_rows(act_slope_fn *const slope, ptrdiff_t rows, ptrdiff_t n, const real *dy,
                          ptrdiff_t lddy, const real *saved, ptrdiff_t lds, real *dz, ptrdiff_t lddz,
                          act_constants k)
{
    EACH_ROW_VECTOR(lddy == n && lds == n && lddz == n, STEP_SLOPE)
}

#define COMPLETE_1(name)                                                                          \
    INLINE act_pair both_##name(vec z, act_constants k)                                           \
    {                                                                                             \
        const vec y = value_##name(z, k);                                                         \
        const act_pair out = {y, slope_##name(y, k)};                                             \
        return out;                                                                               \
    }
#define COMPLETE_0(name)                                                                          \
    INLINE vec slope_##name(vec d, act_constants k) { return (void)k, d; }

#define DEFINE_ACTIVATION(name, from_output, params)                                              \
    COMPLETE_##from_output(name)                                                                  \
    static void act_forward_##name(ptrdiff_t rows, ptrdiff_t n, const void *z, ptrdiff_t ldz,     \
                                   void *y, ptrdiff_t ldy, void *d, ptrdiff_t ldd,                \
                                   const double *param)                                           \
    {                                                                                             \
        const act_constants k = act_prepare(params, param);                                       \
        if (d)                                                                                    \
            forward_rows_both(both_##name, rows, n, z, ldz, y, ldy, d, ldd, k);                   \
        else                                                                                      \
            forward_rows(both_##name, rows, n, z, ldz, y, ldy, k);                                \
    }                                                                                             \
    static void act_backward_##name(ptrdiff_t rows, ptrdiff_t n, const void *dy, ptrdiff_t lddy,  \
                                    const void *saved, ptrdiff_t lds, void *dz, ptrdiff_t lddz,   \
                                    const double *param)                                          \
    {                                                                                             \
        backward_rows(slope_##name, rows, n, dy, lddy, saved, lds, dz, lddz,                      \
                      act_prepare(params, param));                                                \
    }
MDL_ACTIVATIONS(DEFINE_ACTIVATION)
