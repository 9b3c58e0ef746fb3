/* What the CPU is, where it does not suffice to know what it can do. */
#ifndef MDL_CPU_H
#define MDL_CPU_H

#if defined(__x86_64__)
#include <cpuid.h>
#endif

/* 1 on an AMD CPU of family 19h, as Zen 4 is: it takes a vector of 512 bits as two halves, and one that
   crosses the end of a cache line costs it no more than another. */
static inline int mdl_halves_vectors(void)
{
#if defined(__x86_64__)
    unsigned eax, ebx, ecx, edx;
    if (__get_cpuid(0, &eax, &ebx, &ecx, &edx) && ebx == signature_AMD_ebx && __get_cpuid(1, &eax, &ebx, &ecx, &edx))
        return (eax >> 8 & 0xf) + (eax >> 20 & 0xff) == 0x19;
#endif
    return 0;
}

#endif
