/* Several vectors that go through every operation side by side.

   A chain such as an exponential is a dozen operations that wait for each other, four cycles each, while
   the machine could start two in every cycle. A CPU overlaps the chains of vectors that follow one
   another only as far as it can look ahead, which is less than one chain of the longer functions. So the
   vector functions are written for `wide`, WIDE vectors at once: one operation for all of them, then the
   next one. Lanes that nobody reads cost nothing: the compiler drops them.

   The vocabulary is that of simd.h with w_ for v_, wi_ for i_ and wm_ for m_. */
#ifndef MDL_WIDE_H
#define MDL_WIDE_H

#ifndef WIDE
#define WIDE 4
#endif
#define WIDE_LANES (WIDE * VL)

typedef struct {
    vec v[WIDE];
} wide;
typedef struct {
    vint v[WIDE];
} wint;
typedef struct {
    vmask v[WIDE];
} wmask;

#define EACH_OF_WIDE(i) _Pragma("GCC unroll 8") for (int i = 0; i < WIDE; i++)

#define WIDE_OP_1(result, name, type, op)                                                         \
    INLINE result name(type a)                                                                    \
    {                                                                                             \
        result r;                                                                                 \
        EACH_OF_WIDE(i) r.v[i] = op(a.v[i]);                                                      \
        return r;                                                                                 \
    }
#define WIDE_OP_2(result, name, type, op)                                                         \
    INLINE result name(type a, type b)                                                            \
    {                                                                                             \
        result r;                                                                                 \
        EACH_OF_WIDE(i) r.v[i] = op(a.v[i], b.v[i]);                                              \
        return r;                                                                                 \
    }
#define WIDE_OP_3(result, name, type, op)                                                         \
    INLINE result name(type a, wide b, wide c)                                                    \
    {                                                                                             \
        result r;                                                                                 \
        EACH_OF_WIDE(i) r.v[i] = op(a.v[i], b.v[i], c.v[i]);                                      \
        return r;                                                                                 \
    }

WIDE_OP_2(wide, w_add, wide, v_add)
WIDE_OP_2(wide, w_sub, wide, v_sub)
WIDE_OP_2(wide, w_mul, wide, v_mul)
WIDE_OP_2(wide, w_div, wide, v_div)
WIDE_OP_2(wide, w_max, wide, v_max)
WIDE_OP_2(wide, w_min, wide, v_min)
WIDE_OP_2(wide, w_copysign, wide, v_copysign)
WIDE_OP_1(wide, w_abs, wide, v_abs)
WIDE_OP_1(wide, w_neg, wide, v_neg)
WIDE_OP_1(wide, w_minus_abs, wide, v_minus_abs)
WIDE_OP_3(wide, w_fma, wide, v_fma)
WIDE_OP_3(wide, w_fnma, wide, v_fnma)
WIDE_OP_3(wide, w_sel, wmask, v_sel)
WIDE_OP_2(wmask, w_lt, wide, v_lt)
WIDE_OP_2(wmask, w_le, wide, v_le)
WIDE_OP_2(wmask, w_eq, wide, v_eq)
WIDE_OP_2(wmask, wm_and, wmask, m_and)
WIDE_OP_2(wmask, wm_or, wmask, m_or)
WIDE_OP_1(wmask, wm_not, wmask, m_not)
WIDE_OP_1(wint, w_bits, wide, v_bits)
WIDE_OP_1(wide, w_from_bits, wint, v_from_bits)
WIDE_OP_2(wint, wi_add, wint, i_add)
WIDE_OP_2(wint, wi_sub, wint, i_sub)
WIDE_OP_2(wint, wi_and, wint, i_and)
WIDE_OP_2(wint, wi_or, wint, i_or)
WIDE_OP_2(wint, wi_xor, wint, i_xor)
WIDE_OP_2(wmask, wi_eq, wint, i_eq)

/* Macros, because some instruction sets want the count as a literal. */
#define WIDE_SHIFT(op, a, k)                                                                      \
    ({                                                                                            \
        wint shifted = a;                                                                         \
        EACH_OF_WIDE(i) shifted.v[i] = op(shifted.v[i], k);                                       \
        shifted;                                                                                  \
    })
#define wi_shl(a, k) WIDE_SHIFT(i_shl, a, k)
#define wi_shr(a, k) WIDE_SHIFT(i_shr, a, k)

/* WIDE times the same vector. */
INLINE wide w_same(vec v)
{
    wide r;
    EACH_OF_WIDE(i) r.v[i] = v;
    return r;
}

INLINE wide w_set(real x) { return w_same(v_set(x)); }
INLINE wide w_zero(void) { return w_set(0); }

INLINE wint wi_set(uint_r x)
{
    wint r;
    EACH_OF_WIDE(i) r.v[i] = i_set(x);
    return r;
}

INLINE int wm_any(wmask a)
{
    vmask any = a.v[0];
    EACH_OF_WIDE(i) any = m_or(any, a.v[i]);
    return m_any(any);
}

INLINE wide w_load(const real *p)
{
    wide r;
    EACH_OF_WIDE(i) r.v[i] = v_load(p + i * VL);
    return r;
}

INLINE void w_store(real *p, wide a) { EACH_OF_WIDE(i) v_store(p + i * VL, a.v[i]); }

#endif
