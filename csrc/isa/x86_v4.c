#if defined(__x86_64__)
#define MDL_LEVEL MDL_X86_V4
#define MDL_LEVEL_NAME x86_v4
#define MDL_SIMD_HEADER "x86_v4.h"
#include "../leaf/all.inc.c"
#endif
