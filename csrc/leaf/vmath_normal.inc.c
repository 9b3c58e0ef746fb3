/* The normal distribution and the error function. */

#if MDL_DOUBLE
#define NORMAL_END 39.0                               /* Phi(-t) is +0 from here on */
#define ERF_END 6.0                                   /* erf is 1 from here on */
#define SQUARABLE_BITS (~(((uint_r)1 << 27) - 1))     /* keeps 26 digits */
#else
#define NORMAL_END 14.5f
#define ERF_END 4.0f
#define SQUARABLE_BITS (~(((uint_r)1 << 12) - 1))     /* keeps 12 digits */
#endif
#define SQRT_2 REAL_C(1.4142135623730951)
#define INV_SQRT_2_PI REAL_C(0.3989422804014327)

/* e^(-t^2/2) for 0 <= t <= NORMAL_END. The exponent is large, so its rounding would show: with h the
   leading half of the digits of t, t^2 = h^2 + (t - h)(t + h), where h^2 is exact. */
INLINE wide exp_minus_half_square(wide t)
{
    const wide h = w_from_bits(wi_and(w_bits(t), wi_set(SQUARABLE_BITS))), minus_half = w_set(REAL_C(-0.5));
    const wide square = w_mul(minus_half, w_mul(h, h));
    const wide rest = w_mul(minus_half, w_mul(w_sub(t, h), w_add(t, h)));
    return exp_join(exp_split_sum(square, rest));
}

/* Phi(-t), given e^(-t^2/2), for 0 <= t <= NORMAL_END. */
INLINE wide normal_tail(wide t, wide e)
{
    return w_div(w_mul(e, POLY(t, tail_num)), POLY(t, tail_den));
}

/* A polynomial up to 1; beyond, 1 - 2 Phi(-sqrt(2) |x|). */
INLINE wide vm_erf(wide x)
{
    const wide a = w_abs(x), one = w_set(1), t = w_min(w_set(ERF_END), a);
    const wide near = w_fma(a, POLY(w_mul(a, a), erf_p), a);
    const wide e = exp_nonpositive(w_neg(w_mul(t, t)));
    const wide far = w_fnma(w_set(2), normal_tail(w_mul(t, w_set(SQRT_2)), e), one);
    return w_copysign(w_sel(w_lt(a, one), near, far), x);
}

/* Phi(x) and its derivative. */
typedef struct {
    wide cumulative, density;
} normal_pair;

INLINE normal_pair normal(wide x)
{
    const wide t = w_min(w_set(NORMAL_END), w_abs(x)), e = exp_minus_half_square(t);
    const wide tail = normal_tail(t, e);
    const normal_pair p = {w_sel(w_lt(x, w_zero()), tail, w_sub(w_set(1), tail)),
                           w_mul(e, w_set(INV_SQRT_2_PI))};
    return p;
}
