/* The seam between Cython and the C leaves: one table of function pointers per (level, dtype).

   A leaf is pointers, sizes and strides: no threads, no allocation, no globals, no errors. Pointers are
   untyped because a table belongs to one dtype; sizes and leading dimensions count elements, not bytes.
   Any pointer may have any alignment that its dtype allows. Matrices have unit column stride. */
#ifndef MINIDL_H
#define MINIDL_H

#include <stddef.h>
#include <stdint.h>

/* Instruction set levels, lowest first. Macros, because the leaves choose tiles with #if. */
#define MDL_PORTABLE 0
#define MDL_NEON 1
#define MDL_X86_V3 2
#define MDL_X86_V4 3
#define MDL_N_LEVELS 4

#define MDL_K_BLOCK 256 /* length of one block of the reduction in minidl-num-1 */
#define MDL_MAX_ROWS 12 /* most rows of a register tile */
#define MDL_MAX_VECS 8  /* most vectors in a row of a register tile */
#define MDL_N_WIDTHS 10 /* entries of mdl_leaves.widths */
#define MDL_MAX_NARROW 6 /* most columns of a narrow product */

/* Variants of a register tile. */
#define MDL_TILE_PARTIAL 0 /* the last vector of each row has fewer lanes */
#define MDL_TILE_FULL 1    /* n == vecs * lanes */
#define MDL_TILE_HALF 2    /* the last vector has half as many lanes or fewer; not on every level */
#define MDL_N_TILES 3

#define MDL_FETCH_STEPS 16 /* of k, before which a tile fetches some of what is needed later */

/* --- matmul ------------------------------------------------------------------------------------ */

/* A matrix in memory that tiles fetch while they compute: rows of `lines` cache lines, `step` bytes apart. They
   go on at `line` of `row`, ask for `share` lines at a time, and stop when none is `left`. */
typedef struct {
    const char *row;
    ptrdiff_t step, lines, line, share, left;
} mdl_ahead;

/* c = init + a b for one register tile, with the block rule of minidl-num-1 for one block (k <= 256).
   n counts columns, (vecs-1)*lanes < n <= vecs*lanes. Row i of init is init + i*ldi: ldi = 0 repeats a
   bias row, init = c with ldi = ldc accumulates. In the transposed variant element (i, p) of a is
   a[p*lda + i], else a[i*lda + p]. `ahead` may be NULL. */
typedef void mdl_tile_fn(ptrdiff_t n, ptrdiff_t k, const void *a, ptrdiff_t lda, const void *b,
                         ptrdiff_t ldb, const void *init, ptrdiff_t ldi, void *c, ptrdiff_t ldc,
                         mdl_ahead *ahead);

/* c = init + a b by all of minidl-num-1, for n = 1, ..., MDL_MAX_NARROW columns and at least as many rows as
   a vector has lanes. Every row begins with init; element (p, j) of b is b[p*b_row + j*b_col]. */
typedef void mdl_narrow_fn(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const void *a, ptrdiff_t lda,
                           const void *b, ptrdiff_t b_row, ptrdiff_t b_col, const void *init, void *c,
                           ptrdiff_t ldc);

/* p[j] = fma(a[q * a_step], b[q * ldb + j], p[j]) for q = 0, ..., k - 1 in order. */
typedef void mdl_chain_rows_fn(ptrdiff_t k, ptrdiff_t n, const void *a, ptrdiff_t a_step, const void *b,
                               ptrdiff_t ldb, void *p);

/* c[j] = init[j] + p[j]; init may be c. */
typedef void mdl_add_row_fn(ptrdiff_t n, const void *init, const void *p, void *c);

/* Copies a k x n block with any strides to rows of length ldp, filling columns n..ldp-1 with +0. */
typedef void mdl_pack_fn(ptrdiff_t k, ptrdiff_t n, const void *b, ptrdiff_t row_stride,
                         ptrdiff_t col_stride, void *panel, ptrdiff_t ldp);

/* to[j, i] = from[i, j], where from has that many rows and columns. */
typedef void mdl_transpose_fn(ptrdiff_t rows, ptrdiff_t cols, const void *from, ptrdiff_t ldf, void *to,
                              ptrdiff_t ldt);

/* --- element-wise ------------------------------------------------------------------------------ */

/* y[i] = f(x[i]); y may be x. */
typedef void mdl_map_fn(ptrdiff_t n, const void *x, void *y);

/* y = act(z) and, where d is not NULL, d = act'(z); y or d may be z. */
typedef void mdl_act_forward_fn(ptrdiff_t rows, ptrdiff_t n, const void *z, ptrdiff_t ldz, void *y,
                                ptrdiff_t ldy, void *d, ptrdiff_t ldd, const double *param);

/* dz = dy * act'(z), where saved is y or act'(z): mdl_act_saves_output says which. dz may be dy. */
typedef void mdl_act_backward_fn(ptrdiff_t rows, ptrdiff_t n, const void *dy, ptrdiff_t lddy,
                                 const void *saved, ptrdiff_t lds, void *dz, ptrdiff_t lddz,
                                 const double *param);

/* y = softmax(z) by rows; y may be z. */
typedef void mdl_softmax_fn(ptrdiff_t rows, ptrdiff_t n, const void *z, ptrdiff_t ldz, void *y,
                            ptrdiff_t ldy);

/* dz = y * (dy - sum_j dy_j y_j) by rows; dz may be dy. */
typedef void mdl_softmax_backward_fn(ptrdiff_t rows, ptrdiff_t n, const void *dy, ptrdiff_t lddy,
                                     const void *y, ptrdiff_t ldy, void *dz, ptrdiff_t lddz);

/* --- reductions -------------------------------------------------------------------------------- */

/* out[j] = init[j] (or 0) + sum_i x[i, j], in blocks of 256 rows as minidl-num-1 says. */
typedef void mdl_col_sum_fn(ptrdiff_t rows, ptrdiff_t n, const void *x, ptrdiff_t ldx,
                            const void *init, void *out);

/* out[j] = max_i x[i, j]; a NaN in column j gives NaN; rows >= 1. */
typedef void mdl_col_max_fn(ptrdiff_t rows, ptrdiff_t n, const void *x, ptrdiff_t ldx, void *out);

/* out[i] = sum or max over row i, over virtual lanes and the fixed tree (+8) +4 +2 +1. */
typedef void mdl_row_reduce_fn(ptrdiff_t rows, ptrdiff_t n, const void *x, ptrdiff_t ldx, void *out);

/* out[i] = lowest index of the largest element of row i (NaN counts as larger than any number). */
typedef void mdl_row_argmax_fn(ptrdiff_t rows, ptrdiff_t n, const void *x, ptrdiff_t ldx, int64_t *out);

/* out[i * ldo] = max |x| over row i, +inf if there is a NaN. */
typedef void mdl_row_largest_fn(ptrdiff_t rows, ptrdiff_t n, const void *x, ptrdiff_t ldx, double *out,
                                ptrdiff_t ldo);

/* Row r of `to` = row index[r] of `source`; strides and `bytes` of a row in bytes, of any dtype. */
typedef void mdl_gather_fn(ptrdiff_t rows, ptrdiff_t bytes, const int64_t *index, const char *source,
                           ptrdiff_t source_stride, char *to, ptrdiff_t to_stride);

/* 1 if all of x is finite, else 0. */
typedef int mdl_all_finite_fn(ptrdiff_t rows, ptrdiff_t n, const void *x, ptrdiff_t ldx);

/* --- losses ------------------------------------------------------------------------------------ */

/* For each row r: loss[r] = w_r * l(z_r, t_r) in float64 and, where dz is not NULL,
   dz_r = (scale * w_r) * dl/dz. weight may be NULL (all 1). target is int64 labels (one per row, ldt
   ignored) or a matrix of reals, as the loss says. hit may be NULL, else hit[r] = share of right
   answers in row r (losses without an accuracy leave it at 0). dz may be z. */
typedef void mdl_loss_fn(ptrdiff_t rows, ptrdiff_t n, const void *z, ptrdiff_t ldz, const void *target,
                         ptrdiff_t ldt, const void *weight, double scale, void *dz, ptrdiff_t lddz,
                         double *loss, double *hit, const double *param);

/* --- optimizer --------------------------------------------------------------------------------- */

typedef struct {
    double lr, momentum, dampening, weight_decay;
    int nesterov, first_step; /* on the first step the velocity is the gradient itself */
    int stream; /* parameters go past the caches, if they begin on a cache line */
} mdl_sgd;

/* One SGD update of n parameters (velocity is NULL without momentum). An element whose new value would
   not be finite keeps its old value; returns 1 if there was one, else 0. */
typedef int mdl_sgd_fn(ptrdiff_t n, void *param, void *velocity, const void *grad, const mdl_sgd *h);

/* --- numerics ---------------------------------------------------------------------------------- */

/* What speaks against minidl-num-1 in the thread that calls: a sum of these, 0 if nothing does. */
#define MDL_CONTRACTS 1        /* the compiler fused a*b + c where the source has two operations */
#define MDL_SPLITS_FMA 2       /* v_fma rounds twice although the level is said to be fused */
#define MDL_ROUNDS_OTHERWISE 4 /* the caller has set another rounding mode than to nearest */
typedef int mdl_canary_fn(void);

/* --- the roofs of the machine ------------------------------------------------------------------ */

#define MDL_MAX_CHAINS 24

/* So many steps x = a x + b of n_chains independent vectors, chain i from x = i; out[i] = one lane. */
typedef void mdl_fma_chains_fn(ptrdiff_t steps, double a, double b, void *out);

/* out = x + s y. */
typedef void mdl_triad_fn(ptrdiff_t n, double s, const void *x, const void *y, void *out);

/* --- the table --------------------------------------------------------------------------------- */

/* Names live in one place each; C, Cython, Python and the tests read them from here. */
#define MDL_VMATH(X) \
    X(exp) X(expm1) X(log) X(log1p) X(tanh) X(sigmoid) X(erf) X(sin) X(cos)
/*  name, 1 if the derivative is computed from the output y, 0 if act'(z) is saved in the forward pass,
    number of parameters */
#define MDL_ACTIVATIONS(X)                                                                        \
    X(identity, 1, 0) X(relu, 1, 0) X(leaky_relu, 1, 1) X(relu6, 1, 0) X(relu_squared, 0, 0)      \
    X(elu, 1, 1) X(selu, 1, 0) X(celu, 1, 1) X(gelu, 0, 0) X(gelu_tanh, 0, 0) X(silu, 0, 0)       \
    X(mish, 0, 0) X(softplus, 1, 0) X(softsign, 1, 0) X(sigmoid, 1, 0) X(log_sigmoid, 1, 0)       \
    X(tanh, 1, 0) X(lecun_tanh, 1, 0) X(hard_tanh, 1, 0) X(hard_sigmoid, 1, 0)                    \
    X(hard_swish, 0, 0) X(arctan, 0, 0) X(sine, 0, 1)
#define MDL_LOSSES(X) \
    X(cross_entropy_label) X(cross_entropy_probability) X(binary_cross_entropy) X(mse) X(mae) X(huber)

#define MDL_ENUM_VMATH(name) MDL_VMATH_##name,
#define MDL_ENUM_ACT(name, from_output, params) MDL_ACT_##name,
#define MDL_ENUM_LOSS(name) MDL_LOSS_##name,
enum { MDL_VMATH(MDL_ENUM_VMATH) MDL_N_VMATH };
enum { MDL_ACTIVATIONS(MDL_ENUM_ACT) MDL_N_ACT };
enum { MDL_LOSSES(MDL_ENUM_LOSS) MDL_N_LOSS };

typedef struct {
    int level;              /* MDL_PORTABLE ... */
    int fused;              /* 1 if v_fma rounds once: the bits are those of minidl-num-1 */
    ptrdiff_t item_size;    /* 4 or 8 */
    ptrdiff_t lanes;        /* elements of one vector */
    ptrdiff_t half_lanes;   /* of the last vector of MDL_TILE_HALF; 0 if the level has no such tiles */
    int streams;            /* the level has stores that go past the caches */
    ptrdiff_t max_rows[MDL_MAX_VECS + 1]; /* rows of the tallest tile with that many vectors */
    ptrdiff_t widths[MDL_N_WIDTHS];       /* preferred vectors of a panel with so many rows */
    ptrdiff_t block_width;                /* ... at most, if all of many rows are one block */
    ptrdiff_t stretch;                    /* ... which may be one more, up to this */
    /* [MDL_TILE_...][a transposed][rows][vectors], NULL beyond max_rows */
    mdl_tile_fn *tile[MDL_N_TILES][2][MDL_MAX_ROWS + 1][MDL_MAX_VECS + 1];
    mdl_narrow_fn *narrow;
    mdl_chain_rows_fn *chain_rows;
    mdl_add_row_fn *add_row;
    mdl_pack_fn *pack;
    mdl_transpose_fn *transpose;
    mdl_map_fn *vmath[MDL_N_VMATH];
    mdl_act_forward_fn *act_forward[MDL_N_ACT];
    mdl_act_backward_fn *act_backward[MDL_N_ACT];
    mdl_softmax_fn *softmax, *log_softmax;
    mdl_softmax_backward_fn *softmax_backward;
    mdl_col_sum_fn *col_sum;
    mdl_col_max_fn *col_max;
    mdl_row_reduce_fn *row_sum, *row_max;
    mdl_row_argmax_fn *row_argmax;
    mdl_row_largest_fn *row_largest;
    mdl_gather_fn *gather;
    mdl_all_finite_fn *all_finite;
    mdl_loss_fn *loss[MDL_N_LOSS];
    mdl_sgd_fn *sgd;
    mdl_canary_fn *canary;
    ptrdiff_t n_chains;
    mdl_fma_chains_fn *fma_chains;
    mdl_triad_fn *triad;
} mdl_leaves;

extern const char *const mdl_level_names[MDL_N_LEVELS];
extern const char *const mdl_vmath_names[MDL_N_VMATH];
extern const char *const mdl_act_names[MDL_N_ACT];
extern const int mdl_act_saves_output[MDL_N_ACT];
extern const int mdl_act_params[MDL_N_ACT];
extern const char *const mdl_loss_names[MDL_N_LOSS];

/* The table of a level, or NULL where this build or this CPU has no such level. */
const mdl_leaves *mdl_table(int level, int is_double);

/* The highest level that this build has and this CPU can run. */
int mdl_best_level(void);

#endif
