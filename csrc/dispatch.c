/* CPU detection and the list of leaf tables. Compiled for the baseline of the platform. */
#include "minidl.h"

#if defined(__x86_64__)
#define HAVE_X86 1
#define HAVE_NEON 0
#elif defined(__aarch64__)
#define HAVE_X86 0
#define HAVE_NEON 1
#else
#define HAVE_X86 0
#define HAVE_NEON 0
#endif

extern const mdl_leaves mdl_leaves_portable_f32, mdl_leaves_portable_f64;
#if HAVE_X86
extern const mdl_leaves mdl_leaves_x86_v3_f32, mdl_leaves_x86_v3_f64;
extern const mdl_leaves mdl_leaves_x86_v4_f32, mdl_leaves_x86_v4_f64;
#endif
#if HAVE_NEON
extern const mdl_leaves mdl_leaves_neon_f32, mdl_leaves_neon_f64;
#endif

#define NAME(name) #name,
#define ACT_NAME(name, from_output, params) #name,
#define ACT_SAVES(name, from_output, params) from_output,
#define ACT_PARAMS(name, from_output, params) params,

const char *const mdl_level_names[MDL_N_LEVELS] = {"portable", "neon", "x86-64-v3", "x86-64-v4"};
const char *const mdl_vmath_names[MDL_N_VMATH] = {MDL_VMATH(NAME)};
const char *const mdl_act_names[MDL_N_ACT] = {MDL_ACTIVATIONS(ACT_NAME)};
const int mdl_act_saves_output[MDL_N_ACT] = {MDL_ACTIVATIONS(ACT_SAVES)};
const int mdl_act_params[MDL_N_ACT] = {MDL_ACTIVATIONS(ACT_PARAMS)};
const char *const mdl_loss_names[MDL_N_LOSS] = {MDL_LOSSES(NAME)};

/* The features tested here are exactly those that setup.py compiles each level with. The compiler's
   run-time library also checks that the operating system saves the wide registers. */
static int cpu_has(int level)
{
    switch (level) {
    case MDL_PORTABLE:
        return 1;
#if HAVE_NEON
    case MDL_NEON:
        return 1;
#endif
#if HAVE_X86
    case MDL_X86_V3:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
               __builtin_cpu_supports("bmi2");
    case MDL_X86_V4:
        return cpu_has(MDL_X86_V3) && __builtin_cpu_supports("avx512f") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq");
#endif
    default:
        return 0;
    }
}

const mdl_leaves *mdl_table(int level, int is_double)
{
#if HAVE_X86
    __builtin_cpu_init();
#endif
    if (!cpu_has(level))
        return NULL;
    switch (level) {
    case MDL_PORTABLE:
        return is_double ? &mdl_leaves_portable_f64 : &mdl_leaves_portable_f32;
#if HAVE_NEON
    case MDL_NEON:
        return is_double ? &mdl_leaves_neon_f64 : &mdl_leaves_neon_f32;
#endif
#if HAVE_X86
    case MDL_X86_V3:
        return is_double ? &mdl_leaves_x86_v3_f64 : &mdl_leaves_x86_v3_f32;
    case MDL_X86_V4:
        return is_double ? &mdl_leaves_x86_v4_f64 : &mdl_leaves_x86_v4_f32;
#endif
    default:
        return NULL;
    }
}

int mdl_best_level(void)
{
    int level = MDL_N_LEVELS - 1;
    while (level > MDL_PORTABLE && mdl_table(level, 0) == NULL)
        level--;
    return level;
}
