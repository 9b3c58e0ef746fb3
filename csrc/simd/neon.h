/* Vectors of 128 bits: NEON on aarch64, where FMA is part of the baseline. See simd.h. */
#include <arm_neon.h>

typedef ptrdiff_t vtail;

#if MDL_DOUBLE
#define VL 2
typedef float64x2_t vec;
typedef uint64x2_t vint;
typedef uint64x2_t vmask;

INLINE vec v_load(const real *p) { return vld1q_f64(p); }
INLINE void v_store(real *p, vec v) { vst1q_f64(p, v); }
INLINE vec v_set(real x) { return vdupq_n_f64(x); }
INLINE vec v_add(vec a, vec b) { return vaddq_f64(a, b); }
INLINE vec v_sub(vec a, vec b) { return vsubq_f64(a, b); }
INLINE vec v_mul(vec a, vec b) { return vmulq_f64(a, b); }
INLINE vec v_div(vec a, vec b) { return vdivq_f64(a, b); }
INLINE vec v_sqrt(vec a) { return vsqrtq_f64(a); }
INLINE vec v_fma(vec a, vec b, vec c) { return vfmaq_f64(c, a, b); }
INLINE vec v_fnma(vec a, vec b, vec c) { return vfmsq_f64(c, a, b); }
INLINE vmask v_lt(vec a, vec b) { return vcltq_f64(a, b); }
INLINE vmask v_le(vec a, vec b) { return vcleq_f64(a, b); }
INLINE vmask v_eq(vec a, vec b) { return vceqq_f64(a, b); }
INLINE vec v_sel(vmask m, vec a, vec b) { return vbslq_f64(m, a, b); }
INLINE vint v_bits(vec a) { return vreinterpretq_u64_f64(a); }
INLINE vec v_from_bits(vint a) { return vreinterpretq_f64_u64(a); }
INLINE vint i_set(uint_r x) { return vdupq_n_u64(x); }
INLINE vint i_add(vint a, vint b) { return vaddq_u64(a, b); }
INLINE vint i_sub(vint a, vint b) { return vsubq_u64(a, b); }
INLINE vint i_and(vint a, vint b) { return vandq_u64(a, b); }
INLINE vint i_or(vint a, vint b) { return vorrq_u64(a, b); }
INLINE vint i_xor(vint a, vint b) { return veorq_u64(a, b); }
#define i_shl(a, k) vshlq_n_u64(a, k)
#define i_shr(a, k) vshrq_n_u64(a, k)
INLINE vmask i_eq(vint a, vint b) { return vceqq_u64(a, b); }
INLINE vmask m_not(vmask a) { return veorq_u64(a, vdupq_n_u64(~(uint64_t)0)); }
INLINE int m_any(vmask a) { return (vgetq_lane_u64(a, 0) | vgetq_lane_u64(a, 1)) != 0; }
INLINE vec v_zip_lo(vec a, vec b) { return vzip1q_f64(a, b); }
INLINE vec v_zip_hi(vec a, vec b) { return vzip2q_f64(a, b); }

#else /* float */
#define VL 4
typedef float32x4_t vec;
typedef uint32x4_t vint;
typedef uint32x4_t vmask;

INLINE vec v_load(const real *p) { return vld1q_f32(p); }
INLINE void v_store(real *p, vec v) { vst1q_f32(p, v); }
INLINE vec v_set(real x) { return vdupq_n_f32(x); }
INLINE vec v_add(vec a, vec b) { return vaddq_f32(a, b); }
INLINE vec v_sub(vec a, vec b) { return vsubq_f32(a, b); }
INLINE vec v_mul(vec a, vec b) { return vmulq_f32(a, b); }
INLINE vec v_div(vec a, vec b) { return vdivq_f32(a, b); }
INLINE vec v_sqrt(vec a) { return vsqrtq_f32(a); }
INLINE vec v_fma(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); }
INLINE vec v_fnma(vec a, vec b, vec c) { return vfmsq_f32(c, a, b); }
INLINE vmask v_lt(vec a, vec b) { return vcltq_f32(a, b); }
INLINE vmask v_le(vec a, vec b) { return vcleq_f32(a, b); }
INLINE vmask v_eq(vec a, vec b) { return vceqq_f32(a, b); }
INLINE vec v_sel(vmask m, vec a, vec b) { return vbslq_f32(m, a, b); }
INLINE vint v_bits(vec a) { return vreinterpretq_u32_f32(a); }
INLINE vec v_from_bits(vint a) { return vreinterpretq_f32_u32(a); }
INLINE vint i_set(uint_r x) { return vdupq_n_u32(x); }
INLINE vint i_add(vint a, vint b) { return vaddq_u32(a, b); }
INLINE vint i_sub(vint a, vint b) { return vsubq_u32(a, b); }
INLINE vint i_and(vint a, vint b) { return vandq_u32(a, b); }
INLINE vint i_or(vint a, vint b) { return vorrq_u32(a, b); }
INLINE vint i_xor(vint a, vint b) { return veorq_u32(a, b); }
#define i_shl(a, k) vshlq_n_u32(a, k)
#define i_shr(a, k) vshrq_n_u32(a, k)
INLINE vmask i_eq(vint a, vint b) { return vceqq_u32(a, b); }
INLINE vmask m_not(vmask a) { return vmvnq_u32(a); }
INLINE int m_any(vmask a) { return vmaxvq_u32(a) != 0; }
INLINE vec v_zip_lo(vec a, vec b) { return vzip1q_f32(a, b); }
INLINE vec v_zip_hi(vec a, vec b) { return vzip2q_f32(a, b); }
#endif

INLINE vmask m_and(vmask a, vmask b) { return i_and(a, b); }
INLINE vmask m_or(vmask a, vmask b) { return i_or(a, b); }
INLINE vmask v_isnan(vec a) { return m_not(v_eq(a, a)); }
INLINE vec v_max(vec a, vec b) { return v_sel(v_lt(b, a), a, b); }
INLINE vec v_min(vec a, vec b) { return v_sel(v_lt(a, b), a, b); }
INLINE vtail v_tail(ptrdiff_t n) { return n; }
INLINE vec v_load_tail(const real *p, vtail n)
{
    real lanes[VL] = {0};
    for (ptrdiff_t i = 0; i < n; i++)
        lanes[i] = p[i];
    return v_load(lanes);
}
static __attribute__((noinline, unused)) void v_store_tail(real *p, vec v, vtail n)
{
    real lanes[VL];
    v_store(lanes, v);
    for (ptrdiff_t i = 0; i < n; i++)
        p[i] = lanes[i];
}
