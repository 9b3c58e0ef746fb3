/* Prints a digest of all that the leaves of one level compute for one dtype, one line per function.

   Compiled with -DMDL_DOUBLE=0 or 1 and -DTABLE=mdl_leaves_<level>_f32 or _f64, linked with the object of
   csrc/isa/<level>.c and csrc/random.c. minidl-num-1 promises the same lines from every compiler and level
   with FMA: tests/test_cross.py compares them. No input is made by a generator or a library of the
   platform, and NaN counts as one value, because its payload is not part of the contract. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "minidl.h"
#include "random.h"

#if MDL_DOUBLE
typedef double real;
typedef uint64_t bits;
#else
typedef float real;
typedef uint32_t bits;
#endif

extern const mdl_leaves TABLE;
static const mdl_leaves *const leaf = &TABLE;

/* --- digest: FNV-1a, 64 bits ------------------------------------------------------------------- */

static uint64_t hash;

static void add_bytes(uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        hash = (hash ^ (value >> 8 * i & 0xff)) * UINT64_C(0x100000001b3);
}

static void add_reals(const real *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bits b;
        memcpy(&b, &x[i], sizeof b);
        add_bytes(x[i] == x[i] ? b : (bits)-1, sizeof b);
    }
}

static void add_doubles(const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t b;
        memcpy(&b, &x[i], sizeof b);
        add_bytes(x[i] == x[i] ? b : UINT64_MAX, 8);
    }
}

static void begin(void) { hash = UINT64_C(0xcbf29ce484222325); }
static void end(const char *what, const char *name)
{
    printf("%s %s %016" PRIx64 "\n", what, name, hash);
}

/* --- inputs ------------------------------------------------------------------------------------ */

static uint64_t state;

static uint64_t next(void)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return state ^ state >> 29;
}

/* Multiples of 2^-20 in [-4, 4): exact in both dtypes. */
static real *ordinary(size_t n)
{
    real *x = malloc((n + 1) * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (real)((int64_t)(next() >> 41) - (1 << 22)) / (1 << 20);
    return x;
}

/* Any bit patterns, so all exponents, infinities and NaN, and between them numbers of the usual size. */
static real *extreme(size_t n)
{
    real *x = ordinary(n);
    for (size_t i = 0; i < n; i += 2) {
        bits b = (bits)next();
        memcpy(&x[i], &b, sizeof b);
    }
    return x;
}

static real *room(size_t n) { return calloc(n + 1, sizeof(real)); }

/* --- the functions ----------------------------------------------------------------------------- */

static const char *const vmath_names[] = {
#define NAME(name) #name,
    MDL_VMATH(NAME)};
static const char *const act_names[] = {
#define ACT_NAME(name, from_output, params) #name,
    MDL_ACTIVATIONS(ACT_NAME)};
static const int act_saves_output[] = {
#define ACT_SAVES(name, from_output, params) from_output,
    MDL_ACTIVATIONS(ACT_SAVES)};
static const char *const loss_names[] = {MDL_LOSSES(NAME)};

static void elementwise(void)
{
    enum { ROWS = 90, N = 37, LD = 41 };
    const double param[4] = {0.3, 0, 0, 0};
    real *x = extreme(ROWS * LD), *dy = ordinary(ROWS * LD), *y = room(ROWS * LD), *d = room(ROWS * LD);
    for (int f = 0; f < MDL_N_VMATH; f++) {
        begin();
        leaf->vmath[f](ROWS * LD, x, y);
        add_reals(y, ROWS * LD);
        end("vmath", vmath_names[f]);
    }
    for (int f = 0; f < MDL_N_ACT; f++) {
        begin();
        memset(y, 0, ROWS * LD * sizeof *y);
        memset(d, 0, ROWS * LD * sizeof *d);
        leaf->act_forward[f](ROWS, N, x, LD, y, LD, act_saves_output[f] ? NULL : d, LD, param);
        add_reals(y, ROWS * LD);
        leaf->act_forward[f](ROWS, N, x, LD, y, LD, d, LD, param);
        add_reals(d, ROWS * LD);
        leaf->act_backward[f](ROWS, N, dy, LD, act_saves_output[f] ? y : d, LD, d, LD, param);
        add_reals(d, ROWS * LD);
        end("activation", act_names[f]);
    }
}

static const ptrdiff_t WIDTHS[] = {1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 100, 128};
#define N_WIDTHS ((int)(sizeof WIDTHS / sizeof *WIDTHS))

static void softmaxes(void)
{
    for (int kind = 0; kind < 3; kind++) {
        begin();
        for (int i = 0; i < N_WIDTHS; i++) {
            const ptrdiff_t n = WIDTHS[i], ld = n + 3;
            real *z = ordinary(6 * ld), *dy = ordinary(6 * ld), *y = room(6 * ld);
            if (kind == 0)
                leaf->softmax(6, n, z, ld, y, ld);
            else if (kind == 1)
                leaf->log_softmax(6, n, z, ld, y, ld);
            else
                leaf->softmax_backward(6, n, dy, ld, z, ld, y, ld);
            add_reals(y, 6 * ld);
        }
        end("softmax", (const char *[]){"softmax", "log_softmax", "softmax_backward"}[kind]);
    }
}

static void reductions(void)
{
    static const ptrdiff_t ROWS[] = {1, 2, 255, 256, 257, 600};
    begin();
    for (int i = 0; i < N_WIDTHS; i++)
        for (int j = 0; j < 6; j++) {
            const ptrdiff_t n = WIDTHS[i], rows = ROWS[j], ld = n + 2;
            real *x = ordinary(rows * ld), *out = room(rows + n);
            int64_t *index = malloc(rows * sizeof *index);
            leaf->col_sum(rows, n, x, ld, NULL, out);
            add_reals(out, n);
            leaf->col_sum(rows, n, x, ld, x, out);
            add_reals(out, n);
            leaf->col_max(rows, n, x, ld, out);
            add_reals(out, n);
            leaf->row_sum(rows, n, x, ld, out);
            add_reals(out, rows);
            leaf->row_max(rows, n, x, ld, out);
            add_reals(out, rows);
            leaf->row_argmax(rows, n, x, ld, index);
            for (ptrdiff_t r = 0; r < rows; r++)
                add_bytes((uint64_t)index[r], 8);
            add_bytes((uint64_t)leaf->all_finite(rows, n, x, ld), 1);
            free(x), free(out), free(index);
        }
    end("reductions", "all");
}

static void losses(void)
{
    enum { ROWS = 21 };
    const double param[4] = {0.1, 0, 0, 0};
    for (int f = 0; f < MDL_N_LOSS; f++) {
        begin();
        for (int i = 0; i < N_WIDTHS; i++) {
            const ptrdiff_t n = WIDTHS[i], ld = n + 1;
            real *z = ordinary(ROWS * ld), *t = ordinary(ROWS * ld), *w = ordinary(ROWS), *dz = room(ROWS * ld);
            double loss[ROWS] = {0}, hit[ROWS] = {0};
            int64_t labels[ROWS];
            for (int r = 0; r < ROWS; r++)
                labels[r] = (int64_t)(next() >> 8) % n;
            for (ptrdiff_t k = 0; k < ROWS * ld; k++)
                t[k] = (t[k] + 4) / 8;
            const void *target = f == MDL_LOSS_cross_entropy_label ? (const void *)labels : t;
            leaf->loss[f](ROWS, n, z, ld, target, ld, w, 0.0625, dz, ld, loss, hit, param);
            add_reals(dz, ROWS * ld);
            add_doubles(loss, ROWS);
            add_doubles(hit, ROWS);
        }
        end("loss", loss_names[f]);
    }
}

static void updates(void)
{
    enum { N = 301 };
    begin();
    for (int i = 0; i < 32; i++) {
        const mdl_sgd h = {0.1, i & 1 ? 0.9 : 0.0, i & 2 ? 0.25 : 0.0, i & 4 ? 0.01 : 0.0, i >> 3 & 1, i >> 4 & 1, 0};
        real *w = ordinary(N), *v = ordinary(N), *g = extreme(N);
        add_bytes((uint64_t)leaf->sgd(N, w, i & 1 ? v : NULL, g, &h), 1);
        add_reals(w, N);
        add_reals(v, N);
    }
    end("update", "sgd");
}

static void packs(void)
{
    begin();
    for (int i = 0; i < N_WIDTHS; i++)
        for (int j = 0; j < N_WIDTHS; j++) {
            const ptrdiff_t k = WIDTHS[i], n = WIDTHS[j], ldp = n + j % 3;
            real *b = ordinary(3 * 129 * 129), *panel = room(k * ldp);
            leaf->pack(k, n, b, n + 1, 1, panel, ldp);
            add_reals(panel, k * ldp);
            leaf->pack(k, n, b, 1, k + 1, panel, ldp);
            add_reals(panel, k * ldp);
            leaf->pack(k, n, b, 2 * n + 3, 2, panel, ldp);
            add_reals(panel, k * ldp);
            leaf->transpose(n, k, b, k + 1, panel, ldp);
            add_reals(panel, k * ldp);
            free(b), free(panel);
        }
    end("pack", "all");
}

/* --- products: as in minidl/kernels/gemm.pyx, without packing ---------------------------------- */

/* By tiles of at most so many vectors, and as many rows as they can have. */
static void product(ptrdiff_t widest, int transposed, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const real *a,
                    ptrdiff_t lda, const real *b, ptrdiff_t ldb, const real *bias, real *c, ptrdiff_t ldc)
{
    ptrdiff_t vecs, rows, width, block;
    for (ptrdiff_t j = 0; j < n; j += width) {
        vecs = (n - j + leaf->lanes - 1) / leaf->lanes;
        vecs = vecs < widest ? vecs : widest;
        while (!leaf->max_rows[vecs])
            vecs--;
        width = n - j < vecs * leaf->lanes ? n - j : vecs * leaf->lanes;
        for (ptrdiff_t i = 0; i < m; i += rows) {
            rows = m - i < leaf->max_rows[vecs] ? m - i : leaf->max_rows[vecs];
            for (ptrdiff_t p = 0; p == 0 || p < k; p += MDL_K_BLOCK) {
                block = k - p < MDL_K_BLOCK ? k - p : MDL_K_BLOCK;
                real *to = c + i * ldc + j;
                int kind = width == vecs * leaf->lanes ? MDL_TILE_FULL
                           : width <= (vecs - 1) * leaf->lanes + leaf->half_lanes && widest % 2 ? MDL_TILE_HALF
                                                                                               : MDL_TILE_PARTIAL;
                mdl_ahead ahead = {(const char *)b, 64, 3, 0, widest % 3, widest};
                leaf->tile[kind][transposed][rows][vecs](
                    width, block, transposed ? a + p * lda + i : a + i * lda + p, lda, b + p * ldb + j, ldb,
                    p ? to : bias + j, p ? ldc : 0, to, ldc, &ahead);
            }
        }
    }
}

static void products(void)
{
    static const ptrdiff_t DEPTHS[] = {0, 1, 2, 3, 4, 7, 64, 256, 257, 513};
    char name[64];
    for (int transposed = 0; transposed < 2; transposed++)
        for (ptrdiff_t m = 1; m <= 14; m++) { /* every number of rows that a tile can have */
            begin();
            for (int j = 0; j < N_WIDTHS; j++)
                for (int d = 0; d < 10; d++) {
                    const ptrdiff_t n = WIDTHS[j], k = DEPTHS[d], ldb = n + 1, ldc = n + 2;
                    const ptrdiff_t lda = transposed ? m + 1 : k + 1, size = (transposed ? k : m) * lda;
                    real *a = ordinary(size), *b = ordinary(k * ldb), *bias = ordinary(n);
                    real *c = room(m * ldc), *other = room(m * ldc);
                    product(1, transposed, m, n, k, a, lda, b, ldb, bias, c, ldc);
                    add_reals(c, m * ldc);
                    for (ptrdiff_t widest = 2; widest <= MDL_MAX_VECS; widest++) {
                        product(widest, transposed, m, n, k, a, lda, b, ldb, bias, other, ldc);
                        if (memcmp(c, other, (size_t)(m * ldc) * sizeof *c)) {
                            fprintf(stderr, "tiles of %d vectors differ from those of one: m=%d n=%d k=%d\n",
                                    (int)widest, (int)m, (int)n, (int)k);
                            exit(1);
                        }
                    }
                    free(a), free(b), free(bias), free(c), free(other);
                }
            snprintf(name, sizeof name, "%s%d", transposed ? "transposed-" : "", (int)m);
            end("product", name);
        }
}

static void random_numbers(void)
{
    const uint64_t key[2] = {UINT64_C(0x0123456789abcdef), 42};
    const mdl_law laws[] = {
        mdl_law_uniform(-0.3, 0.7),
        mdl_law_normal(0.1, 1.5),
        mdl_law_truncated_normal(0, 1, -2, 2),
    };
    real *x = room(300 * 70);
    int64_t order[1000];
    for (int i = 0; i < 3; i++) {
        begin();
        mdl_random_fill(&laws[i], key, 300, 0, 300, 0, 70, x, MDL_DOUBLE, 70, 1);
        add_reals(x, 300 * 70);
        end("random", (const char *[]){"uniform", "normal", "truncated"}[i]);
    }
    begin();
    mdl_random_permutation(key, 1000, order);
    for (int i = 0; i < 1000; i++)
        add_bytes((uint64_t)order[i], 8);
    end("random", "permutation");
}

int main(void)
{
    if (!leaf->fused || leaf->canary()) {
        fprintf(stderr, "not minidl-num-1: fused %d, canary %d\n", leaf->fused, leaf->canary());
        return 1;
    }
    elementwise();
    softmaxes();
    reductions();
    losses();
    updates();
    packs();
    products();
    random_numbers();
    return 0;
}
