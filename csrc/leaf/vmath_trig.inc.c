/* Sine, cosine and arctangent. */
#include "vmath_two_over_pi.inc.c"

/* x = q pi/2 + r with |r| <= pi/4; the low bits of q hold the integer q. */
typedef struct {
    wint q;
    wide r;
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
} words;

INLINE words product_of_words(uint64_t a, uint64_t b)
{
    const uint64_t mask = 0xffffffff, a0 = a & mask, a1 = a >> 32, b0 = b & mask, b1 = b >> 32;
    const uint64_t low = a0 * b0, cross = a1 * b0 + (low >> 32), other = a0 * b1 + (cross & mask);
    const words product = {a1 * b1 + (cross >> 32) + (other >> 32), other << 32 | (low & mask)};
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
    const words low = product_of_words(m, two_over_pi_digits(skip + 128));
    const words middle = product_of_words(m, two_over_pi_digits(skip + 64));
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
    const uint64_t product = product_of_words(p2, 0xc90fdaa22168c235).high;
    const uint64_t scale_bits = (uint64_t)(1023 + exponent - 63) << 52;
    double scale;
    memcpy(&scale, &scale_bits, sizeof scale);
    return (negative ? -scale : scale) * (double)product;
}

static __attribute__((noinline)) quadrant reduce_large(wide a, quadrant common)
{
    real x[WIDE_LANES], r[WIDE_LANES], q[WIDE_LANES];
    w_store(x, a);
    w_store(r, common.r);
    w_store(q, w_from_bits(common.q));
    for (ptrdiff_t i = 0; i < WIDE_LANES; i++) {
        if (TRIG_HIGHEST < x[i] && x[i] < REAL_INF) {
            int number;
            r[i] = (real)reduce_by_integers((double)x[i], &number);
            q[i] = ROUND_TO_INT + (real)number;
        }
    }
    const quadrant result = {w_bits(w_load(q)), w_load(r)};
    return result;
}

/* --- sine and cosine --------------------------------------------------------------------------- */

/* For a >= 0. Cody and Waite's reduction; as long as a part of the product matters for a small r, the
   difference before it is exact. inf gives r = NaN. */
INLINE quadrant reduce(wide a)
{
    const wide shifted = w_fma(a, w_set(TWO_OVER_PI), w_set(ROUND_TO_INT));
    const wide n = w_sub(shifted, w_set(ROUND_TO_INT));
    wide r = a;
    _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++)
        r = w_fnma(n, w_set(half_pi_parts[i]), r);
    const quadrant common = {w_bits(shifted), r};
    if (wm_any(w_lt(w_set(TRIG_HIGHEST), a)))
        return reduce_large(a, common);
    return common;
}

typedef struct {
    wide sin, cos;
} sine_pair;

/* Of +-(q pi/2 + r), with the sign bit of `sign`. */
INLINE sine_pair sin_cos_finish(quadrant p, wint sign)
{
    const wide z = w_mul(p.r, p.r), minus_half = w_set(REAL_C(-0.5));
    const wide s = w_fma(w_mul(p.r, z), POLY(z, sin_p), p.r);
    const wide c = w_fma(w_mul(z, z), POLY(z, cos_p), w_fma(minus_half, z, w_set(1)));
    const wmask even = wi_eq(wi_and(p.q, wi_set(1)), wi_set(0));
    /* bit 1 of q is the sign of the sine, bit 1 of q + 1 that of the cosine */
    const wint sign_bit = wi_set(REAL_SIGN);
    const wint sin_sign = wi_and(wi_shl(p.q, MDL_SIZE * 8 - 2), sign_bit);
    const wint cos_sign = wi_and(wi_shl(wi_add(p.q, wi_set(1)), MDL_SIZE * 8 - 2), sign_bit);
    const sine_pair result = {
        w_from_bits(wi_xor(w_bits(w_sel(even, s, c)), wi_xor(sin_sign, sign))),
        w_from_bits(wi_xor(w_bits(w_sel(even, c, s)), cos_sign)),
    };
    return result;
}

INLINE wint sign_of(wide x) { return wi_and(w_bits(x), wi_set(REAL_SIGN)); }

INLINE wide vm_sin(wide x) { return sin_cos_finish(reduce(w_abs(x)), sign_of(x)).sin; }
INLINE wide vm_cos(wide x) { return sin_cos_finish(reduce(w_abs(x)), sign_of(x)).cos; }

/* Of x + lo, where lo is what does not fit into x. */
INLINE sine_pair sin_cos_sum(wide x, wide lo)
{
    const wint sign = sign_of(x);
    quadrant p = reduce(w_abs(x));
    p.r = w_add(p.r, w_from_bits(wi_xor(w_bits(lo), sign)));
    return sin_cos_finish(p, sign);
}

/* --- arctangent -------------------------------------------------------------------------------- */

#define HALF_PI REAL_C(1.5707963267948966)
#define QUARTER_PI REAL_C(0.7853981633974483)
#define TAN_PI_8 REAL_C(0.41421356237309503)
#define TAN_3_PI_8 REAL_C(2.414213562373095)

/* With one division, arctan |x| is arctan |x|, pi/4 + arctan((|x| - 1) / (|x| + 1)) or
   pi/2 + arctan(-1 / |x|), such that the argument stays below tan(pi/8). */
INLINE wide vm_atan(wide x)
{
    const wide a = w_abs(x), one = w_set(1);
    const wmask low = w_le(a, w_set(TAN_PI_8)), high = w_lt(w_set(TAN_3_PI_8), a);
    const wide top = w_sel(low, a, w_sel(high, w_set(-1), w_sub(a, one)));
    const wide bottom = w_sel(low, one, w_sel(high, a, w_add(a, one)));
    const wide base = w_sel(low, w_zero(), w_sel(high, w_set(HALF_PI), w_set(QUARTER_PI)));
    const wide t = w_div(top, bottom), z = w_mul(t, t);
    const wide y = w_add(base, w_fma(w_mul(t, z), POLY(z, atan_p), t));
    return w_copysign(y, x);
}
