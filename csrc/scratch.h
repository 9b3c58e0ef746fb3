/* Scratch memory for the Cython modules. The leaves are handed theirs. */
#ifndef MINIDL_SCRATCH_H
#define MINIDL_SCRATCH_H

#include <stdlib.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#define MDL_HUGE_PAGE ((size_t)2 * 1024 * 1024)

/* So many huge pages, or NULL; free() gives them back. Packed panels and blocks together touch more pages
   of 4 KB than the first-level translation buffer of a CPU holds. */
static inline void *mdl_huge_pages(size_t pages)
{
    void *memory = aligned_alloc(MDL_HUGE_PAGE, pages * MDL_HUGE_PAGE);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (memory)
        madvise(memory, pages * MDL_HUGE_PAGE, MADV_HUGEPAGE); /* a wish; without it all works as well */
#endif
    return memory;
}

#endif
