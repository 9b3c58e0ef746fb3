#if defined(__x86_64__)
#define MDL_LEVEL MDL_X86_V3
#define MDL_LEVEL_NAME x86_v3
#define MDL_SIMD_HEADER "x86_v3.h"
#include "../leaf/all.inc.c"
#endif
