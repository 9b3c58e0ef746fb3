/* The rows of a batch, picked from a data set. They lie anywhere, so no CPU foresees the next one; and what they
   are copied to was read by all cores of the team in the last step, so that each line has to be taken back. */

#define GATHER_AHEAD 8192 /* bytes that are under way while a row is copied */

static void gather(ptrdiff_t rows, ptrdiff_t bytes, const int64_t *index, const char *source,
                   ptrdiff_t source_stride, char *to, ptrdiff_t to_stride)
{
    const ptrdiff_t ahead = 1 + GATHER_AHEAD / (bytes > 0 ? bytes : 1);
    for (ptrdiff_t r = 0; r < rows; r++, to += to_stride) {
        const char *from = source + index[r] * source_stride;
        const ptrdiff_t next = r + ahead < rows ? ahead : 0;
        const char *next_from = source + index[r + next] * source_stride;
        const char *next_to = to + next * to_stride;
        ptrdiff_t i = 0;
        for (; i + 64 <= bytes; i += 64) {
            __builtin_prefetch(next_from + i);
            __builtin_prefetch(next_to + i, 1);
            memcpy(to + i, from + i, 64);
        }
        if (i < bytes) {
            __builtin_prefetch(next_from + i);
            __builtin_prefetch(next_to + i, 1);
            memcpy(to + i, from + i, (size_t)(bytes - i));
        }
    }
}
