/* Vectors of 256 bits: x86-64-v3 (AVX2, FMA, BMI2). See simd.h for the vocabulary. */
#include <immintrin.h>

/* v_accumulate is spelt as an instruction, because the compiler, free to choose which of its three
   operands an FMA overwrites, shuffles and spills the accumulators of a tile that fills all sixteen
   registers: 80 % of the FMA peak instead of 97 %. */
#define MDL_HAS_ACCUMULATE
#define MDL_HAS_STREAM 1

/* v_sel is written out because GCC 12 makes a mask of the sign bits of _mm256_blendv_ps's mask first,
   not knowing that they are one already.

   AVX2 has no mask registers: a tail keeps its load mask and its length. Masked stores cost a dozen
   cycles on several CPUs, so a tail is stored in parts instead. */
typedef struct {
    __m256i mask;
    ptrdiff_t n;
} vtail;

#if MDL_DOUBLE
#define VL 4
typedef __m256d vec;
typedef __m256i vint;
typedef __m256d vmask;

static const int64_t tail_masks[8] = {-1, -1, -1, -1, 0, 0, 0, 0};

INLINE vec v_load(const real *p) { return _mm256_loadu_pd(p); }
INLINE void v_store(real *p, vec v) { _mm256_storeu_pd(p, v); }
INLINE void v_stream(real *p, vec v) { _mm256_stream_pd(p, v); }
INLINE vec v_load_tail(const real *p, vtail t) { return _mm256_maskload_pd(p, t.mask); }
INLINE vec v_set(real x) { return _mm256_set1_pd(x); }
INLINE vec v_add(vec a, vec b) { return _mm256_add_pd(a, b); }
INLINE vec v_sub(vec a, vec b) { return _mm256_sub_pd(a, b); }
INLINE vec v_mul(vec a, vec b) { return _mm256_mul_pd(a, b); }
INLINE vec v_div(vec a, vec b) { return _mm256_div_pd(a, b); }
INLINE vec v_sqrt(vec a) { return _mm256_sqrt_pd(a); }
INLINE vec v_fma(vec a, vec b, vec c) { return _mm256_fmadd_pd(a, b, c); }
INLINE vec v_fnma(vec a, vec b, vec c) { return _mm256_fnmadd_pd(a, b, c); }
INLINE void v_accumulate(vec *acc, vec a, vec b)
{
    __asm__("vfmadd231pd %2, %1, %0" : "+x"(*acc) : "x"(a), "x"(b));
}
INLINE vec v_max(vec a, vec b) { return _mm256_max_pd(a, b); }
INLINE vec v_min(vec a, vec b) { return _mm256_min_pd(a, b); }
INLINE vmask v_lt(vec a, vec b) { return _mm256_cmp_pd(a, b, _CMP_LT_OQ); }
INLINE vmask v_le(vec a, vec b) { return _mm256_cmp_pd(a, b, _CMP_LE_OQ); }
INLINE vmask v_eq(vec a, vec b) { return _mm256_cmp_pd(a, b, _CMP_EQ_OQ); }
INLINE vmask v_isnan(vec a) { return _mm256_cmp_pd(a, a, _CMP_UNORD_Q); }
INLINE vec v_sel(vmask m, vec a, vec b)
{
    __asm__("vblendvpd %3, %2, %1, %0" : "=x"(a) : "x"(b), "xm"(a), "x"(m));
    return a;
}
INLINE vint v_bits(vec a) { return _mm256_castpd_si256(a); }
INLINE vec v_from_bits(vint a) { return _mm256_castsi256_pd(a); }
INLINE vint i_set(uint_r x) { return _mm256_set1_epi64x((long long)x); }
INLINE vint i_add(vint a, vint b) { return _mm256_add_epi64(a, b); }
INLINE vint i_sub(vint a, vint b) { return _mm256_sub_epi64(a, b); }
#define i_shl(a, k) _mm256_slli_epi64(a, k)
#define i_shr(a, k) _mm256_srli_epi64(a, k)
INLINE vmask i_eq(vint a, vint b) { return _mm256_castsi256_pd(_mm256_cmpeq_epi64(a, b)); }
INLINE vmask m_and(vmask a, vmask b) { return _mm256_and_pd(a, b); }
INLINE vmask m_or(vmask a, vmask b) { return _mm256_or_pd(a, b); }
INLINE vmask m_not(vmask a)
{
    return _mm256_xor_pd(a, _mm256_castsi256_pd(_mm256_set1_epi64x(-1)));
}
INLINE int m_any(vmask a) { return _mm256_movemask_pd(a) != 0; }
INLINE vec v_zip_lo(vec a, vec b)
{
    return _mm256_permute2f128_pd(_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b), 0x20);
}
INLINE vec v_zip_hi(vec a, vec b)
{
    return _mm256_permute2f128_pd(_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b), 0x31);
}

#define MDL_HAS_LOAD_TRANSPOSED
INLINE void v_load_transposed(const real *p, ptrdiff_t ld, vec r[VL])
{
    vec t[VL]; /* t[i]: the halves of rows i % 2 and i % 2 + 2 that hold columns i / 2 * 2 */
#pragma GCC unroll 4
    for (int i = 0; i < VL; i++)
        t[i] = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(p + i % 2 * ld + i / 2 * 2)),
                                    _mm_loadu_pd(p + (i % 2 + 2) * ld + i / 2 * 2), 1);
#pragma GCC unroll 2
    for (int i = 0; i < VL; i += 2) {
        r[i] = _mm256_unpacklo_pd(t[i], t[i + 1]);
        r[i + 1] = _mm256_unpackhi_pd(t[i], t[i + 1]);
    }
}

#else /* float */
#define VL 8
typedef __m256 vec;
typedef __m256i vint;
typedef __m256 vmask;

static const int32_t tail_masks[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

INLINE vec v_load(const real *p) { return _mm256_loadu_ps(p); }
INLINE void v_store(real *p, vec v) { _mm256_storeu_ps(p, v); }
INLINE void v_stream(real *p, vec v) { _mm256_stream_ps(p, v); }
INLINE vec v_load_tail(const real *p, vtail t) { return _mm256_maskload_ps(p, t.mask); }
INLINE vec v_set(real x) { return _mm256_set1_ps(x); }
INLINE vec v_add(vec a, vec b) { return _mm256_add_ps(a, b); }
INLINE vec v_sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
INLINE vec v_mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
INLINE vec v_div(vec a, vec b) { return _mm256_div_ps(a, b); }
INLINE vec v_sqrt(vec a) { return _mm256_sqrt_ps(a); }
INLINE vec v_fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vec v_fnma(vec a, vec b, vec c) { return _mm256_fnmadd_ps(a, b, c); }
INLINE void v_accumulate(vec *acc, vec a, vec b)
{
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(*acc) : "x"(a), "x"(b));
}
INLINE vec v_max(vec a, vec b) { return _mm256_max_ps(a, b); }
INLINE vec v_min(vec a, vec b) { return _mm256_min_ps(a, b); }
INLINE vmask v_lt(vec a, vec b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
INLINE vmask v_le(vec a, vec b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
INLINE vmask v_eq(vec a, vec b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
INLINE vmask v_isnan(vec a) { return _mm256_cmp_ps(a, a, _CMP_UNORD_Q); }
INLINE vec v_sel(vmask m, vec a, vec b)
{
    __asm__("vblendvps %3, %2, %1, %0" : "=x"(a) : "x"(b), "xm"(a), "x"(m));
    return a;
}
INLINE vint v_bits(vec a) { return _mm256_castps_si256(a); }
INLINE vec v_from_bits(vint a) { return _mm256_castsi256_ps(a); }
INLINE vint i_set(uint_r x) { return _mm256_set1_epi32((int)x); }
INLINE vint i_add(vint a, vint b) { return _mm256_add_epi32(a, b); }
INLINE vint i_sub(vint a, vint b) { return _mm256_sub_epi32(a, b); }
#define i_shl(a, k) _mm256_slli_epi32(a, k)
#define i_shr(a, k) _mm256_srli_epi32(a, k)
INLINE vmask i_eq(vint a, vint b) { return _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b)); }
INLINE vmask m_and(vmask a, vmask b) { return _mm256_and_ps(a, b); }
INLINE vmask m_or(vmask a, vmask b) { return _mm256_or_ps(a, b); }
INLINE vmask m_not(vmask a)
{
    return _mm256_xor_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(-1)));
}
INLINE int m_any(vmask a) { return _mm256_movemask_ps(a) != 0; }
INLINE vec v_zip_lo(vec a, vec b)
{
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x20);
}
INLINE vec v_zip_hi(vec a, vec b)
{
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x31);
}
#define MDL_HAS_LOAD_TRANSPOSED
INLINE void v_load_transposed(const real *p, ptrdiff_t ld, vec r[VL])
{
    vec t[VL]; /* t[i]: the halves of rows i % 4 and i % 4 + 4 that hold columns i / 4 * 4 */
    const real *upper = p + 4 * ld;
    const real *at[4] = {p, upper, p + 3 * ld, upper + 3 * ld};
#pragma GCC unroll 8
    for (int i = 0; i < VL; i++) {
        const ptrdiff_t offset = i % 4 % 3 * ld + i / 4 * 4;
        const real *lo = at[i % 4 / 3 * 2] + offset, *hi = at[i % 4 / 3 * 2 + 1] + offset;
        t[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(lo)), _mm_loadu_ps(hi), 1);
    }
#pragma GCC unroll 2
    for (int i = 0; i < VL; i += 4) {
        const vec a = _mm256_unpacklo_ps(t[i], t[i + 1]), b = _mm256_unpackhi_ps(t[i], t[i + 1]);
        const vec c = _mm256_unpacklo_ps(t[i + 2], t[i + 3]), d = _mm256_unpackhi_ps(t[i + 2], t[i + 3]);
        r[i] = _mm256_shuffle_ps(a, c, 0x44);
        r[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
        r[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
        r[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
}
#endif

INLINE vtail v_tail(ptrdiff_t n)
{
    vtail t = {_mm256_loadu_si256((const __m256i *)(tail_masks + VL - n)), n};
    return t;
}
/* A half, a quarter and an eighth of the vector, as the bits of n say. */
INLINE void v_store_tail(real *p, vec v, vtail t)
{
#if MDL_DOUBLE
    __m128d part = _mm256_castpd256_pd128(v);
    if (t.n & 2) {
        _mm_storeu_pd(p, part);
        part = _mm256_extractf128_pd(v, 1);
        p += 2;
    }
    if (t.n & 1)
        _mm_store_sd(p, part);
#else
    __m128 part = _mm256_castps256_ps128(v);
    if (t.n & 4) {
        _mm_storeu_ps(p, part);
        part = _mm256_extractf128_ps(v, 1);
        p += 4;
    }
    if (t.n & 2) {
        _mm_storel_pi((__m64 *)p, part);
        part = _mm_movehl_ps(part, part);
        p += 2;
    }
    if (t.n & 1)
        _mm_store_ss(p, part);
#endif
}
INLINE vint i_and(vint a, vint b) { return _mm256_and_si256(a, b); }
INLINE vint i_or(vint a, vint b) { return _mm256_or_si256(a, b); }
INLINE vint i_xor(vint a, vint b) { return _mm256_xor_si256(a, b); }
