/* Philox, the normal quantile function, and the fills. random.h says what is promised. */
#include "random.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* --- Philox4x64-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3. SC 2011) - */

#if defined(__SIZEOF_INT128__) && !defined(MDL_NO_INT128)
static inline uint64_t mul_high(uint64_t a, uint64_t b)
{
    return (uint64_t)(((unsigned __int128)a * b) >> 64);
}
#else
static inline uint64_t mul_high(uint64_t a, uint64_t b)
{
    const uint64_t a0 = a & 0xFFFFFFFFu, a1 = a >> 32, b0 = b & 0xFFFFFFFFu, b1 = b >> 32;
    const uint64_t middle = a1 * b0 + ((a0 * b0) >> 32);      /* at most 2^64 - 2^32: no overflow */
    const uint64_t carry = a0 * b1 + (middle & 0xFFFFFFFFu);
    return a1 * b1 + (middle >> 32) + (carry >> 32);
}
#endif

static inline void philox(const uint64_t key[2], uint64_t counter, uint64_t w[4])
{
    uint64_t k0 = key[0], k1 = key[1];
    uint64_t w0 = counter, w1 = 0, w2 = 0, w3 = 0;
    for (int round = 0; round < 10; round++) {
        const uint64_t high0 = mul_high(0xD2E7470EE14C6C93u, w0), low0 = 0xD2E7470EE14C6C93u * w0;
        const uint64_t high1 = mul_high(0xCA5A826395121157u, w2), low1 = 0xCA5A826395121157u * w2;
        w0 = high1 ^ w1 ^ k0;
        w1 = low1;
        w2 = high0 ^ w3 ^ k1;
        w3 = low0;
        k0 += 0x9E3779B97F4A7C15u; /* the golden ratio and sqrt(3) - 1, times 2^64 */
        k1 += 0xBB67AE8584CAA73Bu;
    }
    w[0] = w0, w[1] = w1, w[2] = w2, w[3] = w3;
}

void mdl_random_raw(const uint64_t key[2], uint64_t start, ptrdiff_t n, uint64_t *out)
{
    uint64_t counter = start / 4 + 1;
    int skip = (int)(start % 4);
    for (; n > 0; counter++, skip = 0) {
        if (skip == 0 && n >= 4) {
            philox(key, counter, out);
            out += 4, n -= 4;
        } else {
            uint64_t w[4];
            philox(key, counter, w);
            for (; skip < 4 && n > 0; skip++, n--)
                *out++ = w[skip];
        }
    }
}

/* u - 1/2 for a draw. Unlike u itself it is exact in a double, and symmetric about 0. */
static inline double centered(uint64_t x)
{
    return ((double)((int64_t)(x >> 11) - ((int64_t)1 << 52)) + 0.5) * 0x1p-53;
}

/* --- log and exp ---------------------------------------------------------------------------------- */

#define LN2_HIGH 6.93147180369123816490e-01 /* 32 bits: its product with an exponent is exact */
#define LN2_LOW 1.90821492927058770002e-10

/* log(x) for x > 0: x = 2^e m with m near 1, log(m) = 2 artanh(s), s = (m-1)/(m+1), |s| < 0.172. */
static double log_positive(double x)
{
    int e = 0;
    if (x < DBL_MIN) { /* a subnormal has no implicit leading bit */
        x *= 0x1p54;
        e = -54;
    }
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    e += (int)(bits >> 52) - 1023;
    bits = (bits & 0x000FFFFFFFFFFFFFu) | 0x3FF0000000000000u;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        e++;
    }
    const double s = (m - 1.0) / (m + 1.0), s2 = s * s;
    double series = 0.0; /* s^2/3 + s^4/5 + ...; the first term left out is below 2^-60 */
    for (int k = 23; k >= 3; k -= 2)
        series = (series + 1.0 / k) * s2;
    return e * LN2_HIGH + (2.0 * s + (2.0 * s * series + e * LN2_LOW));
}

/* exp(-x) for 0 <= x < 700: 2^-n times the Taylor series of the rest, which is at most ln(2)/2. */
static double exp_minus(double x)
{
    const int n = (int)(x * 1.4426950408889634 + 0.5);
    const double r = (n * LN2_HIGH - x) + n * LN2_LOW;
    double series = 1.0;
    for (int k = 15; k >= 1; k--)
        series = 1.0 + series * r / k;
    const uint64_t bits = (uint64_t)(1023 - n) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return series * power;
}

/* --- the normal law ------------------------------------------------------------------------------- */

#define CENTRAL 0.425 /* the central polynomial serves |P - 1/2| <= CENTRAL, that is |z| < 1.44 */

/* Coefficients: Wichura, Algorithm AS 241, Applied Statistics 37 (1988) 477-484, routine PPND16. */
static inline double quantile_central(double q) /* q = P - 1/2 */
{
    const double r = CENTRAL * CENTRAL - q * q;
    const double top =
        (((((((2.5090809287301226727e+3 * r + 3.3430575583588128105e+4) * r +
              6.7265770927008700853e+4) * r + 4.5921953931549871457e+4) * r +
            1.3731693765509461125e+4) * r + 1.9715909503065514427e+3) * r +
          1.3314166789178437745e+2) * r + 3.3871328727963666080e+0);
    const double bottom =
        (((((((5.2264952788528545610e+3 * r + 2.8729085735721942674e+4) * r +
              3.9307895800092710610e+4) * r + 2.1213794301586595867e+4) * r +
            5.3941960214247511077e+3) * r + 6.8718700749205790830e+2) * r +
          4.2313330701600911252e+1) * r + 1.0);
    return q * top / bottom;
}

static double quantile_tail(double p) /* -z for P = p, 0 < p < 0.075 */
{
    double r = sqrt(-log_positive(p));
    if (r <= 5.0) {
        r -= 1.6;
        const double top =
            (((((((7.74545014278341407640e-4 * r + 2.27238449892691845833e-2) * r +
                  2.41780725177450611770e-1) * r + 1.27045825245236838258e+0) * r +
                3.64784832476320460504e+0) * r + 5.76949722146069140550e+0) * r +
              4.63033784615654529590e+0) * r + 1.42343711074968357734e+0);
        const double bottom =
            (((((((1.05075007164441684324e-9 * r + 5.47593808499534494600e-4) * r +
                  1.51986665636164571966e-2) * r + 1.48103976427480074590e-1) * r +
                6.89767334985100004550e-1) * r + 1.67638483018380384940e+0) * r +
              2.05319162663775882187e+0) * r + 1.0);
        return top / bottom;
    }
    r -= 5.0;
    const double top =
        (((((((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r +
              1.24266094738807843860e-3) * r + 2.65321895265761230930e-2) * r +
            2.96560571828504891230e-1) * r + 1.78482653991729133580e+0) * r +
          5.46378491116411436990e+0) * r + 6.65790464350110377720e+0);
    const double bottom =
        (((((((2.04426310338993978564e-15 * r + 1.42151175831644588870e-7) * r +
              1.84631831751005468180e-5) * r + 7.86869131145613259100e-4) * r +
            1.48753612908506148525e-2) * r + 1.36929880922735805310e-1) * r +
          5.99832206555887937690e-1) * r + 1.0);
    return top / bottom;
}

double mdl_ndtri(double p)
{
    if (!(p > 0.0 && p < 1.0))
        return p == 0.0 ? -INFINITY : p == 1.0 ? INFINITY : NAN;
    const double q = p - 0.5;
    if (q < -CENTRAL)
        return -quantile_tail(p);
    if (q > CENTRAL)
        return quantile_tail(1.0 - p);
    return quantile_central(q);
}

static double density(double x)
{
    const double a = x < 0.0 ? -x : x;
    const double head = (double)(int)(a * 16.0) / 16.0; /* its square is exact, the rest is small */
    return 0.3989422804014327 * exp_minus(0.5 * head * head) *
           exp_minus(0.5 * (a - head) * (a + head));
}

static double upper_tail(double x);

/* P(z < x) - 1/2: for small x the density times x + x^3/3 + x^5/(3 5) + ... (no term cancels). */
static double central_probability(double x)
{
    if (x > 1.0)
        return 0.5 - upper_tail(x);
    if (x < -1.0)
        return upper_tail(-x) - 0.5;
    double series = 1.0;
    for (int k = 37; k >= 3; k -= 2)
        series = 1.0 + series * x * x / k;
    return x * density(x) * series;
}

/* P(z > x) for x >= 0: Laplace's continued fraction, density / (x + 1/(x + 2/(x + ...))). */
static double upper_tail(double x)
{
    if (x <= 1.0)
        return 0.5 - central_probability(x);
    if (x > 37.0)
        return 0.0; /* below 1e-299 */
    double fraction = x;
    for (int k = 300; k >= 1; k--)
        fraction = x + k / fraction;
    return density(x) / fraction;
}

/* --- laws and fills ------------------------------------------------------------------------------- */

mdl_law mdl_law_uniform(double low, double high)
{
    return (mdl_law){.is_uniform = 1, .lower = low, .upper = high, .center = 0.5 * low + 0.5 * high,
                     .width = high - low};
}

mdl_law mdl_law_normal(double mean, double std)
{
    return (mdl_law){.lower = -INFINITY, .upper = INFINITY, .width = 1.0, .mean = mean, .scale = std};
}

mdl_law mdl_law_truncated_normal(double mean, double scale, double lower, double upper)
{
    const double low = central_probability(lower), high = central_probability(upper);
    mdl_law law = {.lower = lower, .upper = upper, .center = 0.5 * low + 0.5 * high, .mean = mean,
                   .scale = scale};
    law.below_lower = lower < 0.0 ? upper_tail(-lower) : 0.5 + low;
    law.above_upper = upper > 0.0 ? upper_tail(upper) : 0.5 - high;
    if (lower > 1.0) /* both bounds in one tail: the difference of the small numbers is the exact one */
        law.width = upper_tail(lower) - law.above_upper;
    else if (upper < -1.0)
        law.width = upper_tail(-upper) - law.below_lower;
    else
        law.width = high - low;
    return law;
}

#define TILE_ROWS 64
#define TILE_COLS 16

static inline double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

/* One number per draw. Normal laws go twice over the tile: the central polynomial for all, which
   compiles to vector code, then the tails (one number in seven). A tail probability is computed from its
   own end, so that it keeps its relative accuracy. */
static void draw_column(const mdl_law *law, ptrdiff_t n, const uint64_t *x, double *out)
{
    double q[TILE_ROWS];
    for (ptrdiff_t i = 0; i < n; i++)
        q[i] = centered(x[i]);
    if (law->is_uniform) {
        for (ptrdiff_t i = 0; i < n; i++)
            out[i] = clamp(law->center + law->width * q[i], law->lower, law->upper);
        return;
    }
    for (ptrdiff_t i = 0; i < n; i++)
        out[i] = quantile_central(law->center + law->width * q[i]);
    for (ptrdiff_t i = 0; i < n; i++) {
        const double p = law->center + law->width * q[i];
        if (p < -CENTRAL)
            out[i] = -quantile_tail(law->below_lower + law->width * (0.5 + q[i]));
        else if (p > CENTRAL)
            out[i] = quantile_tail(law->above_upper + law->width * (0.5 - q[i]));
    }
    for (ptrdiff_t i = 0; i < n; i++)
        out[i] = law->mean + law->scale * clamp(out[i], law->lower, law->upper);
}

/* Draws run down a column, storage mostly along a row: a tile between them keeps both contiguous. */
void mdl_random_fill(const mdl_law *law, const uint64_t key[2], ptrdiff_t fan_in, ptrdiff_t row0,
                     ptrdiff_t rows, ptrdiff_t col0, ptrdiff_t cols, void *out, int is_double,
                     ptrdiff_t row_stride, ptrdiff_t col_stride)
{
    uint64_t x[TILE_ROWS];
    double tile[TILE_COLS][TILE_ROWS];
    for (ptrdiff_t j0 = 0; j0 < cols; j0 += TILE_COLS) {
        const ptrdiff_t width = cols - j0 < TILE_COLS ? cols - j0 : TILE_COLS;
        for (ptrdiff_t i0 = 0; i0 < rows; i0 += TILE_ROWS) {
            const ptrdiff_t height = rows - i0 < TILE_ROWS ? rows - i0 : TILE_ROWS;
            for (ptrdiff_t j = 0; j < width; j++) {
                const uint64_t column = (uint64_t)(col0 + j0 + j);
                const uint64_t start = column * (uint64_t)fan_in + (uint64_t)(row0 + i0);
                mdl_random_raw(key, start, height, x);
                draw_column(law, height, x, tile[j]);
            }
            const ptrdiff_t corner = i0 * row_stride + j0 * col_stride;
            for (ptrdiff_t i = 0; i < height; i++)
                for (ptrdiff_t j = 0; j < width; j++) {
                    const ptrdiff_t at = corner + i * row_stride + j * col_stride;
                    if (is_double)
                        ((double *)out)[at] = tile[j][i];
                    else
                        ((float *)out)[at] = (float)tile[j][i];
                }
        }
    }
}

void mdl_random_permutation(const uint64_t key[2], ptrdiff_t n, int64_t *out)
{
    uint64_t x[256];
    for (ptrdiff_t i = 0; i < n; i++)
        out[i] = i;
    for (ptrdiff_t i = n - 1, draw = 0; i > 0; i--, draw++) {
        if (draw % 256 == 0)
            mdl_random_raw(key, (uint64_t)draw, i < 256 ? i : 256, x);
        const ptrdiff_t j = (ptrdiff_t)mul_high(x[draw % 256], (uint64_t)i + 1);
        const int64_t swap = out[i];
        out[i] = out[j];
        out[j] = swap;
    }
}
