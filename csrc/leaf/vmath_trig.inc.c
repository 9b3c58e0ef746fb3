/* Sine, cosine and arctangent. */
#include "vmath_two_over_pi.inc.c"

/* x = q pi/2 + r with |r| <= pi/4; the low bits of q hold the integer q. */
typedef struct {
    vint q;
    vec r;
} quadrant;

/* Up to here the product of q and each of the leading parts of pi/2 is exact, or fused. */
#if MDL_DOUBLE || MDL_FUSED
#define TRIG_HIGHEST REAL_C(1e5)
#else
#define TRIG_HIGHEST 400.0f
#endif

/* --- large arguments: rare, one by one, in integers -------------------------------------------- */

typedef struct {
    uint64_t high, low;
} wide;

INLINE wide wide_product(uint64_t a, uint64_t b)
{
    const uint64_t mask = 0xffffffff, a0 = a & mask, a1 = a >> 32, b0 = b & mask, b1 = b >> 32;
    const uint64_t low = a0 * b0, cross = a1 * b0 + (low >> 32), other = a0 * b1 + (cross & mask);
    const wide product = {a1 * b1 + (cross >> 32) + (other >> 32), other << 32 | (low & mask)};
    return product;
}

/* The 64 digits of two_over_pi that begin after the first `skip`. */
INLINE uint64_t two_over_pi_digits(int skip)
{
    const uint64_t *word = two_over_pi + skip / 64;
    const int shift = skip % 64;
    return shift ? word[0] << shift | word[1] >> (64 - shift) : word[0];
}

/* Payne and Hanek's reduction (SIGNUM Newsletter 18, 1983) of a finite x >= 2^8. Returns r, and q mod 4.

   x = m 2^e with an integer m < 2^53. Digit j of 2/pi has the weight 2^-j, so in m 2^e (2/pi) the digits
   up to j = e - 2 only give multiples of 4, and 192 digits from the next one on make m times their
   integer, mod 2^192, equal to x (2/pi) mod 4 in units of 2^-190. */
static double reduce_by_integers(double x, int *q)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint64_t m = (bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)1 << 52;
    const int skip = (int)(bits >> 52) - 1075 - 2 + 64;
    const wide low = wide_product(m, two_over_pi_digits(skip + 128));
    const wide middle = wide_product(m, two_over_pi_digits(skip + 64));
    uint64_t p1 = middle.low + low.high;
    uint64_t p2 = m * two_over_pi_digits(skip) + middle.high + (p1 < low.high), p0 = low.low;

    /* two digits of q, then the fraction; a fraction of 1/2 or more belongs to the next q */
    *q = (int)(p2 >> 62);
    p2 = p2 << 2 | p1 >> 62;
    p1 = p1 << 2 | p0 >> 62;
    p0 = p0 << 2;
    const int negative = (int)(p2 >> 63);
    if (negative) {
        *q = (*q + 1) & 3;
        p0 = ~p0;
        p1 = ~p1;
        p2 = ~p2;
    }
    int exponent = 0; /* of the fraction, once its first digit is not 0 */
    while (!(p2 >> 63) && exponent > -128) {
        p2 = p2 << 1 | p1 >> 63;
        p1 = p1 << 1 | p0 >> 63;
        p0 <<= 1;
        exponent--;
    }
    /* times pi / 2 = 0xc90f... * 2^-63, rounded once */
    const uint64_t product = wide_product(p2, 0xc90fdaa22168c235).high;
    const uint64_t scale_bits = (uint64_t)(1023 + exponent - 63) << 52;
    double scale;
    memcpy(&scale, &scale_bits, sizeof scale);
    return (negative ? -scale : scale) * (double)product;
}

static __attribute__((noinline)) quadrant reduce_large(vec a, quadrant common)
{
    real x[VL], r[VL], q[VL];
    v_store(x, a);
    v_store(r, common.r);
    v_store(q, v_from_bits(common.q));
    for (ptrdiff_t i = 0; i < VL; i++) {
        if (TRIG_HIGHEST < x[i] && x[i] < REAL_INF) {
            int number;
            r[i] = (real)reduce_by_integers((double)x[i], &number);
            q[i] = ROUND_TO_INT + (real)number;
        }
    }
    const quadrant result = {v_bits(v_load(q)), v_load(r)};
    return result;
}

/* --- sine and cosine --------------------------------------------------------------------------- */

/* For a >= 0. Cody and Waite's reduction; as long as a part of the product matters for a small r, the
   difference before it is exact. inf gives r = NaN. */
INLINE quadrant reduce(vec a)
{
    const vec shifted = v_fma(a, v_set(TWO_OVER_PI), v_set(ROUND_TO_INT));
    const vec n = v_sub(shifted, v_set(ROUND_TO_INT));
    vec r = a;
    _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++)
        r = v_fnma(n, v_set(half_pi_parts[i]), r);
    const quadrant common = {v_bits(shifted), r};
    if (m_any(v_lt(v_set(TRIG_HIGHEST), a)))
        return reduce_large(a, common);
    return common;
}

typedef struct {
    vec sin, cos;
} sine_pair;

/* Of +-(q pi/2 + r), with the sign bit of `sign`. */
INLINE sine_pair sin_cos_finish(quadrant p, vint sign)
{
    const vec z = v_mul(p.r, p.r), minus_half = v_set(REAL_C(-0.5));
    const vec s = v_fma(v_mul(p.r, z), POLY(z, sin_p), p.r);
    const vec c = v_fma(v_mul(z, z), POLY(z, cos_p), v_fma(minus_half, z, v_set(1)));
    const vmask even = i_eq(i_and(p.q, i_set(1)), i_set(0));
    /* bit 1 of q is the sign of the sine, bit 1 of q + 1 that of the cosine */
    const vint sign_bit = i_set(REAL_SIGN);
    const vint sin_sign = i_and(i_shl(p.q, MDL_SIZE * 8 - 2), sign_bit);
    const vint cos_sign = i_and(i_shl(i_add(p.q, i_set(1)), MDL_SIZE * 8 - 2), sign_bit);
    const sine_pair result = {
        v_from_bits(i_xor(v_bits(v_sel(even, s, c)), i_xor(sin_sign, sign))),
        v_from_bits(i_xor(v_bits(v_sel(even, c, s)), cos_sign)),
    };
    return result;
}

INLINE vint sign_of(vec x) { return i_and(v_bits(x), i_set(REAL_SIGN)); }

INLINE vec vm_sin(vec x) { return sin_cos_finish(reduce(v_abs(x)), sign_of(x)).sin; }
INLINE vec vm_cos(vec x) { return sin_cos_finish(reduce(v_abs(x)), sign_of(x)).cos; }

/* Of x + lo, where lo is what does not fit into x. */
INLINE sine_pair sin_cos_sum(vec x, vec lo)
{
    const vint sign = sign_of(x);
    quadrant p = reduce(v_abs(x));
    p.r = v_add(p.r, v_from_bits(i_xor(v_bits(lo), sign)));
    return sin_cos_finish(p, sign);
}

/* --- arctangent -------------------------------------------------------------------------------- */

#define HALF_PI REAL_C(1.5707963267948966)
#define QUARTER_PI REAL_C(0.7853981633974483)
#define TAN_PI_8 REAL_C(0.41421356237309503)
#define TAN_3_PI_8 REAL_C(2.414213562373095)

/* With one division, arctan |x| is arctan |x|, pi/4 + arctan((|x| - 1) / (|x| + 1)) or
   pi/2 + arctan(-1 / |x|), such that the argument stays below tan(pi/8). */
INLINE vec vm_atan(vec x)
{
    const vec a = v_abs(x), one = v_set(1);
    const vmask low = v_le(a, v_set(TAN_PI_8)), high = v_lt(v_set(TAN_3_PI_8), a);
    const vec top = v_sel(low, a, v_sel(high, v_set(-1), v_sub(a, one)));
    const vec bottom = v_sel(low, one, v_sel(high, a, v_add(a, one)));
    const vec base = v_sel(low, v_zero(), v_sel(high, v_set(HALF_PI), v_set(QUARTER_PI)));
    const vec t = v_div(top, bottom), z = v_mul(t, t);
    const vec y = v_add(base, v_fma(v_mul(t, z), POLY(z, atan_p), t));
    return v_copysign(y, x);
}
