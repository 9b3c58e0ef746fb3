/* The update of SGD, in the definition of PyTorch:

       g = grad + decay * w
       v = g on the first step, else momentum * v + (1 - dampening) * g
       d = v, with Nesterov g + momentum * v, without momentum g
       w = w - lr * d

   each sum of a product one FMA. An element whose new w or v is not finite keeps its old ones, so that
   one bad batch does not ruin the parameters, and is reported. */

/* Constants of one call, rounded once to the dtype. */
typedef struct {
    vec lr, momentum, gain, decay; /* gain: 1 - dampening */
    int nesterov, first_step;
} sgd_constants;

/* New w and v of one vector; returns the lanes whose values are finite. */
INLINE vmask sgd_vector(const int momentum, const int decay, vec *w, vec *v, vec g,
                        const sgd_constants *k)
{
    vec new_v = v_zero(), d = g;
    if (decay) /* without decay, 0 * w + g could still be NaN */
        d = g = v_fma(k->decay, *w, g);
    if (momentum) {
        new_v = k->first_step ? g : v_fma(k->momentum, *v, v_mul(k->gain, g));
        d = k->nesterov ? v_fma(k->momentum, new_v, g) : new_v;
    }
    const vec new_w = v_fnma(k->lr, d, *w);
    const vmask good = v_lt(v_abs(new_w), v_set(REAL_INF)); /* v not finite makes w not finite */
    if (momentum)
        *v = v_sel(good, new_v, *v);
    *w = v_sel(good, new_w, *w);
    return good;
}

/* All cores of a team have read the parameters, and a store that has to ask for a line waits, one line after the
   other. So the core either asks for each line so many elements before it writes it; or it streams: lines go to
   memory and out of all caches, and nobody waits. */
#define OWN_AHEAD (1024 / MDL_SIZE)

INLINE int sgd_loop(const int stream, const int momentum, const int decay, ptrdiff_t n, real *param,
                    real *velocity, const real *grad, const sgd_constants *k)
{
    vmask good = v_eq(v_zero(), v_zero());
    ptrdiff_t i = 0;
    vec w, v = v_zero();
    for (; i + VL <= n; i += VL) {
        if (!stream)
            __builtin_prefetch(param + i + OWN_AHEAD, 1);
        w = v_load(param + i);
        if (momentum)
            v = v_load(velocity + i);
        good = m_and(good, sgd_vector(momentum, decay, &w, &v, v_load(grad + i), k));
        if (stream)
            v_stream(param + i, w);
        else
            v_store(param + i, w);
        if (momentum)
            v_store(velocity + i, v);
    }
    if (i < n) { /* missing lanes are 0, and stay finite */
        const vtail tail = v_tail(n - i);
        w = v_load_tail(param + i, tail);
        if (momentum)
            v = v_load_tail(velocity + i, tail);
        good = m_and(good, sgd_vector(momentum, decay, &w, &v, v_load_tail(grad + i, tail), k));
        v_store_tail(param + i, w, tail);
        if (momentum)
            v_store_tail(velocity + i, v, tail);
    }
    return m_any(m_not(good));
}

INLINE int sgd_cases(const int stream, ptrdiff_t n, real *param, real *velocity, const real *grad,
                     const mdl_sgd *h, const sgd_constants *k)
{
    if (velocity && h->weight_decay != 0.0)
        return sgd_loop(stream, 1, 1, n, param, velocity, grad, k);
    if (velocity)
        return sgd_loop(stream, 1, 0, n, param, velocity, grad, k);
    if (h->weight_decay != 0.0)
        return sgd_loop(stream, 0, 1, n, param, NULL, grad, k);
    return sgd_loop(stream, 0, 0, n, param, NULL, grad, k);
}

static int sgd(ptrdiff_t n, void *param, void *velocity, const void *grad, const mdl_sgd *h)
{
    const sgd_constants k = {
        .lr = v_set((real)h->lr),
        .momentum = v_set((real)h->momentum),
        .gain = v_set((real)(1.0 - h->dampening)),
        .decay = v_set((real)h->weight_decay),
        .nesterov = h->nesterov,
        .first_step = h->first_step,
    };
    if (!MDL_HAS_STREAM || !h->stream || (size_t)param % MDL_LINE != 0)
        return sgd_cases(0, n, param, velocity, grad, h, &k);
    const int bad = sgd_cases(1, n, param, velocity, grad, h, &k);
    mdl_stream_end();
    return bad;
}
