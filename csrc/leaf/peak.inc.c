/* The roofs of the machine: how fast it multiplies and adds, and how fast it moves bytes. No network runs
   these; benchmarks compare the other leaves with them. */

/* Enough independent chains to hide the latency of the FMA on any core we know (4 cycles, up to four
   units), few enough for the register file. */
#if MDL_LEVEL == MDL_X86_V4 || MDL_LEVEL == MDL_NEON
#define PEAK_CHAINS 24 /* 32 registers */
#else
#define PEAK_CHAINS 12 /* 16 registers */
#endif

/* Chain i starts at x = i and takes so many steps x = a x + b; out[i] receives it, one lane of it. The
   chains start at different numbers and the constants come from outside, because a compiler that could
   prove two chains equal would compute only one. With |a| < 1 they run towards b / (1 - a): no
   infinities, and no denormals unless b is tiny. */
static void fma_chains(ptrdiff_t steps, double a, double b, void *out)
{
    const vec av = v_set((real)a), bv = v_set((real)b);
    vec x[PEAK_CHAINS];
#pragma GCC unroll 24
    for (int i = 0; i < PEAK_CHAINS; i++)
        x[i] = v_set((real)i);
    for (; steps > 0; steps--) {
#pragma GCC unroll 24
        for (int i = 0; i < PEAK_CHAINS; i++)
            x[i] = v_fma(av, x[i], bv);
    }
    real lanes[VL];
#pragma GCC unroll 24
    for (int i = 0; i < PEAK_CHAINS; i++) {
        v_store(lanes, x[i]);
        ((real *)out)[i] = lanes[0];
    }
}

/* out = x + s y, the triad of the STREAM benchmark. */
static void triad(ptrdiff_t n, double s, const void *x_, const void *y_, void *out_)
{
    const real *x = x_, *y = y_;
    real *out = out_;
    const vec sv = v_set((real)s);
    ptrdiff_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            v_store(out + i + j * VL, v_fma(sv, v_load(y + i + j * VL), v_load(x + i + j * VL)));
    }
    for (; i < n; i += VL) {
        const vtail tail = v_tail(n - i < VL ? n - i : VL);
        v_store_tail(out + i, v_fma(sv, v_load_tail(y + i, tail), v_load_tail(x + i, tail)), tail);
    }
}
