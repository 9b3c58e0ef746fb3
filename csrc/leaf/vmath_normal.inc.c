/* The normal distribution and the error function. */

#if MDL_DOUBLE
#define NORMAL_END 39.0                               /* Phi(-t) and t Phi'(t) are +0 from here on */
#define ERF_END 6.0                                   /* erf is 1 from here on */
#define SQUARABLE_BITS (~(((uint_r)1 << 27) - 1))     /* keeps 26 digits */
#else
#define NORMAL_END 14.6f /* beyond the interval of tail_num: Phi(-t) is +0 from 14.2 on */
#define ERF_END 4.0f
#define SQUARABLE_BITS (~(((uint_r)1 << 12) - 1))     /* keeps 12 digits */
#endif
#define ERF_MIDDLE REAL_C(0.875)
#define INV_SQRT_2_PI REAL_C(0.3989422804014327)

/* e^(-t^2/2) 2^EXP_LIFT, which does not underflow, for 0 <= t <= NORMAL_END. The exponent is large, so the
   rounding of t^2 would show, and is added again: with FMA it is one operation; without, it comes from the
   leading half h of the digits of t, t^2 = h^2 + (t - h)(t + h), where h^2 is exact. */
INLINE wide exp_minus_half_square(wide t)
{
    const wide minus_half = w_set(REAL_C(-0.5));
#if MDL_FUSED
    const wide u = w_mul(minus_half, t), square = w_mul(u, t), rest = w_fma(u, t, w_neg(square));
#else
    const wide h = w_from_bits(wi_and(w_bits(t), wi_set(SQUARABLE_BITS)));
    const wide square = w_mul(minus_half, w_mul(h, h));
    const wide rest = w_mul(minus_half, w_mul(w_sub(t, h), w_add(t, h)));
#endif
    const exp_parts e = exp_split_sum(square, rest, REAL_BIAS + EXP_LIFT);
    const wide s = power_of_2(e.n_bits);
    return w_fma(e.p, s, s);
}

/* Phi(-t), given e^(-t^2/2) 2^EXP_LIFT. */
INLINE wide normal_tail(wide t, wide lifted)
{
    return w_div(w_mul(lifted, POLY_SCALED(EXP_LOWER, t, tail_num)), POLY(t, tail_den));
}

/* A polynomial up to ERF_MIDDLE; beyond, 1 - e^r with r = log erfc |x|, a polynomial too: no division. */
INLINE wide vm_erf(wide x)
{
    const wide a = w_abs(x), one = w_set(1), t = w_min(w_set(ERF_END), a);
    const wide near = w_fma(a, POLY(w_mul(a, a), erf_p), a);
    const exp_parts e = exp_split(w_mul(t, POLY(t, erf_q)), REAL_BIAS);
    const wide s = power_of_2(e.n_bits);
    const wide far = w_sub(one, w_fma(e.p, s, s));
    return w_copysign(w_sel(w_lt(a, w_set(ERF_MIDDLE)), near, far), x);
}
