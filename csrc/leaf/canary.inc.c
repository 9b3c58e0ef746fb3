/* What minidl-num-1 takes for granted, tested where the leaves run: the compiler does not contract a*b + c
   that the source writes as two operations, v_fma rounds once, and the thread rounds to nearest.

   With e the epsilon of the dtype, (1 + e)^2 = 1 + 2e + e^2 rounds to 1 + 2e: only a fused operation that
   subtracts 1 + 2e sees the e^2. */

static int canary(void)
{
    const real e = MDL_DOUBLE ? (real)__DBL_EPSILON__ : (real)__FLT_EPSILON__;
    volatile real a = 1 + e, square = 1 + 2 * e, half = e / 2, one = 1; /* volatile: computed here, now */
    const vec va = v_set(a), vsquare = v_set(square);
    const real scalar = a * a - square;
    real lanes[VL], fused[VL];
    int faults = 0;

    v_store(lanes, v_sub(v_mul(va, va), vsquare));
    v_store(fused, v_fma(va, va, v_neg(vsquare)));
    if (scalar == e * e || lanes[0] == e * e) /* in any rounding mode */
        faults |= MDL_CONTRACTS;
    if (MDL_FUSED && fused[0] != e * e)
        faults |= MDL_SPLITS_FMA;
    /* ties: to even with the mode that IEEE calls default, away from or towards zero with the others */
    if (one + half != 1 || -one - half != -1 || a + half != 1 + 2 * e || -a - half != -1 - 2 * e)
        faults |= MDL_ROUNDS_OTHERWISE;
    return faults;
}
