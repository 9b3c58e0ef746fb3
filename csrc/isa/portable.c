#define MDL_LEVEL MDL_PORTABLE
#define MDL_LEVEL_NAME portable
#define MDL_SIMD_HEADER "portable.h"
#include "../leaf/all.inc.c"
