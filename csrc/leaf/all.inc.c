/* All leaves of one level and one dtype, and their table. Included by csrc/isa/<level>.c, which is
   compiled once with MDL_DOUBLE=0 and once with MDL_DOUBLE=1. */
#include "../minidl.h"
#include "../simd/simd.h"
#include "../simd/wide.h"
#include "../stream.h"

#include "gemm_tile.inc.c"
#include "gemm_row.inc.c"
#include "pack.inc.c"
#include "gemm_narrow.inc.c"
#include "gather.inc.c"
#include "map.inc.c"
#include "vmath.inc.c"
#include "reduce.inc.c"
#include "activation.inc.c"
#include "loss.inc.c"
#include "update.inc.c"
#include "canary.inc.c"
#include "peak.inc.c"

#define GLUE(a, b, c) a##b##c
#define TABLE_NAME_(level, suffix) GLUE(mdl_leaves_, level, suffix)
#if MDL_DOUBLE
#define TABLE_NAME TABLE_NAME_(MDL_LEVEL_NAME, _f64)
#else
#define TABLE_NAME TABLE_NAME_(MDL_LEVEL_NAME, _f32)
#endif

#define ENTRY_VMATH(name) map_##name,
#define ENTRY_FORWARD(name, from_output, params) act_forward_##name,
#define ENTRY_BACKWARD(name, from_output, params) act_backward_##name,
#define ENTRY_LOSS(name) loss_##name,

extern const mdl_leaves TABLE_NAME;
const mdl_leaves TABLE_NAME = {
    .level = MDL_LEVEL,
    .fused = MDL_FUSED,
    .item_size = MDL_SIZE,
    .lanes = VL,
    .half_lanes = MDL_HALF_LANES,
    .streams = MDL_HAS_STREAM,
    .max_rows = TILE_MAX_ROWS,
    .widths = TILE_WIDTHS,
    .block_width = TILE_BLOCK_WIDTH,
    .stretch = TILE_STRETCH,
    .tile = TILE_TABLE,
    .narrow = narrow,
    .chain_rows = chain_rows,
    .add_row = add_row,
    .pack = pack,
    .transpose = transpose,
    .vmath = {MDL_VMATH(ENTRY_VMATH)},
    .act_forward = {MDL_ACTIVATIONS(ENTRY_FORWARD)},
    .act_backward = {MDL_ACTIVATIONS(ENTRY_BACKWARD)},
    .softmax = softmax,
    .log_softmax = log_softmax,
    .softmax_backward = softmax_backward,
    .col_sum = col_sum,
    .col_max = col_max,
    .row_sum = row_sum,
    .row_max = row_max,
    .row_argmax = row_argmax,
    .row_largest = row_largest,
    .gather = gather,
    .all_finite = all_finite,
    .loss = {MDL_LOSSES(ENTRY_LOSS)},
    .sgd = sgd,
    .canary = canary,
    .n_chains = PEAK_CHAINS,
    .fma_chains = fma_chains,
    .triad = triad,
};
