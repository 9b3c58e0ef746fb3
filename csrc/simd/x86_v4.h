/* Vectors of 512 bits: x86-64-v4 (AVX-512 F, BW, CD, DQ, VL). See simd.h for the vocabulary. */
#include <immintrin.h>

/* An instruction, for the reason that x86_v3.h gives: without it the compiler copies the accumulators of some
   tiles around. Both only where there are such instructions: a test emulates this level. */
#ifdef __AVX512F__
#define MDL_HAS_ACCUMULATE
#define MDL_HAS_STREAM 1
#endif

#if MDL_DOUBLE
#define VL 8
typedef __m512d vec;
typedef __m512i vint;
typedef __mmask8 vmask;
typedef __mmask8 vtail;

INLINE vec v_load(const real *p) { return _mm512_loadu_pd(p); }
INLINE void v_store(real *p, vec v) { _mm512_storeu_pd(p, v); }
#ifdef MDL_HAS_STREAM
INLINE void v_stream(real *p, vec v) { _mm512_stream_pd(p, v); }
#endif
INLINE vtail v_tail(ptrdiff_t n) { return (vtail)((1u << n) - 1u); }
INLINE vec v_load_tail(const real *p, vtail t) { return _mm512_maskz_loadu_pd(t, p); }
INLINE void v_store_tail(real *p, vec v, vtail t) { _mm512_mask_storeu_pd(p, t, v); }
INLINE vec v_set(real x) { return _mm512_set1_pd(x); }
INLINE vec v_add(vec a, vec b) { return _mm512_add_pd(a, b); }
INLINE vec v_sub(vec a, vec b) { return _mm512_sub_pd(a, b); }
INLINE vec v_mul(vec a, vec b) { return _mm512_mul_pd(a, b); }
INLINE vec v_div(vec a, vec b) { return _mm512_div_pd(a, b); }
INLINE vec v_sqrt(vec a) { return _mm512_sqrt_pd(a); }
INLINE vec v_fma(vec a, vec b, vec c) { return _mm512_fmadd_pd(a, b, c); }
INLINE vec v_fnma(vec a, vec b, vec c) { return _mm512_fnmadd_pd(a, b, c); }
#ifdef MDL_HAS_ACCUMULATE
INLINE void v_accumulate(vec *acc, vec a, vec b)
{
    __asm__("vfmadd231pd %2, %1, %0" : "+v"(*acc) : "v"(a), "v"(b));
}
#endif
#define MDL_HALF_LANES (VL / 2)
typedef __m256d hvec;
INLINE hvec h_zero(void) { return _mm256_setzero_pd(); }
INLINE hvec h_set(real x) { return _mm256_set1_pd(x); }
INLINE hvec h_low(vec a) { return _mm512_castpd512_pd256(a); }
INLINE hvec h_load_tail(const real *p, vtail t) { return _mm256_maskz_loadu_pd(t, p); }
INLINE void h_store_tail(real *p, hvec v, vtail t) { _mm256_mask_storeu_pd(p, t, v); }
INLINE hvec h_add(hvec a, hvec b) { return _mm256_add_pd(a, b); }
INLINE void h_accumulate(hvec *c, hvec a, hvec b) { *c = _mm256_fmadd_pd(a, b, *c); }
INLINE vec v_max(vec a, vec b) { return _mm512_max_pd(a, b); }
INLINE vec v_min(vec a, vec b) { return _mm512_min_pd(a, b); }
INLINE vmask v_lt(vec a, vec b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
INLINE vmask v_le(vec a, vec b) { return _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ); }
INLINE vmask v_eq(vec a, vec b) { return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ); }
INLINE vmask v_isnan(vec a) { return _mm512_cmp_pd_mask(a, a, _CMP_UNORD_Q); }
INLINE vec v_sel(vmask m, vec a, vec b) { return _mm512_mask_blend_pd(m, b, a); }
INLINE vint v_bits(vec a) { return _mm512_castpd_si512(a); }
INLINE vec v_from_bits(vint a) { return _mm512_castsi512_pd(a); }
INLINE vint i_set(uint_r x) { return _mm512_set1_epi64((long long)x); }
INLINE vint i_add(vint a, vint b) { return _mm512_add_epi64(a, b); }
INLINE vint i_sub(vint a, vint b) { return _mm512_sub_epi64(a, b); }
#define i_shl(a, k) _mm512_slli_epi64(a, k)
#define i_shr(a, k) _mm512_srli_epi64(a, k)
INLINE vmask i_eq(vint a, vint b) { return _mm512_cmpeq_epi64_mask(a, b); }
INLINE vec v_zip_lo(vec a, vec b)
{
    return _mm512_permutex2var_pd(a, _mm512_set_epi64(11, 3, 10, 2, 9, 1, 8, 0), b);
}
INLINE vec v_zip_hi(vec a, vec b)
{
    return _mm512_permutex2var_pd(a, _mm512_set_epi64(15, 7, 14, 6, 13, 5, 12, 4), b);
}
/* A masked broadcast from memory is one operation to issue on an Intel core, an insertion two. */
#define MDL_HAS_LOAD_TRANSPOSED
INLINE void v_load_transposed(const real *p, ptrdiff_t ld, vec r[VL])
{
#pragma GCC unroll 4
    for (int i = 0; i < VL; i += 2) { /* columns i and i + 1 of the rows 0 2 4 6, and of 1 3 5 7 */
        vec t[2];
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            const real *from = p + j * ld + i;
            t[j] = _mm512_castpd128_pd512(_mm_loadu_pd(from));
            t[j] = _mm512_mask_broadcast_f64x2(t[j], 0x0c, _mm_loadu_pd(from + 2 * ld));
            t[j] = _mm512_mask_broadcast_f64x2(t[j], 0x30, _mm_loadu_pd(from + 4 * ld));
            t[j] = _mm512_mask_broadcast_f64x2(t[j], 0xc0, _mm_loadu_pd(from + 6 * ld));
        }
        r[i] = _mm512_unpacklo_pd(t[0], t[1]);
        r[i + 1] = _mm512_unpackhi_pd(t[0], t[1]);
    }
}

#else /* float */
#define VL 16
typedef __m512 vec;
typedef __m512i vint;
typedef __mmask16 vmask;
typedef __mmask16 vtail;

INLINE vec v_load(const real *p) { return _mm512_loadu_ps(p); }
INLINE void v_store(real *p, vec v) { _mm512_storeu_ps(p, v); }
#ifdef MDL_HAS_STREAM
INLINE void v_stream(real *p, vec v) { _mm512_stream_ps(p, v); }
#endif
INLINE vtail v_tail(ptrdiff_t n) { return (vtail)((1u << n) - 1u); }
INLINE vec v_load_tail(const real *p, vtail t) { return _mm512_maskz_loadu_ps(t, p); }
INLINE void v_store_tail(real *p, vec v, vtail t) { _mm512_mask_storeu_ps(p, t, v); }
INLINE vec v_set(real x) { return _mm512_set1_ps(x); }
INLINE vec v_add(vec a, vec b) { return _mm512_add_ps(a, b); }
INLINE vec v_sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
INLINE vec v_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
INLINE vec v_div(vec a, vec b) { return _mm512_div_ps(a, b); }
INLINE vec v_sqrt(vec a) { return _mm512_sqrt_ps(a); }
INLINE vec v_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vec v_fnma(vec a, vec b, vec c) { return _mm512_fnmadd_ps(a, b, c); }
#ifdef MDL_HAS_ACCUMULATE
INLINE void v_accumulate(vec *acc, vec a, vec b)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(*acc) : "v"(a), "v"(b));
}
#endif
#define MDL_HALF_LANES (VL / 2)
typedef __m256 hvec;
INLINE hvec h_zero(void) { return _mm256_setzero_ps(); }
INLINE hvec h_set(real x) { return _mm256_set1_ps(x); }
INLINE hvec h_low(vec a) { return _mm512_castps512_ps256(a); }
INLINE hvec h_load_tail(const real *p, vtail t) { return _mm256_maskz_loadu_ps((__mmask8)t, p); }
INLINE void h_store_tail(real *p, hvec v, vtail t) { _mm256_mask_storeu_ps(p, (__mmask8)t, v); }
INLINE hvec h_add(hvec a, hvec b) { return _mm256_add_ps(a, b); }
INLINE void h_accumulate(hvec *c, hvec a, hvec b) { *c = _mm256_fmadd_ps(a, b, *c); }
INLINE vec v_max(vec a, vec b) { return _mm512_max_ps(a, b); }
INLINE vec v_min(vec a, vec b) { return _mm512_min_ps(a, b); }
INLINE vmask v_lt(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
INLINE vmask v_le(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
INLINE vmask v_eq(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
INLINE vmask v_isnan(vec a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
INLINE vec v_sel(vmask m, vec a, vec b) { return _mm512_mask_blend_ps(m, b, a); }
INLINE vint v_bits(vec a) { return _mm512_castps_si512(a); }
INLINE vec v_from_bits(vint a) { return _mm512_castsi512_ps(a); }
INLINE vint i_set(uint_r x) { return _mm512_set1_epi32((int)x); }
INLINE vint i_add(vint a, vint b) { return _mm512_add_epi32(a, b); }
INLINE vint i_sub(vint a, vint b) { return _mm512_sub_epi32(a, b); }
#define i_shl(a, k) _mm512_slli_epi32(a, k)
#define i_shr(a, k) _mm512_srli_epi32(a, k)
INLINE vmask i_eq(vint a, vint b) { return _mm512_cmpeq_epi32_mask(a, b); }
INLINE vec v_zip_lo(vec a, vec b)
{
    return _mm512_permutex2var_ps(
        a, _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0), b);
}
INLINE vec v_zip_hi(vec a, vec b)
{
    return _mm512_permutex2var_ps(
        a, _mm512_set_epi32(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8), b);
}
#define MDL_HAS_LOAD_TRANSPOSED
INLINE void v_load_transposed(const real *p, ptrdiff_t ld, vec r[VL])
{
#pragma GCC unroll 4
    for (int i = 0; i < VL; i += 4) { /* columns i to i + 3 of the rows j, j + 4, j + 8, j + 12 */
        vec t[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            const real *from = p + j * ld + i;
            t[j] = _mm512_castps128_ps512(_mm_loadu_ps(from));
            t[j] = _mm512_mask_broadcast_f32x4(t[j], 0x00f0, _mm_loadu_ps(from + 4 * ld));
            t[j] = _mm512_mask_broadcast_f32x4(t[j], 0x0f00, _mm_loadu_ps(from + 8 * ld));
            t[j] = _mm512_mask_broadcast_f32x4(t[j], 0xf000, _mm_loadu_ps(from + 12 * ld));
        }
        const vec a = _mm512_unpacklo_ps(t[0], t[1]), b = _mm512_unpackhi_ps(t[0], t[1]);
        const vec c = _mm512_unpacklo_ps(t[2], t[3]), d = _mm512_unpackhi_ps(t[2], t[3]);
        r[i] = _mm512_shuffle_ps(a, c, 0x44);
        r[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
        r[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
        r[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
    }
}
#endif

INLINE vint i_and(vint a, vint b) { return _mm512_and_si512(a, b); }
INLINE vint i_or(vint a, vint b) { return _mm512_or_si512(a, b); }
INLINE vint i_xor(vint a, vint b) { return _mm512_xor_si512(a, b); }
INLINE vmask m_and(vmask a, vmask b) { return (vmask)(a & b); }
INLINE vmask m_or(vmask a, vmask b) { return (vmask)(a | b); }
INLINE vmask m_not(vmask a) { return (vmask)~a; }
INLINE int m_any(vmask a) { return a != 0; }
