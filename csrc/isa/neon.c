#if defined(__aarch64__)
#define MDL_LEVEL MDL_NEON
#define MDL_LEVEL_NAME neon
#define MDL_SIMD_HEADER "neon.h"
#include "../leaf/all.inc.c"
#endif
