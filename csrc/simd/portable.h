/* Vectors of 128 bits through the vector extension of GCC and Clang: any CPU. See simd.h.
   v_fma is a true FMA only where the baseline of the CPU has one; elsewhere (x86-64 without FMA) it is
   a multiplication and an addition, and the bits differ from those of the other levels. */

typedef ptrdiff_t vtail;
typedef real vec __attribute__((vector_size(16)));
typedef uint_r vint __attribute__((vector_size(16)));
typedef vint vmask;
typedef real vec_anywhere __attribute__((vector_size(16), aligned(sizeof(real)), may_alias));

#define VL ((ptrdiff_t)(16 / sizeof(real)))
#define VL_CONST (16 / MDL_SIZE)

#if MDL_DOUBLE
#define MDL_REAL_FMA __builtin_fma
#define MDL_REAL_SQRT __builtin_sqrt
#if defined(__FP_FAST_FMA)
#define MDL_FUSED 1
#endif
#else
#define MDL_REAL_FMA __builtin_fmaf
#define MDL_REAL_SQRT __builtin_sqrtf
#if defined(__FP_FAST_FMAF)
#define MDL_FUSED 1
#endif
#endif
#ifndef MDL_FUSED
#define MDL_FUSED 0
#endif

INLINE vec v_load(const real *p) { return *(const vec_anywhere *)p; }
INLINE void v_store(real *p, vec v) { *(vec_anywhere *)p = v; }
INLINE vec v_set(real x) { return x - (vec){0}; }
INLINE vec v_add(vec a, vec b) { return a + b; }
INLINE vec v_sub(vec a, vec b) { return a - b; }
INLINE vec v_mul(vec a, vec b) { return a * b; }
INLINE vec v_div(vec a, vec b) { return a / b; }
INLINE vec v_sqrt(vec a)
{
    for (int i = 0; i < VL_CONST; i++)
        a[i] = MDL_REAL_SQRT(a[i]);
    return a;
}
INLINE vec v_fma(vec a, vec b, vec c)
{
#if MDL_FUSED
    for (int i = 0; i < VL_CONST; i++)
        c[i] = MDL_REAL_FMA(a[i], b[i], c[i]);
    return c;
#else
    return a * b + c;
#endif
}
INLINE vec v_fnma(vec a, vec b, vec c) { return v_fma(-a, b, c); }
INLINE vint v_bits(vec a) { return (vint)a; }
INLINE vec v_from_bits(vint a) { return (vec)a; }
INLINE vint i_set(uint_r x) { return x - (vint){0}; }
INLINE vint i_add(vint a, vint b) { return a + b; }
INLINE vint i_sub(vint a, vint b) { return a - b; }
INLINE vint i_and(vint a, vint b) { return a & b; }
INLINE vint i_or(vint a, vint b) { return a | b; }
INLINE vint i_xor(vint a, vint b) { return a ^ b; }
#define i_shl(a, k) ((a) << (k))
#define i_shr(a, k) ((a) >> (k))
INLINE vmask i_eq(vint a, vint b) { return (vmask)(a == b); }
INLINE vmask v_lt(vec a, vec b) { return (vmask)(a < b); }
INLINE vmask v_le(vec a, vec b) { return (vmask)(a <= b); }
INLINE vmask v_eq(vec a, vec b) { return (vmask)(a == b); }
INLINE vmask v_isnan(vec a) { return (vmask)(a != a); }
INLINE vmask m_and(vmask a, vmask b) { return a & b; }
INLINE vmask m_or(vmask a, vmask b) { return a | b; }
INLINE vmask m_not(vmask a) { return ~a; }
INLINE int m_any(vmask a)
{
    uint_r any = 0;
    for (int i = 0; i < VL_CONST; i++)
        any |= a[i];
    return any != 0;
}
INLINE vec v_sel(vmask m, vec a, vec b) { return (vec)((m & (vint)a) | (~m & (vint)b)); }
INLINE vec v_max(vec a, vec b) { return v_sel(v_lt(b, a), a, b); }
INLINE vec v_min(vec a, vec b) { return v_sel(v_lt(a, b), a, b); }
INLINE vtail v_tail(ptrdiff_t n) { return n; }
INLINE vec v_load_tail(const real *p, vtail n)
{
    vec v = {0};
    for (ptrdiff_t i = 0; i < n; i++)
        v[i] = p[i];
    return v;
}
INLINE void v_store_tail(real *p, vec v, vtail n)
{
    for (ptrdiff_t i = 0; i < n; i++)
        p[i] = v[i];
}
INLINE vec v_zip_lo(vec a, vec b)
{
    vec r;
    for (int i = 0; i < VL_CONST; i++)
        r[i] = i % 2 ? b[i / 2] : a[i / 2];
    return r;
}
INLINE vec v_zip_hi(vec a, vec b)
{
    vec r;
    for (int i = 0; i < VL_CONST; i++)
        r[i] = i % 2 ? b[(VL_CONST + i) / 2] : a[(VL_CONST + i) / 2];
    return r;
}
