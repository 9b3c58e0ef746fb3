/* Threads, for the Cython modules only: the leaves never see a thread. Without OpenMP a team is one. */
#ifndef MINIDL_TEAM_H
#define MINIDL_TEAM_H

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#ifdef _OPENMP
#include <omp.h>
static inline int mdl_team_size(void) { return omp_get_num_threads(); }
#else
static inline int mdl_team_size(void) { return 1; }
#endif

/* The barrier between the ops of a step. That of the OpenMP runtime of GCC spins for milliseconds
   before it sleeps, even while the thread it waits for is not running because another process has
   the core. This one spins for about as long as a barrier between running threads takes, and then
   offers its core to whoever wants it. */
#define MDL_SPINS 1000

typedef struct {
    atomic_int arrived;
    atomic_uint phase;
} mdl_barrier;

static inline void mdl_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline void mdl_wait(mdl_barrier *barrier, int n_threads)
{
    const unsigned phase = atomic_load_explicit(&barrier->phase, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&barrier->arrived, 1, memory_order_acq_rel) == n_threads - 1) {
        atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&barrier->phase, phase + 1, memory_order_release);
        return;
    }
    for (int spins = 0; atomic_load_explicit(&barrier->phase, memory_order_acquire) == phase; spins++) {
        if (spins < MDL_SPINS)
            mdl_pause();
        else
            sched_yield();
    }
}

/* Subnormal numbers cost a hundred cycles each on many CPUs. Inside a run they count as zero, on the way in
   and on the way out; the caller's state of the floating-point unit comes back after it. */
static inline uint64_t mdl_flush_subnormals(void)
{
#if defined(__x86_64__)
    const unsigned before = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before | 0x8040); /* flush to zero, denormals are zero */
    return before;
#elif defined(__aarch64__)
    uint64_t before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | (UINT64_C(1) << 24)));
    return before;
#else
    return 0;
#endif
}

static inline void mdl_restore_floats(uint64_t before)
{
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr((unsigned)before);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(before));
#else
    (void)before;
#endif
}

static inline double mdl_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
