/* One row of c against a b that does not fit the caches: b is read once, row after row, as it lies in
   memory, which is what makes memory fast. The sums wait in p, in the L1 cache, instead of in registers;
   each is still the chain p = fma(a, b, p) of minidl-num-1. */

INLINE void add_rows(const int rows, ptrdiff_t n, const real *a, ptrdiff_t a_step, const real *b,
                     ptrdiff_t ldb, real *p)
{
    vec av[8];
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
        av[i] = v_set(a[i * a_step]);
    ptrdiff_t j = 0;
    for (; j + VL <= n; j += VL) {
        vec sum = v_load(p + j);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++)
            sum = v_fma(av[i], v_load(b + i * ldb + j), sum);
        v_store(p + j, sum);
    }
    if (j < n) {
        const vtail tail = v_tail(n - j);
        vec sum = v_load_tail(p + j, tail);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++)
            sum = v_fma(av[i], v_load_tail(b + i * ldb + j, tail), sum);
        v_store_tail(p + j, sum, tail);
    }
}

static void chain_rows(ptrdiff_t k, ptrdiff_t n, const void *a, ptrdiff_t a_step, const void *b,
                       ptrdiff_t ldb, void *p)
{
    const real *x = a, *row = b;
    for (; k >= 8; k -= 8, x += 8 * a_step, row += 8 * ldb)
        add_rows(8, n, x, a_step, row, ldb, p);
    for (; k > 0; k--, x += a_step, row += ldb)
        add_rows(1, n, x, a_step, row, ldb, p);
}

/* c[j] = init[j] + p[j]; init may be c. */
static void add_row(ptrdiff_t n, const void *init, const void *p, void *c)
{
    const real *from = init, *sum = p;
    real *to = c;
    ptrdiff_t j = 0;
    for (; j + VL <= n; j += VL)
        v_store(to + j, v_add(v_load(from + j), v_load(sum + j)));
    if (j < n) {
        const vtail tail = v_tail(n - j);
        v_store_tail(to + j, v_add(v_load_tail(from + j, tail), v_load_tail(sum + j, tail)), tail);
    }
}
