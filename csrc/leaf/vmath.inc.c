/* Vector functions: exponentials, logarithms, tanh, sigmoid, erf, sines.

   Each is a fixed sequence of operations of simd.h, with our own polynomials (csrc/tools/
   fit_coefficients.py) and no call of the C library: on every level with a fused multiply-add the bits
   are the same. NaN gives NaN, and where a limit exists, infinities give the limit.

   The clamps are written v_max(bound, x), with x second, because then a NaN in x comes out as NaN.

   Largest errors in ulp on levels with FMA, over all 2^32 floats and 3 * 10^7 random doubles:

                exp   expm1  log   log1p  tanh  sigmoid  erf   sin   cos
      float32   1.04  1.51   0.94  1.53   2.50  2.41     1.29  2.48  2.40
      float64   0.98  1.81   0.92  1.35   2.53  2.32     1.32  1.56  1.53

   Without FMA ("portable" on x86) they are the same but for expm1 (1.93) and erf (1.48). */

#define REAL_INF ((real)__builtin_inf())
#define REAL_NAN ((real)__builtin_nan(""))
#if MDL_DOUBLE
#define REAL_MAX __DBL_MAX__
#define REAL_MIN __DBL_MIN__
#else
#define REAL_MAX __FLT_MAX__
#define REAL_MIN __FLT_MIN__
#endif

#if MDL_DOUBLE
#include "vmath_f64.inc.c"
#else
#include "vmath_f32.inc.c"
#endif

/* c[0] + c[1] x + ... + c[n-1] x^(n-1), by Horner's rule. */
INLINE vec poly(vec x, const real *c, const int n)
{
    vec sum = v_set(c[n - 1]);
    _Pragma("GCC unroll 16") for (int i = n - 2; i >= 0; i--)
        sum = v_fma(sum, x, v_set(c[i]));
    return sum;
}
#define POLY(x, table) poly(x, table, (int)(sizeof table / sizeof table[0]))

/* Adding 1.5 * 2^mantissa to a small number rounds it to an integer n, and leaves n in the low bits. */
#define ROUND_TO_INT ((real)((uint_r)3 << (REAL_MANTISSA - 1)))

/* Bit patterns of powers of two: 2^k is (k + REAL_BIAS) << REAL_MANTISSA. */
#define BITS_OF_1 ((uint_r)REAL_BIAS << REAL_MANTISSA)
#define BITS_OF_2_POW_MANTISSA ((uint_r)(REAL_BIAS + REAL_MANTISSA) << REAL_MANTISSA)

/* --- exponentials ------------------------------------------------------------------------------ */

#if MDL_DOUBLE
#define EXP_LOWEST (-746.0)  /* exp is +0 from here down */
#define EXP_HIGHEST 710.0    /* and +inf from here up */
#define EXPM1_LOWEST (-40.0) /* expm1 is -1 from here down */
#define EXPM1_TINY 0x1p-54   /* expm1(x) = x below this */
#else
#define EXP_LOWEST (-104.0f)
#define EXP_HIGHEST 89.0f
#define EXPM1_LOWEST (-20.0f)
#define EXPM1_TINY 0x1p-25f
#endif

/* e^x = 2^n (1 + p) with |p| < 0.42; the low bits of n_bits hold n + EXP_OFFSET. */
#define EXP_OFFSET (2 * REAL_BIAS)
typedef struct {
    vint n_bits;
    vec p;
} exp_parts;

/* x = n ln 2 + r, and `shifted` is n + EXP_OFFSET + ROUND_TO_INT. */
INLINE exp_parts exp_finish(vec shifted, vec r)
{
    const exp_parts e = {v_bits(shifted), v_fma(v_mul(r, r), POLY(r, exp_q), r)};
    return e;
}

INLINE exp_parts exp_split(vec x)
{
    const vec offset = v_set(ROUND_TO_INT + EXP_OFFSET);
    const vec shifted = v_fma(x, v_set(LOG2_E), offset), n = v_sub(shifted, offset);
    const vec r = v_fnma(n, v_set(LN2_LO), v_fnma(n, v_set(LN2_HI), x));
    return exp_finish(shifted, r);
}

/* The same for the sum x + lo, where lo is what does not fit into x. */
INLINE exp_parts exp_split_sum(vec x, vec lo)
{
    const vec offset = v_set(ROUND_TO_INT + EXP_OFFSET);
    const vec shifted = v_fma(x, v_set(LOG2_E), offset), n = v_sub(shifted, offset);
    const vec r = v_add(v_fnma(n, v_set(LN2_HI), x), v_fnma(n, v_set(LN2_LO), lo));
    return exp_finish(shifted, r);
}

/* 2^n (1 + p), for n beyond the range of exponents too: 2^n is taken as a product of two halves, so
   that the result overflows to inf or is rounded to a subnormal, once, in the last multiplication. */
INLINE vec exp_join(exp_parts e)
{
    const vint half = i_shr(e.n_bits, 1);
    const vec a = v_from_bits(i_shl(half, REAL_MANTISSA));
    const vec b = v_from_bits(i_shl(i_sub(e.n_bits, half), REAL_MANTISSA));
    return v_mul(v_fma(e.p, a, a), b);
}

INLINE vec vm_exp(vec x)
{
    return exp_join(exp_split(v_max(v_set(EXP_LOWEST), v_min(v_set(EXP_HIGHEST), x))));
}

/* For x <= 0. */
INLINE vec exp_nonpositive(vec x) { return exp_join(exp_split(v_max(v_set(EXP_LOWEST), x))); }

/* For x <= 0; the sign of -0 is lost. With s = 2^n: s (1 + p) - 1 = s p + (s - 1). */
INLINE vec expm1_nonpositive(vec x)
{
    const exp_parts e = exp_split(v_max(v_set(EXPM1_LOWEST), x));
    const vec s = v_from_bits(i_shl(i_sub(e.n_bits, i_set(EXP_OFFSET - REAL_BIAS)), REAL_MANTISSA));
    return v_fma(e.p, s, v_sub(s, v_set(1)));
}

/* Computes half of the result, because 2^n itself may be beyond the largest number. */
INLINE vec vm_expm1(vec x)
{
    const exp_parts e = exp_split(v_max(v_set(EXPM1_LOWEST), v_min(v_set(EXP_HIGHEST), x)));
    const vint shift = i_set(EXP_OFFSET - REAL_BIAS + 1);
    const vec half_s = v_from_bits(i_shl(i_sub(e.n_bits, shift), REAL_MANTISSA));
    const vec half = v_fma(e.p, half_s, v_sub(half_s, v_set(REAL_C(0.5))));
    return v_sel(v_lt(v_abs(x), v_set(EXPM1_TINY)), x, v_add(half, half));
}

/* (1 - e^-2|x|) / (1 + e^-2|x|) with the sign of x; e^-2|x| - 1 comes whole, so nothing cancels. */
INLINE vec vm_tanh(vec x)
{
    const vec e = expm1_nonpositive(v_mul(v_set(-2), v_abs(x)));
    return v_copysign(v_div(e, v_add(e, v_set(2))), x);
}

/* 1 / (1 + e^-x), with e^-|x| so that nothing overflows. */
INLINE vec vm_sigmoid(vec x)
{
    const vec one = v_set(1), e = exp_nonpositive(v_neg(v_abs(x)));
    return v_div(v_sel(v_lt(x, v_zero()), e, one), v_add(one, e));
}

/* --- logarithms -------------------------------------------------------------------------------- */

#if MDL_DOUBLE
#define BITS_OF_SQRT_HALF 0x3fe6a09e667f3bcd
#define SUBNORMAL_SHIFT 54
#define LOG1P_HIGHEST 0x1p1022
#else
#define BITS_OF_SQRT_HALF 0x3f3504f3
#define SUBNORMAL_SHIFT 25
#define LOG1P_HIGHEST 0x1p126f
#endif
#define SQRT_2_MINUS_1 REAL_C(0.41421356237309503)

/* log(1 + f) - f for sqrt(1/2) <= 1 + f <= sqrt(2). */
INLINE vec log_tail(vec f)
{
    const vec half = v_set(REAL_C(0.5));
#if MDL_DOUBLE
    /* 2 s = f - f^2/2 + s f^2/2 for s = f / (2 + f): only the small terms are rounded */
    const vec s = v_div(f, v_add(f, v_set(2))), z = v_mul(s, s);
    const vec half_square = v_mul(half, v_mul(f, f));
    return v_sub(v_mul(s, v_fma(z, POLY(z, log_p), half_square)), half_square);
#else
    return v_mul(v_mul(f, f), v_fma(f, POLY(f, log_p), v_neg(half)));
#endif
}

/* k log 2 + log(1 + f). */
INLINE vec log_join(vec k, vec f)
{
    const vec low = v_add(f, v_fma(k, v_set(LN2_LO), log_tail(f)));
    return v_fma(k, v_set(LN2_HI), low);
}

/* The integer k with sqrt(1/2) <= x / 2^k < sqrt(2), as k + REAL_BIAS, for a normal x > 0. The sum of
   bit patterns carries into the exponent where the significand is sqrt(2) or more. */
INLINE vint log_moved_bits(vec x) { return i_add(v_bits(x), i_set(BITS_OF_1 - BITS_OF_SQRT_HALF)); }
INLINE vint log_exponent(vint moved) { return i_shr(moved, REAL_MANTISSA); }

/* An integer below 2^REAL_MANTISSA, plus 2^REAL_MANTISSA, as a real. */
INLINE vec real_from_int(vint k) { return v_from_bits(i_or(k, i_set(BITS_OF_2_POW_MANTISSA))); }
#define INT_OFFSET ((real)((uint_r)1 << REAL_MANTISSA))

/* log x - shift log 2 for a normal x > 0. */
INLINE vec log_normal(vec x, vec shift)
{
    const vint moved = log_moved_bits(x);
    const vec k = v_sub(real_from_int(log_exponent(moved)), v_add(shift, v_set(INT_OFFSET + REAL_BIAS)));
    const vint significand = i_and(moved, i_set(((uint_r)1 << REAL_MANTISSA) - 1));
    const vec m = v_from_bits(i_add(significand, i_set(BITS_OF_SQRT_HALF)));
    return log_join(k, v_sub(m, v_set(1)));
}

/* Any x: subnormals are scaled, and 0, negative numbers, inf and NaN get their values. */
static __attribute__((noinline)) vec log_rare(vec x)
{
    const vmask small = v_lt(x, v_set(REAL_MIN));
    const vec scaled = v_mul(x, v_set((real)((uint_r)1 << SUBNORMAL_SHIFT)));
    vec y = log_normal(v_sel(small, scaled, x), v_sel(small, v_set(SUBNORMAL_SHIFT), v_zero()));
    y = v_sel(v_lt(x, v_zero()), v_set(REAL_NAN), y);
    y = v_sel(v_eq(x, v_zero()), v_set(-REAL_INF), y);
    return v_sel(v_lt(x, v_set(REAL_INF)), y, x);
}

INLINE vec vm_log(vec x)
{
    const vmask common = m_and(v_le(v_set(REAL_MIN), x), v_lt(x, v_set(REAL_INF)));
    if (m_any(m_not(common)))
        return log_rare(x);
    return log_normal(x, v_zero());
}

/* log(2^k (1 + f)): k is that of 1 + x, rounded, but f = 2^-k x + (2^-k - 1) is as exact as x. */
INLINE vec log1p_common(vec x)
{
    const vint k = log_exponent(log_moved_bits(v_add(v_set(1), x)));
    const vec scale = v_from_bits(i_shl(i_sub(i_set(2 * REAL_BIAS), k), REAL_MANTISSA));
    const vec f = v_fma(x, scale, v_sub(scale, v_set(1)));
    return v_copysign(log_join(v_sub(real_from_int(k), v_set(INT_OFFSET + REAL_BIAS)), f), x);
}

/* x <= -1, large x, NaN in some lane. */
static __attribute__((noinline)) vec log1p_rare(vec x, vmask common)
{
    return v_sel(common, log1p_common(v_sel(common, x, v_zero())), log_rare(v_add(x, v_set(1))));
}

INLINE vec vm_log1p(vec x)
{
    const vmask common = m_and(v_lt(v_set(-1), x), v_lt(x, v_set(LOG1P_HIGHEST)));
    if (m_any(m_not(common)))
        return log1p_rare(x, common);
    return log1p_common(x);
}

/* log(1 + x) for 0 <= x <= 1, cheaper: k is 0 or 1. */
INLINE vec log1p_unit(vec x)
{
    const vec half = v_set(REAL_C(0.5)), zero = v_zero();
    const vmask upper = v_lt(v_set(SQRT_2_MINUS_1), x);
    const vec f = v_sel(upper, v_fma(half, x, v_neg(half)), x);
    const vec low = v_add(log_tail(f), v_sel(upper, v_set(LN2_LO), zero));
    return v_add(v_sel(upper, v_set(LN2_HI), zero), v_add(f, low));
}

#include "vmath_normal.inc.c"
#include "vmath_trig.inc.c"

/* --- over arrays ------------------------------------------------------------------------------- */

/* Two vectors at a time, to fill the latency of the long chains. */
#define DEFINE_MAP(name)                                                                          \
    static void map_##name(ptrdiff_t n, const void *x, void *y)                                   \
    {                                                                                             \
        const real *from = x;                                                                     \
        real *to = y;                                                                             \
        ptrdiff_t i = 0;                                                                          \
        for (; n - i >= 2 * VL; i += 2 * VL) {                                                    \
            const vec a = vm_##name(v_load(from + i)), b = vm_##name(v_load(from + i + VL));      \
            v_store(to + i, a);                                                                   \
            v_store(to + i + VL, b);                                                              \
        }                                                                                         \
        for (; i < n; i += VL) {                                                                  \
            const int whole = n - i >= VL;                                                        \
            const vtail tail = v_tail(whole ? VL : n - i);                                        \
            const vec a = vm_##name(whole ? v_load(from + i) : v_load_tail(from + i, tail));      \
            if (whole)                                                                            \
                v_store(to + i, a);                                                               \
            else                                                                                  \
                v_store_tail(to + i, a, tail);                                                    \
        }                                                                                         \
    }
MDL_VMATH(DEFINE_MAP)
