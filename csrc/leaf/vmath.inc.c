/* Vector functions: exponentials, logarithms, tanh, sigmoid, erf, sines.

   Each is a fixed sequence of operations of simd.h, with our own polynomials (csrc/tools/
   fit_coefficients.py) and no call of the C library: on every level with a fused multiply-add the bits
   are the same. NaN gives NaN, and where a limit exists, infinities give the limit.

   The clamps are written w_max(bound, x), with x second, because then a NaN in x comes out as NaN.

   Largest errors in ulp on levels with FMA, over all 2^32 floats and 3 * 10^7 random doubles:

                exp   expm1  log   log1p  tanh  sigmoid  erf   sin   cos
      float32   1.04  1.51   0.94  1.53   2.50  2.41     1.15  2.48  2.40
      float64   0.98  1.81   0.92  1.35   2.53  2.32     1.17  1.56  1.53

   Without FMA ("portable" on x86) they are the same but for expm1 (1.93) and erf (1.25). */

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

/* scale * (c[0] + c[1] x + ... + c[n-1] x^(n-1)), by Horner's rule; scale is a power of two. */
INLINE wide poly(const real scale, wide x, const real *c, const int n)
{
    wide sum = w_set(scale * c[n - 1]);
    _Pragma("GCC unroll 20") for (int i = n - 2; i >= 0; i--)
        sum = w_fma(sum, x, w_set(scale * c[i]));
    return sum;
}
#define POLY_SCALED(scale, x, table) poly(scale, x, table, (int)(sizeof table / sizeof table[0]))
#define POLY(x, table) POLY_SCALED(1, x, table)

/* Adding 1.5 * 2^mantissa to a small number rounds it to an integer n, and leaves n in the low bits. */
#define ROUND_TO_INT ((real)((uint_r)3 << (REAL_MANTISSA - 1)))

/* Bit patterns of powers of two: 2^k is (k + REAL_BIAS) << REAL_MANTISSA. */
#define BITS_OF_1 ((uint_r)REAL_BIAS << REAL_MANTISSA)
#define BITS_OF_2_POW_MANTISSA ((uint_r)(REAL_BIAS + REAL_MANTISSA) << REAL_MANTISSA)

/* --- exponentials ------------------------------------------------------------------------------ */

#if MDL_DOUBLE
#define EXP_LOWEST (-746.0)  /* exp is +0 from here down */
#define EXP_HIGHEST 710.0    /* and +inf from here up */
#define EXP_LIFT 512
#define EXP_LOWER 0x1p-512
#define EXPM1_LOWEST (-40.0) /* expm1 is -1 from here down */
#define EXPM1_TINY 0x1p-54   /* expm1(x) = x below this */
#else
#define EXP_LOWEST (-104.0f)
#define EXP_HIGHEST 89.0f
#define EXP_LIFT 64
#define EXP_LOWER 0x1p-64f
#define EXPM1_LOWEST (-20.0f)
#define EXPM1_TINY 0x1p-25f
#endif

/* e^x = 2^n (1 + p) with |p| < 0.42; the low bits of n_bits hold n + offset, what the caller wants there. */
typedef struct {
    wint n_bits;
    wide p;
} exp_parts;

/* x = n ln 2 + r, and `shifted` is n + offset + ROUND_TO_INT. */
INLINE exp_parts exp_finish(wide shifted, wide r)
{
    const exp_parts e = {w_bits(shifted), w_fma(w_mul(r, r), POLY(r, exp_q), r)};
    return e;
}

INLINE exp_parts exp_split(wide x, const int offset)
{
    const wide start = w_set(ROUND_TO_INT + offset);
    const wide shifted = w_fma(x, w_set(LOG2_E), start), n = w_sub(shifted, start);
    const wide r = w_fnma(n, w_set(LN2_LO), w_fnma(n, w_set(LN2_HI), x));
    return exp_finish(shifted, r);
}

/* The same for the sum x + lo, where lo is what does not fit into x. */
INLINE exp_parts exp_split_sum(wide x, wide lo, const int offset)
{
    const wide start = w_set(ROUND_TO_INT + offset);
    const wide shifted = w_fma(x, w_set(LOG2_E), start), n = w_sub(shifted, start);
    const wide r = w_add(w_fnma(n, w_set(LN2_HI), x), w_fnma(n, w_set(LN2_LO), lo));
    return exp_finish(shifted, r);
}

/* 2^k, where the low bits hold k + REAL_BIAS: a number if -REAL_BIAS < k <= REAL_BIAS. */
INLINE wide power_of_2(wint bits) { return w_from_bits(wi_shl(bits, REAL_MANTISSA)); }

/* 2^n may be too large or too small for a float where 2^n (1 + p) is one, or a subnormal. So 2^n is a product of
   two powers of two, and the result is rounded to a subnormal or inf once, in the last multiplication. */
INLINE wide vm_exp(wide x)
{
    const exp_parts e =
        exp_split(w_max(w_set(EXP_LOWEST), w_min(w_set(EXP_HIGHEST), x)), 2 * REAL_BIAS);
    const wint half = wi_shr(e.n_bits, 1);
    const wide a = power_of_2(half), b = power_of_2(wi_sub(e.n_bits, half));
    return w_mul(w_fma(e.p, a, a), b);
}

/* The same for x <= 40, where 2^(n + EXP_LIFT) is always a number: three operations instead of six. */
INLINE wide exp_to_40(wide x)
{
    const exp_parts e = exp_split(w_max(w_set(EXP_LOWEST), x), REAL_BIAS + EXP_LIFT);
    const wide s = power_of_2(e.n_bits);
    return w_mul(w_fma(e.p, s, s), w_set(EXP_LOWER));
}

/* For x <= 0; the sign of -0 is lost. With s = 2^n: s (1 + p) - 1 = s p + (s - 1). */
INLINE wide expm1_nonpositive(wide x)
{
    const exp_parts e = exp_split(w_max(w_set(EXPM1_LOWEST), x), REAL_BIAS);
    const wide s = power_of_2(e.n_bits);
    return w_fma(e.p, s, w_sub(s, w_set(1)));
}

/* Computes half of the result, because 2^n itself may be beyond the largest number. */
INLINE wide vm_expm1(wide x)
{
    const exp_parts e =
        exp_split(w_max(w_set(EXPM1_LOWEST), w_min(w_set(EXP_HIGHEST), x)), REAL_BIAS - 1);
    const wide half_s = power_of_2(e.n_bits);
    const wide half = w_fma(e.p, half_s, w_sub(half_s, w_set(REAL_C(0.5))));
    return w_sel(w_lt(w_abs(x), w_set(EXPM1_TINY)), x, w_add(half, half));
}

/* (1 - e^-2|x|) / (1 + e^-2|x|) with the sign of x; e^-2|x| - 1 comes whole, so nothing cancels. */
INLINE wide vm_tanh(wide x)
{
    const wide e = expm1_nonpositive(w_mul(w_set(-2), w_abs(x)));
    return w_copysign(w_div(e, w_add(e, w_set(2))), x);
}

/* 1 / (1 + e^-x), with e^-|x| so that nothing overflows. */
INLINE wide vm_sigmoid(wide x)
{
    const wide one = w_set(1), e = exp_to_40(w_minus_abs(x));
    return w_div(w_sel(w_lt(x, w_zero()), e, one), w_add(one, e));
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
INLINE wide log_tail(wide f)
{
    const wide half = w_set(REAL_C(0.5));
#if MDL_DOUBLE
    /* 2 s = f - f^2/2 + s f^2/2 for s = f / (2 + f): only the small terms are rounded */
    const wide s = w_div(f, w_add(f, w_set(2))), z = w_mul(s, s);
    const wide half_square = w_mul(half, w_mul(f, f));
    return w_sub(w_mul(s, w_fma(z, POLY(z, log_p), half_square)), half_square);
#else
    return w_mul(w_mul(f, f), w_fma(f, POLY(f, log_p), w_neg(half)));
#endif
}

/* k log 2 + log(1 + f). */
INLINE wide log_join(wide k, wide f)
{
    const wide low = w_add(f, w_fma(k, w_set(LN2_LO), log_tail(f)));
    return w_fma(k, w_set(LN2_HI), low);
}

/* The integer k with sqrt(1/2) <= x / 2^k < sqrt(2), as k + REAL_BIAS, for a normal x > 0. The sum of
   bit patterns carries into the exponent where the significand is sqrt(2) or more. */
INLINE wint log_moved_bits(wide x) { return wi_add(w_bits(x), wi_set(BITS_OF_1 - BITS_OF_SQRT_HALF)); }
INLINE wint log_exponent(wint moved) { return wi_shr(moved, REAL_MANTISSA); }

/* An integer below 2^REAL_MANTISSA, plus 2^REAL_MANTISSA, as a real. */
INLINE wide real_from_int(wint k) { return w_from_bits(wi_or(k, wi_set(BITS_OF_2_POW_MANTISSA))); }
#define INT_OFFSET ((real)((uint_r)1 << REAL_MANTISSA))

/* log x - shift log 2 for a normal x > 0. */
INLINE wide log_normal(wide x, wide shift)
{
    const wint moved = log_moved_bits(x);
    const wide k = w_sub(real_from_int(log_exponent(moved)), w_add(shift, w_set(INT_OFFSET + REAL_BIAS)));
    const wint significand = wi_and(moved, wi_set(((uint_r)1 << REAL_MANTISSA) - 1));
    const wide m = w_from_bits(wi_add(significand, wi_set(BITS_OF_SQRT_HALF)));
    return log_join(k, w_sub(m, w_set(1)));
}

/* Any x: subnormals are scaled, and 0, negative numbers, inf and NaN get their values. */
static __attribute__((noinline)) wide log_rare(wide x)
{
    const wmask small = w_lt(x, w_set(REAL_MIN));
    const wide scaled = w_mul(x, w_set((real)((uint_r)1 << SUBNORMAL_SHIFT)));
    wide y = log_normal(w_sel(small, scaled, x), w_sel(small, w_set(SUBNORMAL_SHIFT), w_zero()));
    y = w_sel(w_lt(x, w_zero()), w_set(REAL_NAN), y);
    y = w_sel(w_eq(x, w_zero()), w_set(-REAL_INF), y);
    return w_sel(w_lt(x, w_set(REAL_INF)), y, x);
}

INLINE wide vm_log(wide x)
{
    const wmask common = wm_and(w_le(w_set(REAL_MIN), x), w_lt(x, w_set(REAL_INF)));
    if (wm_any(wm_not(common)))
        return log_rare(x);
    return log_normal(x, w_zero());
}

/* log(2^k (1 + f)): k is that of 1 + x, rounded, but f = 2^-k x + (2^-k - 1) is as exact as x. */
INLINE wide log1p_common(wide x)
{
    const wint k = log_exponent(log_moved_bits(w_add(w_set(1), x)));
    const wide scale = w_from_bits(wi_shl(wi_sub(wi_set(2 * REAL_BIAS), k), REAL_MANTISSA));
    const wide f = w_fma(x, scale, w_sub(scale, w_set(1)));
    return w_copysign(log_join(w_sub(real_from_int(k), w_set(INT_OFFSET + REAL_BIAS)), f), x);
}

/* x <= -1, large x, NaN in some lane. */
static __attribute__((noinline)) wide log1p_rare(wide x, wmask common)
{
    return w_sel(common, log1p_common(w_sel(common, x, w_zero())), log_rare(w_add(x, w_set(1))));
}

INLINE wide vm_log1p(wide x)
{
    const wmask common = wm_and(w_lt(w_set(-1), x), w_lt(x, w_set(LOG1P_HIGHEST)));
    if (wm_any(wm_not(common)))
        return log1p_rare(x, common);
    return log1p_common(x);
}

/* log(1 + x) for 0 <= x <= 1, cheaper: k is 0 or 1. */
INLINE wide log1p_unit(wide x)
{
    const wide half = w_set(REAL_C(0.5)), zero = w_zero();
    const wmask upper = w_lt(w_set(SQRT_2_MINUS_1), x);
    const wide f = w_sel(upper, w_fma(half, x, w_neg(half)), x);
    const wide low = w_add(log_tail(f), w_sel(upper, w_set(LN2_LO), zero));
    return w_add(w_sel(upper, w_set(LN2_HI), zero), w_add(f, low));
}

#include "vmath_normal.inc.c"
#include "vmath_trig.inc.c"

/* --- over arrays ------------------------------------------------------------------------------- */

#define DEFINE_MAP(name)                                                                          \
    INLINE wide map_value_##name(wide x, map_constants k) { return (void)k, vm_##name(x); }       \
    static void map_run_##name(ptrdiff_t n, const real *a, real *b, real *c, map_constants k)     \
    {                                                                                             \
        run_value(map_value_##name, n, a, b, k);                                                  \
        (void)c;                                                                                  \
    }                                                                                             \
    static void map_##name(ptrdiff_t n, const void *x, void *y)                                   \
    {                                                                                             \
        const map_constants none = {v_zero(), v_zero()};                                          \
        operand o[3] = {{(real *)x, n}, {y, n}};                                                  \
        map_rows(map_run_##name, 1, 2, 1, n, o, none);                                            \
    }
MDL_VMATH(DEFINE_MAP)
