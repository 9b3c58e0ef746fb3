/* The vocabulary in which every leaf is written: one vector type, about fifty inline operations.

   A leaf file is compiled once per (instruction set level, dtype). The level picks one of the four
   headers below; MDL_DOUBLE picks the dtype. The names never change:

     real           float or double                  uint_r   unsigned integer of the same width
     vec            VL reals                         vint     VL such integers
     vmask          VL truth values                  vtail    "the first n lanes", 0 <= n <= VL

     v_load v_store v_set v_load_tail (missing lanes are +0) v_store_tail (fewer than VL lanes)
     v_stream: v_store past the caches, to an address that is a multiple of the vector's size;
               mdl_stream_end() after the last one
     v_add v_sub v_mul v_div v_sqrt                  each correctly rounded
     v_fma(a,b,c) = a*b + c   v_fnma(a,b,c) = c - a*b      one rounding
     v_accumulate(&c,a,b): c = a*b + c in the register of c
     v_max(a,b) = a > b ? a : b   v_min(a,b) = a < b ? a : b     so a NaN in a yields b
     v_lt v_le v_eq (false on NaN) v_isnan   v_sel(mask, a, b) = mask ? a : b
     m_and m_or m_not m_any
     v_bits v_from_bits (reinterpret)   i_set i_add i_sub i_and i_or i_xor i_shl i_shr (logical) i_eq
     v_zip_lo v_zip_hi        interleave the low or high halves: a0 b0 a1 b1 ...
     v_abs v_neg v_minus_abs v_copysign
     hvec     a vector of MDL_HALF_LANES reals, where it costs less than a vec (else MDL_HALF_LANES is 0)
     h_zero h_set h_low (of a vec) h_load_tail h_store_tail h_add h_accumulate

   Every operation is exact or correctly rounded, so a fixed sequence of them gives the same bits on
   every level; only the width differs. */
#ifndef MDL_SIMD_H
#define MDL_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline, unused))

#if MDL_DOUBLE
typedef double real;
typedef uint64_t uint_r;
#define MDL_SIZE 8
#define REAL_MANTISSA 52
#define REAL_BIAS 1023
#define REAL_SIGN ((uint_r)1 << 63)
#define REAL_C(x) x /* a literal in the dtype of this compilation */
#else
typedef float real;
typedef uint32_t uint_r;
#define MDL_SIZE 4
#define REAL_MANTISSA 23
#define REAL_BIAS 127
#define REAL_SIGN ((uint_r)1 << 31)
#define REAL_C(x) x##f
#endif

#include MDL_SIMD_HEADER

#ifndef MDL_FUSED
#define MDL_FUSED 1
#endif

#ifndef MDL_HAS_ACCUMULATE
INLINE void v_accumulate(vec *c, vec a, vec b) { *c = v_fma(a, b, *c); }
#endif

/* The reductions of minidl-num-1 run over one group of 64 bytes of virtual lanes: 16 floats or
   8 doubles, held in GROUP vectors whatever the width of the machine. */
#define GROUP_LANES (64 / MDL_SIZE)
#define GROUP ((int)(GROUP_LANES / VL))

INLINE vec v_zero(void) { return v_set((real)0); }

#ifndef MDL_HAS_STREAM
#define MDL_HAS_STREAM 0
INLINE void v_stream(real *p, vec v) { v_store(p, v); }
#endif

#ifndef MDL_HALF_LANES /* no shorter vectors that would cost less */
#define MDL_HALF_LANES 0
typedef vec hvec;
INLINE hvec h_zero(void) { return v_zero(); }
INLINE hvec h_set(real x) { return v_set(x); }
INLINE hvec h_low(vec a) { return a; }
INLINE hvec h_load_tail(const real *p, vtail t) { return v_load_tail(p, t); }
INLINE void h_store_tail(real *p, hvec v, vtail t) { v_store_tail(p, v, t); }
INLINE hvec h_add(hvec a, hvec b) { return v_add(a, b); }
INLINE void h_accumulate(hvec *c, hvec a, hvec b) { v_accumulate(c, a, b); }
#endif

INLINE vec v_abs(vec a) { return v_from_bits(i_and(v_bits(a), i_set((uint_r)~REAL_SIGN))); }
INLINE vec v_neg(vec a) { return v_from_bits(i_xor(v_bits(a), i_set(REAL_SIGN))); }
INLINE vec v_minus_abs(vec a) { return v_from_bits(i_or(v_bits(a), i_set(REAL_SIGN))); }
INLINE vec v_copysign(vec magnitude, vec sign)
{
    return v_from_bits(i_or(i_and(v_bits(magnitude), i_set((uint_r)~REAL_SIGN)),
                            i_and(v_bits(sign), i_set(REAL_SIGN))));
}

#endif
