/* Stands in for the compiler's <immintrin.h>: AVX-512 by SIMDe, on a CPU with AVX2 and FMA.

   So csrc/simd/x86_v4.h can be run, lane by lane, where no AVX-512 is. SIMDe lacks eight masked
   loads and stores; here they are. */
#ifndef MDL_SIMDE_IMMINTRIN_H
#define MDL_SIMDE_IMMINTRIN_H

#include_next <immintrin.h>
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <string.h>

#define MASKED(name, suffix, element, vector, mask, lanes)                                  \
    static inline vector mdl_##name##_maskz_loadu_##suffix(mask m, const void *from)        \
    {                                                                                       \
        element all[lanes] = {0};                                                           \
        for (int i = 0; i < (lanes); i++)                                                   \
            if (m >> i & 1)                                                                 \
                memcpy(&all[i], (const element *)from + i, sizeof all[i]);                  \
        vector v;                                                                           \
        memcpy(&v, all, sizeof v);                                                          \
        return v;                                                                           \
    }                                                                                       \
    static inline void mdl_##name##_mask_storeu_##suffix(void *to, mask m, vector v)        \
    {                                                                                       \
        element all[lanes];                                                                 \
        memcpy(all, &v, sizeof v);                                                          \
        for (int i = 0; i < (lanes); i++)                                                   \
            if (m >> i & 1)                                                                 \
                memcpy((element *)to + i, &all[i], sizeof all[i]);                          \
    }
MASKED(mm512, ps, float, __m512, __mmask16, 16)
MASKED(mm512, pd, double, __m512d, __mmask8, 8)
MASKED(mm256, ps, float, __m256, __mmask8, 8)
MASKED(mm256, pd, double, __m256d, __mmask8, 4)
#undef MASKED

#undef _mm512_maskz_loadu_ps
#undef _mm512_maskz_loadu_pd
#undef _mm512_mask_storeu_ps
#undef _mm512_mask_storeu_pd
#undef _mm256_maskz_loadu_ps
#undef _mm256_maskz_loadu_pd
#undef _mm256_mask_storeu_ps
#undef _mm256_mask_storeu_pd
#define _mm512_maskz_loadu_ps(m, from) mdl_mm512_maskz_loadu_ps(m, from)
#define _mm512_maskz_loadu_pd(m, from) mdl_mm512_maskz_loadu_pd(m, from)
#define _mm512_mask_storeu_ps(to, m, v) mdl_mm512_mask_storeu_ps(to, m, v)
#define _mm512_mask_storeu_pd(to, m, v) mdl_mm512_mask_storeu_pd(to, m, v)
#define _mm256_maskz_loadu_ps(m, from) mdl_mm256_maskz_loadu_ps(m, from)
#define _mm256_maskz_loadu_pd(m, from) mdl_mm256_maskz_loadu_pd(m, from)
#define _mm256_mask_storeu_ps(to, m, v) mdl_mm256_mask_storeu_ps(to, m, v)
#define _mm256_mask_storeu_pd(to, m, v) mdl_mm256_mask_storeu_pd(to, m, v)

#endif
