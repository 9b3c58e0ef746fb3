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
INLINE vec exp_minus_half_square(vec t)
{
    const vec h = v_from_bits(i_and(v_bits(t), i_set(SQUARABLE_BITS))), minus_half = v_set(REAL_C(-0.5));
    const vec square = v_mul(minus_half, v_mul(h, h));
    const vec rest = v_mul(minus_half, v_mul(v_sub(t, h), v_add(t, h)));
    return exp_join(exp_split_sum(square, rest));
}

/* Phi(-t), given e^(-t^2/2), for 0 <= t <= NORMAL_END. */
INLINE vec normal_tail(vec t, vec e)
{
    return v_div(v_mul(e, POLY(t, tail_num)), POLY(t, tail_den));
}

/* A polynomial up to 1; beyond, 1 - 2 Phi(-sqrt(2) |x|). */
INLINE vec vm_erf(vec x)
{
    const vec a = v_abs(x), one = v_set(1), t = v_min(v_set(ERF_END), a);
    const vec near = v_fma(a, POLY(v_mul(a, a), erf_p), a);
    const vec e = exp_nonpositive(v_neg(v_mul(t, t)));
    const vec far = v_fnma(v_set(2), normal_tail(v_mul(t, v_set(SQRT_2)), e), one);
    return v_copysign(v_sel(v_lt(a, one), near, far), x);
}

/* Phi(x) and its derivative. */
typedef struct {
    vec cumulative, density;
} normal_pair;

INLINE normal_pair normal(vec x)
{
    const vec t = v_min(v_set(NORMAL_END), v_abs(x)), e = exp_minus_half_square(t);
    const vec tail = normal_tail(t, e);
    const normal_pair p = {v_sel(v_lt(x, v_zero()), tail, v_sub(v_set(1), tail)),
                           v_mul(e, v_set(INV_SQRT_2_PI))};
    return p;
}
