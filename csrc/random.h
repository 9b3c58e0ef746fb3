/* Random numbers: Philox4x64-10, element-addressable, one 64-bit draw per number.

   Every function computes with integers and with + - * / sqrt of IEEE doubles only, so it gives the
   same bits on every machine (compiled without contraction of a*b+c). Draw i of a key is

       word i % 4 of philox(key, counter = i / 4 + 1),

   the order of numpy.random.Philox(key=key).random_raw(). A draw x stands for the probability
   u = ((x >> 11) + 0.5) 2^-53, which lies strictly between 0 and 1; a number with the quantile function
   F^-1 is F^-1(u), computed in double and rounded once to the type of the output.

   No function allocates, keeps state or fails; callers check arguments. */
#ifndef MINIDL_RANDOM_H
#define MINIDL_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* out[i] = draw start + i of the key, for 0 <= i < n. */
void mdl_random_raw(const uint64_t key[2], uint64_t start, ptrdiff_t n, uint64_t *out);

/* The quantile function of the standard normal law: relative error below 1e-15. */
double mdl_ndtri(double p);

/* A law to draw from. The fields are private to random.c; make one with the functions below. */
typedef struct {
    int is_uniform;
    double lower, upper;         /* bounds: of the number if uniform, of the standard normal z if not */
    double center, width;        /* P(z) - 1/2 = center + width (u - 1/2); of the number if uniform */
    double below_lower, above_upper; /* the probability that the truncation removes on either side */
    double mean, scale;
} mdl_law;

/* Uniform on [low, high]; low <= high, high - low finite. */
mdl_law mdl_law_uniform(double low, double high);

/* Normal; std >= 0. */
mdl_law mdl_law_normal(double mean, double std);

/* mean + scale * z, where z is standard normal on condition that lower <= z <= upper. The bounds may be
   infinite, and far in a tail as long as the field `width` of the result, P(lower <= z <= upper), is > 0. */
mdl_law mdl_law_truncated_normal(double mean, double scale, double lower, double upper);

/* Fills the block of rows row0 .. row0 + rows - 1 and columns col0 .. col0 + cols - 1 of a weight with
   fan_in rows. The weight from input i to output j is draw j * fan_in + i of the key whatever the storage;
   out is the address of element (row0, col0), strides count elements; nothing else is written. So parts
   may be filled apart, by several threads. A vector is one column: its element i is draw i. */
void mdl_random_fill(const mdl_law *law, const uint64_t key[2], ptrdiff_t fan_in, ptrdiff_t row0,
                     ptrdiff_t rows, ptrdiff_t col0, ptrdiff_t cols, void *out, int is_double,
                     ptrdiff_t row_stride, ptrdiff_t col_stride);

/* A permutation of 0 .. n-1 by Fisher and Yates: for i = n-1 down to 1, element i is swapped with element
   floor(x (i+1) / 2^64), x being draw n-1-i. Without a rejection step (so one draw per step, always) an
   index is up to (i+1) / 2^64 more likely than another: no experiment can see that. */
void mdl_random_permutation(const uint64_t key[2], ptrdiff_t n, int64_t *out);

#endif
