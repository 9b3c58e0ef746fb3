/* Functions of wides over the elements of matrices, for the leaves of vmath.inc.c and activation.inc.c.

   The arithmetic of a leaf is a run: a loop over contiguous elements, a whole number of wides. What is
   left of each row when its whole wides are done, fewer than WIDE_LANES columns, is packed without gaps
   into a strip, for as many rows as fit, and the run works on the strip. So narrow rows fill their vectors
   as well as wide ones. Rows that follow one another in memory are one long row. */

typedef struct {
    vec a, inverse; /* param[0] of an activation that has one, and its reciprocal */
} map_constants;

typedef struct {
    wide y, d;
} wide_pair;

typedef wide map_fn(wide x, map_constants k);
typedef wide_pair map_pair_fn(wide x, map_constants k);

/* Works on n elements, n a multiple of WIDE_LANES; the first operands are read, the others written. An
   element is read before those in its place are written: an output may be an input. */
typedef void map_run(ptrdiff_t n, const real *a, real *b, real *c, map_constants k);

typedef struct {
    real *at;
    ptrdiff_t ld;
} operand;

#define STRIP (4 * WIDE_LANES)

/* A strip of rows of `width` elements, without gaps. The last vector of a row may write past its end: the
   next row follows, or unused space. */
static void pack_strip(ptrdiff_t rows, ptrdiff_t width, const real *from, ptrdiff_t ld, real *strip)
{
    const ptrdiff_t whole = width / VL * VL;
    const vtail tail = v_tail(width - whole);
    for (ptrdiff_t r = 0; r < rows; r++, from += ld, strip += width) {
        for (ptrdiff_t i = 0; i < whole; i += VL)
            v_store(strip + i, v_load(from + i));
        if (whole < width)
            v_store(strip + whole, v_load_tail(from + whole, tail));
    }
}

static void unpack_strip(ptrdiff_t rows, ptrdiff_t width, const real *strip, real *to, ptrdiff_t ld)
{
    const ptrdiff_t whole = width / VL * VL;
    const vtail tail = v_tail(width - whole);
    for (ptrdiff_t r = 0; r < rows; r++, to += ld, strip += width) {
        for (ptrdiff_t i = 0; i < whole; i += VL)
            v_store(to + i, v_load(strip + i));
        if (whole < width)
            v_store_tail(to + whole, v_load(strip + whole), tail);
    }
}

/* Applies a run to rows of n elements of `count` operands, of which the first `inputs` are read. */
static void map_rows(map_run *run, int inputs, int count, ptrdiff_t rows, ptrdiff_t n, operand o[3],
                     map_constants k)
{
    if (o[0].ld == n && o[1].ld == n && o[count - 1].ld == n) {
        n *= rows;
        rows = 1;
    }
    const ptrdiff_t whole = n / WIDE_LANES * WIDE_LANES, width = n - whole;
    for (ptrdiff_t r = 0; whole && r < rows; r++)
        run(whole, o[0].at + r * o[0].ld, o[1].at + r * o[1].ld, o[2].at + r * o[2].ld, k);
    if (!width)
        return;
    const ptrdiff_t room = STRIP / width;
    real strip[3][STRIP + VL];
    for (ptrdiff_t r = 0; r < rows; r += room) {
        const ptrdiff_t taken = rows - r < room ? rows - r : room, used = taken * width;
        const ptrdiff_t size = (used + WIDE_LANES - 1) / WIDE_LANES * WIDE_LANES;
        for (int i = 0; i < inputs; i++) {
            w_store(strip[i] + size - WIDE_LANES, w_set(1)); /* an easy argument where nothing is packed */
            pack_strip(taken, width, o[i].at + r * o[i].ld + whole, o[i].ld, strip[i]);
        }
        run(size, strip[0], strip[1], strip[2], k);
        for (int i = inputs; i < count; i++)
            unpack_strip(taken, width, strip[i], o[i].at + r * o[i].ld + whole, o[i].ld);
    }
}

#define EACH_WIDE(i) for (ptrdiff_t i = 0; i < n; i += WIDE_LANES)

/* b = f(a) */
INLINE void run_value(map_fn *const f, ptrdiff_t n, const real *a, real *b, map_constants k)
{
    EACH_WIDE(i) w_store(b + i, f(w_load(a + i), k));
}

/* b and c = both results of f(a) */
INLINE void run_both(map_pair_fn *const f, ptrdiff_t n, const real *a, real *b, real *c, map_constants k)
{
    EACH_WIDE(i)
    {
        const wide_pair out = f(w_load(a + i), k);
        w_store(b + i, out.y);
        w_store(c + i, out.d);
    }
}

/* c = a f(b) */
INLINE void run_product(map_fn *const f, ptrdiff_t n, const real *a, const real *b, real *c,
                        map_constants k)
{
    EACH_WIDE(i)
    {
        const wide slope = f(w_load(b + i), k);
        w_store(c + i, w_mul(w_load(a + i), slope));
    }
}
