/* Activations: values and derivatives, over the rows of a matrix.

   An activation is one or two inline functions of vectors, and a macro makes the leaves of them:

     flag 1 in MDL_ACTIVATIONS   value_<name>(z, k) and slope_<name>(y, k) = act'(z) from y = act(z)
     flag 0                      both_<name>(z, k): y and act'(z), which share their exponentials

   so the bits of y do not depend on whether a derivative is wanted. Definitions are PyTorch's, also at
   kinks (relu'(0) = 0). NaN in z gives NaN in y, and infinities give the limit, never inf * 0. A NaN
   or inf in dy reaches dz even where the derivative is 0.

   slope_ of relu and its kind gives 1 for y = NaN, so that dy passes. */

/* param[0], where an activation has one, and its reciprocal. */
INLINE map_constants act_prepare(const int params, const double *param)
{
    const double a = params ? param[0] : 1.0;
    const map_constants k = {v_set((real)a), v_set((real)(1.0 / a))};
    return k;
}

/* w_max and w_min with a NaN in z, the second operand, coming out again. */
INLINE wide at_least(real low, wide z) { return w_max(w_set(low), z); }
INLINE wide at_most(real high, wide z) { return w_min(w_set(high), z); }
INLINE wide clamp(real low, real high, wide z) { return at_least(low, at_most(high, z)); }
INLINE wide positive_part(wide z) { return at_least(0, z); }

/* z, or the number of largest size instead of inf: 0 times it is 0. */
INLINE wide bounded_below(wide z) { return at_least(-REAL_MAX, z); }
INLINE wide bounded(wide z) { return clamp(-REAL_MAX, REAL_MAX, z); }

/* y <= 0 ? a : b */
INLINE wide by_sign(wide y, wide a, wide b) { return w_sel(w_le(y, w_zero()), a, b); }

/* --- piecewise linear, and their kin ----------------------------------------------------------- */

INLINE wide value_identity(wide z, map_constants k) { return (void)k, z; }
INLINE wide slope_identity(wide y, map_constants k) { return (void)y, (void)k, w_set(1); }

INLINE wide value_relu(wide z, map_constants k) { return (void)k, positive_part(z); }
INLINE wide slope_relu(wide y, map_constants k) { return (void)k, by_sign(y, w_zero(), w_set(1)); }

INLINE wide value_leaky_relu(wide z, map_constants k) { return by_sign(z, w_mul(w_same(k.a), z), z); }
INLINE wide slope_leaky_relu(wide y, map_constants k) { return by_sign(y, w_same(k.a), w_set(1)); }

INLINE wide value_relu6(wide z, map_constants k) { return (void)k, clamp(0, 6, z); }
INLINE wide slope_relu6(wide y, map_constants k)
{
    (void)k;
    return w_sel(w_le(w_set(6), y), w_zero(), by_sign(y, w_zero(), w_set(1)));
}

INLINE wide value_hard_tanh(wide z, map_constants k) { return (void)k, clamp(-1, 1, z); }
INLINE wide slope_hard_tanh(wide y, map_constants k)
{
    const wide one = w_set(1);
    (void)k;
    return w_sel(w_le(one, w_abs(y)), w_zero(), one);
}

/* relu6(z + 3) / 6 */
INLINE wide value_hard_sigmoid(wide z, map_constants k)
{
    (void)k;
    return w_div(clamp(0, 6, w_add(z, w_set(3))), w_set(6));
}
INLINE wide slope_hard_sigmoid(wide y, map_constants k)
{
    const wide inside = by_sign(y, w_zero(), w_set(REAL_C(1.0) / 6));
    (void)k;
    return w_sel(w_le(w_set(1), y), w_zero(), inside);
}

/* z relu6(z + 3) / 6; z/3 + 1/2 between the kinks at -3 and 3 */
INLINE wide_pair both_hard_swish(wide z, map_constants k)
{
    const wide three = w_set(3), gate = w_div(clamp(0, 6, w_add(z, three)), w_set(6));
    const wide middle = w_add(w_div(z, three), w_set(REAL_C(0.5)));
    const wide d = w_sel(w_le(three, z), w_set(1), w_sel(w_le(z, w_set(-3)), w_zero(), middle));
    const wide_pair out = {w_mul(bounded_below(z), gate), d};
    return (void)k, out;
}

INLINE wide_pair both_relu_squared(wide z, map_constants k)
{
    const wide y = positive_part(z);
    const wide_pair out = {w_mul(y, y), w_add(y, y)};
    return (void)k, out;
}

/* --- exponential below 0 ----------------------------------------------------------------------- */

#define SELU_SCALE REAL_C(1.0507009873554805)       /* lambda of Klambauer et al. 2017 */
#define SELU_SCALE_ALPHA REAL_C(1.7580993408473766) /* lambda alpha */

INLINE wide negative_expm1(wide z) { return expm1_nonpositive(w_min(w_zero(), z)); }

/* z > 0 ? z : a (e^z - 1). The derivative below 0 is y + a = a e^z. */
INLINE wide value_elu(wide z, map_constants k)
{
    return w_fma(w_same(k.a), negative_expm1(z), positive_part(z));
}
INLINE wide slope_elu(wide y, map_constants k) { return by_sign(y, w_add(y, w_same(k.a)), w_set(1)); }

INLINE wide value_selu(wide z, map_constants k)
{
    const wide above = w_mul(w_set(SELU_SCALE), positive_part(z));
    (void)k;
    return w_fma(w_set(SELU_SCALE_ALPHA), negative_expm1(z), above);
}
INLINE wide slope_selu(wide y, map_constants k)
{
    (void)k;
    return by_sign(y, w_add(y, w_set(SELU_SCALE_ALPHA)), w_set(SELU_SCALE));
}

/* z > 0 ? z : a (e^(z/a) - 1) */
INLINE wide value_celu(wide z, map_constants k)
{
    return w_fma(w_same(k.a), negative_expm1(w_mul(z, w_same(k.inverse))), positive_part(z));
}
INLINE wide slope_celu(wide y, map_constants k)
{
    return by_sign(y, w_fma(y, w_same(k.inverse), w_set(1)), w_set(1));
}

/* --- sigmoids ---------------------------------------------------------------------------------- */

INLINE wide value_sigmoid(wide z, map_constants k) { return (void)k, vm_sigmoid(z); }
INLINE wide slope_sigmoid(wide y, map_constants k) { return (void)k, w_mul(y, w_sub(w_set(1), y)); }

INLINE wide value_tanh(wide z, map_constants k) { return (void)k, vm_tanh(z); }
INLINE wide slope_tanh(wide y, map_constants k) { return (void)k, w_fnma(y, y, w_set(1)); }

/* a tanh(b z) with a = 1.7159, b = 2/3 (LeCun et al. 1998); a b (1 - (y/a)^2) */
#define LECUN_A REAL_C(1.7159)
#define LECUN_B REAL_C(0.6666666666666666)
INLINE wide value_lecun_tanh(wide z, map_constants k)
{
    (void)k;
    return w_mul(w_set(LECUN_A), vm_tanh(w_mul(w_set(LECUN_B), z)));
}
INLINE wide slope_lecun_tanh(wide y, map_constants k)
{
    (void)k;
    return w_fnma(w_mul(w_set(LECUN_B / LECUN_A), y), y, w_set(LECUN_A * LECUN_B));
}

/* z / (1 + |z|); 1 / (1 + |z|)^2 = (1 - |y|)^2 */
INLINE wide value_softsign(wide z, map_constants k)
{
    const wide x = bounded(z);
    (void)k;
    return w_div(x, w_add(w_set(1), w_abs(x)));
}
INLINE wide slope_softsign(wide y, map_constants k)
{
    const wide t = w_sub(w_set(1), w_abs(y));
    return (void)k, w_mul(t, t);
}

/* log(1 + e^z) = max(z, 0) + log(1 + e^-|z|); sigmoid(z) = 1 - e^-y */
INLINE wide softplus_exp(wide z) { return exp_to_40(w_minus_abs(z)); }
INLINE wide softplus_log(wide z, wide e) { return w_add(positive_part(z), log1p_unit(e)); }
INLINE wide value_softplus(wide z, map_constants k)
{
    return (void)k, softplus_log(z, softplus_exp(z));
}
INLINE wide slope_softplus(wide y, map_constants k)
{
    (void)k;
    return w_neg(expm1_nonpositive(w_neg(y)));
}

/* log sigmoid(z) = -softplus(-z); sigmoid(-z) = 1 - e^y */
INLINE wide value_log_sigmoid(wide z, map_constants k)
{
    return w_neg(value_softplus(w_neg(z), k));
}
INLINE wide slope_log_sigmoid(wide y, map_constants k)
{
    return (void)k, w_neg(expm1_nonpositive(y));
}

INLINE wide_pair both_arctan(wide z, map_constants k)
{
    const wide one = w_set(1);
    const wide_pair out = {vm_atan(z), w_div(one, w_fma(z, z, one))};
    return (void)k, out;
}

/* --- z times a gate ---------------------------------------------------------------------------- */

/* sigmoid(z) and sigmoid(-z): the second is not 1 minus the first, which would cancel. */
typedef struct {
    wide on, off;
} gate_pair;

INLINE gate_pair sigmoid_pair(wide z)
{
    const wide one = w_set(1), e = exp_to_40(w_minus_abs(z));
    const wide large = w_div(one, w_add(one, e)), small = w_mul(e, large);
    const wmask negative = w_lt(z, w_zero());
    const gate_pair g = {w_sel(negative, small, large), w_sel(negative, large, small)};
    return g;
}

/* z s with s = sigmoid(z); s + z s (1 - s) */
INLINE wide_pair both_silu(wide z, map_constants k)
{
    const gate_pair s = sigmoid_pair(z);
    const wide_pair out = {w_mul(bounded_below(z), s.on),
                          w_fma(w_mul(bounded(z), s.on), s.off, s.on)};
    return (void)k, out;
}

/* z Phi(z); Phi(z) + z Phi'(z). With t = |z|, Phi(-t) = 1 - Phi(t) gives max(z, 0) - t Phi(-t), and
   q or 1 - q with q = Phi(-t) - t Phi'(t). Beyond the clamp Phi(-t) and t Phi'(t) are 0. */
INLINE wide_pair both_gelu(wide z, map_constants k)
{
    const wide t = w_min(w_set(NORMAL_END), w_abs(z)), lifted = exp_minus_half_square(t);
    const wide tail = normal_tail(t, lifted);
    const wide q = w_fnma(w_mul(t, w_set(INV_SQRT_2_PI * EXP_LOWER)), lifted, tail);
    const wide_pair out = {w_fnma(t, tail, positive_part(z)),
                          w_sel(w_lt(z, w_zero()), q, w_sub(w_set(1), q))};
    return (void)k, out;
}

/* (z/2) (1 + tanh u) = z sigmoid(2 u) with u = sqrt(2/pi) (z + 0.044715 z^3). Beyond the clamp the gate
   is 0 or 1 whatever z is. */
#define GELU_TANH_END REAL_C(32.0)
#define GELU_TANH_1 REAL_C(1.5957691216057308) /* 2 sqrt(2/pi) */
#define GELU_TANH_3 (GELU_TANH_1 * REAL_C(0.044715))
INLINE wide_pair both_gelu_tanh(wide z, map_constants k)
{
    const wide x = clamp(-GELU_TANH_END, GELU_TANH_END, z), square = w_mul(x, x);
    const wide c1 = w_set(GELU_TANH_1);
    const gate_pair s = sigmoid_pair(w_mul(x, w_fma(square, w_set(GELU_TANH_3), c1)));
    const wide inner = w_fma(square, w_set(3 * GELU_TANH_3), c1);
    const wide_pair out = {w_mul(bounded_below(z), s.on),
                          w_fma(w_mul(w_mul(x, inner), s.on), s.off, s.on)};
    return (void)k, out;
}

/* z tanh(softplus(z)) = z n / (n + 2) with e = e^z, n = e (e + 2), and derivative
   n / (n + 2) + 4 z e (1 + e) / (n + 2)^2. Beyond the clamp the gate is 1. */
#if MDL_DOUBLE
#define MISH_END 40.0
#else
#define MISH_END 20.0f
#endif
INLINE wide_pair both_mish(wide z, map_constants k)
{
    const wide x = at_most(MISH_END, z), e = exp_to_40(x);
    const wide n = w_mul(e, w_add(e, w_set(2))), inverse = w_div(w_set(1), w_add(n, w_set(2)));
    const wide gate = w_mul(n, inverse);
    const wide slope = w_mul(w_mul(w_mul(w_set(4), e), inverse), w_mul(w_add(w_set(1), e), inverse));
    const wide_pair out = {w_mul(bounded_below(z), gate), w_fma(bounded_below(x), slope, gate)};
    return (void)k, out;
}

/* --- periodic ---------------------------------------------------------------------------------- */

/* sin(w z); w cos(w z). The rounding error of w z, known from the fused product, is not lost. */
INLINE wide_pair both_sine(wide z, map_constants k)
{
    const wide x = w_mul(w_same(k.a), z), lo = w_fma(w_same(k.a), z, w_neg(x));
    const sine_pair s = sin_cos_sum(x, lo);
    const wide_pair out = {s.sin, w_mul(w_same(k.a), s.cos)};
    return out;
}

/* --- the leaves -------------------------------------------------------------------------------- */

#define COMPLETE_1(name)                                                                          \
    INLINE wide_pair both_##name(wide z, map_constants k)                                         \
    {                                                                                             \
        const wide y = value_##name(z, k);                                                        \
        const wide_pair out = {y, slope_##name(y, k)};                                            \
        return out;                                                                               \
    }
#define COMPLETE_0(name)                                                                          \
    INLINE wide value_##name(wide z, map_constants k) { return both_##name(z, k).y; }             \
    INLINE wide slope_##name(wide d, map_constants k) { return (void)k, d; }

/* Both softplus functions, and with c their derivatives too. An exponential, a logarithm and another
   exponential in one chain are longer than a CPU looks ahead, so each has its own pass over a strip. */
INLINE void run_softplus(const int log_sigmoid, ptrdiff_t n, const real *a, real *b, real *c,
                         map_constants k)
{
    real e[STRIP];
    for (ptrdiff_t begin = 0; begin < n; begin += STRIP) {
        const ptrdiff_t end = n - begin < STRIP ? n : begin + STRIP;
        for (ptrdiff_t i = begin; i < end; i += WIDE_LANES)
            w_store(e + (i - begin), softplus_exp(w_load(a + i)));
        for (ptrdiff_t i = begin; i < end; i += WIDE_LANES) {
            const wide z = w_load(a + i), x = log_sigmoid ? w_neg(z) : z;
            const wide y = softplus_log(x, w_load(e + (i - begin)));
            w_store(b + i, log_sigmoid ? w_neg(y) : y);
        }
        for (ptrdiff_t i = begin; c && i < end; i += WIDE_LANES) {
            const wide y = w_load(b + i);
            w_store(c + i, log_sigmoid ? slope_log_sigmoid(y, k) : slope_softplus(y, k));
        }
    }
}
#define IS_SOFTPLUS(name) (MDL_ACT_##name == MDL_ACT_softplus || MDL_ACT_##name == MDL_ACT_log_sigmoid)

#define DEFINE_ACTIVATION(name, from_output, params)                                              \
    COMPLETE_##from_output(name)                                                                  \
    static void value_run_##name(ptrdiff_t n, const real *a, real *b, real *c, map_constants k)   \
    {                                                                                             \
        if (IS_SOFTPLUS(name))                                                                    \
            run_softplus(MDL_ACT_##name == MDL_ACT_log_sigmoid, n, a, b, NULL, k);                \
        else                                                                                      \
            run_value(value_##name, n, a, b, k);                                                  \
        (void)c;                                                                                  \
    }                                                                                             \
    static void both_run_##name(ptrdiff_t n, const real *a, real *b, real *c, map_constants k)    \
    {                                                                                             \
        if (IS_SOFTPLUS(name))                                                                    \
            run_softplus(MDL_ACT_##name == MDL_ACT_log_sigmoid, n, a, b, c, k);                   \
        else                                                                                      \
            run_both(both_##name, n, a, b, c, k);                                                 \
    }                                                                                             \
    static void slope_run_##name(ptrdiff_t n, const real *a, real *b, real *c, map_constants k)   \
    {                                                                                             \
        run_product(slope_##name, n, a, b, c, k);                                                 \
    }                                                                                             \
    static void act_forward_##name(ptrdiff_t rows, ptrdiff_t n, const void *z, ptrdiff_t ldz,     \
                                   void *y, ptrdiff_t ldy, void *d, ptrdiff_t ldd,                \
                                   const double *param)                                           \
    {                                                                                             \
        operand o[3] = {{(real *)z, ldz}, {y, ldy}, {d, d ? ldd : 0}};                            \
        map_rows(d ? both_run_##name : value_run_##name, 1, d ? 3 : 2, rows, n, o,                \
                 act_prepare(params, param));                                                     \
    }                                                                                             \
    static void act_backward_##name(ptrdiff_t rows, ptrdiff_t n, const void *dy, ptrdiff_t lddy,  \
                                    const void *saved, ptrdiff_t lds, void *dz, ptrdiff_t lddz,   \
                                    const double *param)                                          \
    {                                                                                             \
        operand o[3] = {{(real *)dy, lddy}, {(real *)saved, lds}, {dz, lddz}};                    \
        map_rows(slope_run_##name, 2, 3, rows, n, o, act_prepare(params, param));                 \
    }
MDL_ACTIVATIONS(DEFINE_ACTIVATION)
