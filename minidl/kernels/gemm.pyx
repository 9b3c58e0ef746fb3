"""Matrix multiplication: the loop nest around the register tile.

    c[i, j] = act(init[i, j] + sum_p a[i, p] b[p, j])        with the block rule of minidl-num-1

Three loops stand around the tile (csrc/leaf/gemm_tile.inc.c): blocks of rows, blocks of 256 along k,
and panels of columns.

- A block of a (128 x 256 floats; 256 x 256 if that is all) stays in the L2 cache while all panels pass over
  it. It is read in place if either of its strides is 1.
- A panel of b stays in the L1 cache while all tiles of the block pass over it: with AVX2 256 rows of two
  vectors, 16 KB; that of AVX-512 is wider, and stays in L2. It is read in place where its rows are
  contiguous and lie well; else it is copied (packed) first, and transposed on the way if need be.
- A panel of c gets its epilogue (the activation, the derivative in the backward pass, or the search for
  numbers that are not finite) right after its last block of k, while it is in cache: none costs a pass over
  memory.

What follows from the sizes and strides alone is decided once, by :func:`plan_product`; a training step
then only runs the loops. Nothing here allocates, locks or fails: the caller owns the scratch memory and the
thread team, and passes each thread its own block of c.
"""

from libc.string cimport memset

from minidl.kernels._leaf cimport (
    MDL_FETCH_STEPS, MDL_K_BLOCK, MDL_MAX_NARROW, MDL_MAX_VECS, MDL_N_WIDTHS, MDL_TILE_FULL,
    MDL_TILE_HALF, MDL_TILE_PARTIAL, mdl_ahead, mdl_leaves, mdl_tile_fn,
)
from minidl.kernels.packing cimport packs

cdef extern from "cpu.h" nogil:
    bint mdl_halves_vectors()

cdef extern from "scratch.h" nogil:
    const size_t MDL_HUGE_PAGE

cdef bint HALVES = mdl_halves_vectors()  # vectors of a whole cache line may as well cross the ends of lines

cdef ptrdiff_t BLOCK_BYTES = 128 * 1024  # of a block of a, one of many: a quarter of L2 or less
cdef ptrdiff_t ONLY_BLOCK_BYTES = 256 * 1024  # of a block that is all of a: no other panels must wait in L2
cdef ptrdiff_t GROUP_BYTES = 832 * 1024  # of the packed panels of b that several blocks of a share
cdef ptrdiff_t PACK_ROWS = 32       # rows of c from which a copy of a panel of b pays, if b lies badly
cdef ptrdiff_t PACK_ROWS_L2 = 64    # ... if b stays in L2, unless copies keep crowded panels in L1
cdef ptrdiff_t PACK_ROWS_L1 = 192   # ... if b is at most twice as large as L1
cdef ptrdiff_t PAGE_ROWS = 64       # ... if each row of b has another page
cdef ptrdiff_t WIDE_ROWS = 128      # ... if a copied panel would not stay in L1
cdef ptrdiff_t FAR_ROWS = 192       # ... and the only reason is that each row of b has another page
cdef ptrdiff_t L1_BYTES = 32 * 1024
cdef ptrdiff_t L2_BYTES = 1024 * 1024
cdef ptrdiff_t PACK_PANELS = 8      # panels of c from which a copy of a block of a pays, if a lies badly
cdef ptrdiff_t PAGE = 4096          # bytes between rows from which each has another page
cdef ptrdiff_t COLLIDING_ROWS = 6   # of a tile whose lines of a compete for the same places of L1
cdef ptrdiff_t SHORT_SUM = 24       # steps of k up to which storing is a good part of the work of a tile
cdef ptrdiff_t SHORT_TILE = 16      # vectors of such a tile at most, where stores hold up multiply-adds
cdef ptrdiff_t FETCH_BYTES = 256 * 1024   # of a or b, from which both are fetched ahead of their use
cdef ptrdiff_t FETCH_ROWS = 4       # of c, below which tiles wait for their loads anyway
cdef ptrdiff_t MOST_LINES = 16      # that a tile fetches at a time: about one with each step of k
cdef ptrdiff_t STREAM_BYTES = 512 * 1024  # of b, from which a single row of c reads it as it lies
cdef ptrdiff_t STRIP_BYTES = 8 * 1024     # of its sums, which wait in L1
cdef ptrdiff_t SWAP_DEPTH = 16      # terms of a sum from which a transposition of c is worth its cost
cdef ptrdiff_t SWAP_ROWS = 64       # of c, up to which a is transposed rather than b
cdef ptrdiff_t SWAP_BYTES = 4 * 1024 * 1024  # of such a b: a larger one is better fetched ahead
cdef char zeros[64 * MDL_MAX_VECS]  # an init row of zeros


cdef ptrdiff_t scratch_bytes() noexcept nogil:
    return MDL_HUGE_PAGE


cdef inline char *panels_of(char *scratch) noexcept nogil:
    """Where the panels of b begin: after a block of a, whose rows lie 256 elements and a cache line apart."""
    return scratch + ONLY_BLOCK_BYTES // 8 * 9


cdef inline bint crowded(ptrdiff_t rows, ptrdiff_t stride_bytes, ptrdiff_t width_bytes) noexcept nogil:
    """True if so many bytes of each of so many rows need more than half of an L1 cache of 32 KB, because the
    rows lie where few of its sets are.

    A line of memory may lie in one set of 8 lines only, that of its address modulo 4 KB: rows whose distance
    has a power of two in it share few sets, unless they fill the distance.
    """
    cdef ptrdiff_t room = 64 * 8 // 2, step = stride_bytes, period = 64
    while step % 128 == 0 and room > 4:
        step //= 2
        room //= 2
        period *= 2
    return rows > room and width_bytes < period


cdef void plan_product(Product *p, const mdl_leaves *leaf, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,
                       ptrdiff_t a_row, ptrdiff_t a_col, ptrdiff_t b_row,
                       ptrdiff_t b_col, bint b_aligned) noexcept nogil:
    """Decide how c (m x n, unit column stride) = init + a b is computed.

    b_aligned says that the first element of b starts a cache line.
    """
    cdef ptrdiff_t lanes = leaf.lanes, size = leaf.item_size
    cdef ptrdiff_t depth = min(k, MDL_K_BLOCK)
    p.leaf = leaf
    p.swapped = swap_pays(leaf, m, n, k, a_row, a_col, b_row, b_col)
    if p.swapped:
        m, n = n, m
        a_row, a_col, b_row, b_col = b_col, b_row, a_col, a_row
    p.m = m
    p.n = n
    p.k = k
    p.a_row = a_row
    p.a_col = a_col
    p.b_row = b_row
    p.b_col = b_col
    cdef ptrdiff_t blocks = 1
    if m * MDL_K_BLOCK * size > ONLY_BLOCK_BYTES:
        blocks = ceil_div(m, BLOCK_BYTES // (MDL_K_BLOCK * size))
    cdef ptrdiff_t vectors = ceil_div(n, lanes), preferred
    preferred = leaf.widths[max(1, min(m, MDL_N_WIDTHS - 1))]
    if b_col == 1 and b_row * size >= PAGE:  # whoever opens a page had better read much of it
        preferred = max(preferred, leaf.widths[MDL_N_WIDTHS - 1])
    elif blocks == 1 and m >= 4 * leaf.max_rows[preferred] and depth * preferred * lanes * size > L1_BYTES:
        preferred = min(preferred, leaf.block_width)
    p.block = ceil_div(m, blocks)
    p.panels = max(1, ceil_div(vectors, preferred))
    if preferred < leaf.stretch and p.panels > 1 and vectors % preferred == 1:
        p.panels -= 1  # one wider panel rather than a single vector
    p.width = max(1, ceil_div(vectors, p.panels))
    p.wide = vectors - (p.width - 1) * p.panels
    p.pack_b = b_col != 1 or not p.swapped and packs(copy_pays(p, blocks == 1, b_aligned))
    # A tile that reads a along its columns takes a few elements of each of 256 cache lines, and the panel of
    # b wants as much room beside them.
    p.pack_a = not p.swapped and (a_col != 1 and a_row != 1 or packs(
        p.panels >= PACK_PANELS and crowded(2 * depth, a_col * size, size) if a_col != 1
        else p.panels >= 8 * PACK_PANELS and a_row * size >= PAGE))
    p.transposed = a_col != 1 and not p.pack_a
    # What is large waits in another cache or in memory, perhaps as another core wrote it.
    p.fetch = m >= FETCH_ROWS and k * max(m, n) * size >= FETCH_BYTES
    p.narrow = (0 < n <= min(MDL_MAX_NARROW, lanes // 2) and m >= lanes and k >= lanes and a_col == 1
                and not p.swapped)
    p.one_row = m == 1 and b_col == 1 and k * n * size >= STREAM_BYTES and not p.swapped
    p.one_panel = (p.panels == 1 and blocks == 1 and k <= MDL_K_BLOCK
                   and not (p.swapped or p.pack_a or p.narrow or p.one_row))
    # Panels that are copied for one block only share one place, which then stays in L1.
    p.group = p.panels
    if p.pack_b:
        p.group = 1 if blocks == 1 else GROUP_BYTES // (p.width * lanes * size * MDL_K_BLOCK)
        p.group = ceil_div(p.panels, ceil_div(p.panels, p.group))
    cut_rows(p, p.block, p.heights)


cdef inline bint swap_pays(const mdl_leaves *leaf, ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,
                           ptrdiff_t a_row, ptrdiff_t a_col, ptrdiff_t b_row, ptrdiff_t b_col) noexcept nogil:
    """True if c^T = b^T a^T, with lanes over the rows of c, and a transposition cost less than c = a b.

    If both can be read in place either way (x^T dz), few columns would leave lanes idle, or tiles of one
    vector short of work. If b has to be transposed to be read (dz W^T), a and c are transposed instead, if
    they are small, fill whole vectors, and b is near enough to be read by rows as it lies.
    """
    cdef ptrdiff_t lanes = leaf.lanes, size = leaf.item_size, padded = ceil_div(m, lanes) * lanes
    if a_row == 1 and b_col == 1:
        return (k >= SWAP_DEPTH and m >= 2 * lanes and n < m
                and (n <= lanes or 4 * n < 3 * lanes * ceil_div(n, lanes)))
    if a_col == 1 and b_row == 1 and b_col != 1:  # short sums, and little to gain, are not worth the way back
        return (m <= SWAP_ROWS and 8 * m >= 7 * padded and k >= 6 * lanes and 2 * m * (n + k) <= n * k
                and n * k * size <= SWAP_BYTES and padded * k * size <= GROUP_BYTES)
    return False


cdef inline bint copy_pays(const Product *p, bint one_block, bint b_aligned) noexcept nogil:
    """True if tiles are faster with copies of the panels of b, which they read again and again.

    Several blocks of a share the copies. One block must have enough rows, and b must lie badly: its rows
    begin inside a cache line; or lie in pages of their own, where nothing fetches them in time; or crowd a
    few sets of the L1 cache, if a copy would stay in it.
    """
    cdef ptrdiff_t size = p.leaf.item_size, step = p.b_row * size, bytes = p.k * p.n * size, rows
    cdef ptrdiff_t depth = min(p.k, MDL_K_BLOCK), width = p.width * p.leaf.lanes * size
    cdef bint askew = not b_aligned or step % 64 != 0, apart = step >= PAGE
    cdef bint crowd = crowded(depth, step, width)
    if HALVES and p.leaf.lanes * size == 64:
        askew = False
        if depth * width > L1_BYTES:
            return apart and p.m >= FAR_ROWS
    if not one_block:
        return True
    if depth * width > L1_BYTES:  # tiles draw the panel from L2, copied or not
        return p.m >= (PAGE_ROWS if apart and (askew or crowd) else WIDE_ROWS) and (askew or apart)
    if p.m >= PAGE_ROWS and apart:
        return True
    rows = PACK_ROWS
    if bytes <= 2 * L1_BYTES:  # its lines are near wherever they lie
        rows = PACK_ROWS_L1
    elif bytes <= L2_BYTES and not apart and not crowd:
        rows = PACK_ROWS_L2
    return p.m >= rows and (crowd or askew)


cdef inline void cut_rows(const Product *p, ptrdiff_t m, Heights *heights) noexcept nogil:
    """Cut a block of m rows into tiles of equal height, one row more or less, for both widths of panels.

    Where rows of a are a multiple of 4 KB apart, all their lines want the same 8 places of the L1 cache: a
    tile of twelve such rows would fetch each line again with every step of k. Where sums are short and a core
    takes vectors by halves, the stores of a small tile get done beside the next one.
    """
    cdef ptrdiff_t narrow, tallest, width
    cdef bint stores = HALVES and p.leaf.lanes * p.leaf.item_size == 64 and p.k <= SHORT_SUM
    cdef bint collide = not p.pack_a and not p.transposed and p.a_row * p.leaf.item_size % PAGE == 0
    for narrow in range(2):
        width = p.width - narrow
        tallest = p.leaf.max_rows[width]
        if collide:
            tallest = min(tallest, COLLIDING_ROWS)
        if stores and 0 < width <= 4:
            tallest = min(tallest, SHORT_TILE // width)
        heights[narrow].count = ceil_div(m, max(1, tallest))
        heights[narrow].rows = ceil_div(m, max(1, heights[narrow].count))
        heights[narrow].tall = m - (heights[narrow].rows - 1) * heights[narrow].count


cdef inline mdl_ahead *look_ahead(const Product *p, mdl_ahead *ahead, const char *a, const char *b,
                                  ptrdiff_t p0, ptrdiff_t p1, ptrdiff_t i0, ptrdiff_t i1, ptrdiff_t j1,
                                  ptrdiff_t panel, ptrdiff_t end, ptrdiff_t tiles) noexcept nogil:
    """What the tiles of a panel fetch while they compute: what gemm reads next from where it lies, or NULL.

    Rows i0 to i1 of a, p0 to p1 of b; the panel has so many tiles and ends before column j1, its group ends
    before panel `end`.
    """
    cdef ptrdiff_t size = p.leaf.item_size, lines, rows, cols, stride, unit
    cdef ptrdiff_t depth = p1 - p0, width = p.width * p.leaf.lanes
    if not p.fetch:
        return NULL
    if panel + 1 < end and i0 > 0:
        return NULL  # the first block has fetched the panels of its group
    if panel + 1 == end and i1 < p.m:
        ahead.row = a + (i1 * p.a_row + p0 * p.a_col) * size
        rows, cols, stride, unit = min(p.block, p.m - i1), depth, p.a_row, p.a_col
    elif panel + 1 < p.panels:
        ahead.row = b + (p0 * p.b_row + j1 * p.b_col) * size
        rows, cols, stride, unit = depth, min(width, p.n - j1), p.b_row, p.b_col
    elif p1 < p.k:
        ahead.row = b + p1 * p.b_row * size
        rows, cols, stride, unit = min(MDL_K_BLOCK, p.k - p1), min(width, p.n), p.b_row, p.b_col
    else:
        return NULL
    if unit != 1 and stride != 1:
        return NULL  # no cache lines in a row
    if unit != 1:
        rows, cols, stride = cols, rows, unit
    lines = ceil_div(cols * size, 64)
    ahead.step = stride * size
    ahead.lines = lines
    ahead.line = 0
    ahead.left = rows * lines
    ahead.share = min(MOST_LINES, ceil_div(ahead.left, tiles * max(1, depth // MDL_FETCH_STEPS)))
    return ahead


cdef inline void tiles(const Product *p, const Heights *heights, ptrdiff_t n, ptrdiff_t vecs,
                       ptrdiff_t k, const char *a, ptrdiff_t lda, const char *b, ptrdiff_t ldb,
                       const char *init, ptrdiff_t ldi, char *c, ptrdiff_t ldc,
                       mdl_ahead *ahead) noexcept nogil:
    """One panel of c, one block of k."""
    cdef const mdl_leaves *leaf = p.leaf
    cdef ptrdiff_t size = leaf.item_size, rows = heights.rows, end = heights.tall, t = 0
    cdef ptrdiff_t a_step = size if p.transposed else lda * size
    cdef int kind = MDL_TILE_FULL
    cdef mdl_tile_fn *tile
    if n < vecs * leaf.lanes:
        kind = MDL_TILE_HALF if n <= (vecs - 1) * leaf.lanes + leaf.half_lanes else MDL_TILE_PARTIAL
    while True:
        tile = leaf.tile[kind][p.transposed][rows][vecs]
        while t < end:
            tile(n, k, a, lda, b, ldb, init, ldi, c, ldc, ahead)
            a += rows * a_step
            c += rows * ldc * size
            init += rows * ldi * size
            t += 1
        if t == heights.count:
            return
        rows -= 1
        end = heights.count


cdef void gemm(const Product *p, const char *a, const char *b, const char *init, char *c,
               ptrdiff_t ldc, const Epilogue *epilogue, char *scratch) noexcept nogil:
    """c = epilogue(init + a b): init is a row, the bias, or NULL for zeros; scratch holds scratch_bytes()."""
    if p.swapped:
        gemm_swapped(p, a, b, init, c, ldc, epilogue, scratch)
        return
    if not (p.narrow or p.one_row or p.one_panel):
        gemm_blocks(p, a, b, init, c, ldc, epilogue, scratch)
        return
    cdef const char *start = init
    if init == NULL:
        start = zeros
    if p.narrow:
        p.leaf.narrow(p.m, p.n, p.k, a, p.a_row, b, p.b_row, p.b_col, start, c, ldc)
    elif p.one_row:
        gemm_row(p, a, b, init, c, scratch)
    else:
        gemm_panel(p, a, b, start, c, ldc, scratch)
    if epilogue != NULL:
        finish(epilogue, p.m, p.n, p.leaf.item_size, 0, 0, c, ldc)


cdef void gemm_panel(const Product *p, const char *a, const char *b, const char *init, char *c,
                     ptrdiff_t ldc, char *scratch) noexcept nogil:
    """c = init + a b where c is one panel of one block: a small product, which would notice the loops."""
    cdef ptrdiff_t ldb = p.b_row
    if p.pack_b:
        ldb = p.width * p.leaf.lanes
        p.leaf.pack(p.k, p.n, b, p.b_row, p.b_col, scratch, ldb)
        b = scratch
    tiles(p, p.heights, p.n, p.width, p.k, a, p.a_col if p.transposed else p.a_row, b, ldb, init, 0, c, ldc,
          NULL)


cdef void gemm_blocks(const Product *p, const char *a, const char *b, const char *init, char *c,
                      ptrdiff_t ldc, const Epilogue *epilogue, char *scratch) noexcept nogil:
    """c = epilogue(init + a b) by blocks of k, groups of panels, blocks of rows, panels."""
    cdef const char *start = init
    cdef const mdl_leaves *leaf = p.leaf
    cdef ptrdiff_t size = leaf.item_size, lanes = leaf.lanes
    cdef char *panels = panels_of(scratch)
    cdef ptrdiff_t i0, i1, j0, j1, p0 = 0, kb, first, end, panel, vecs, ldb, ldfrom
    cdef ptrdiff_t lda = MDL_K_BLOCK + 64 // size if p.pack_a else p.a_col if p.transposed else p.a_row
    cdef const char *a_block
    cdef const char *b_block
    cdef mdl_ahead ahead
    cdef char *to
    cdef Heights last[2]
    cdef Heights *heights
    while True:
        kb = min(MDL_K_BLOCK, p.k - p0)
        first = 0
        while first < p.panels:  # a group of panels
            end = min(first + p.group, p.panels)
            i0 = 0
            heights = <Heights *> p.heights
            while i0 < p.m:
                i1 = min(i0 + p.block, p.m)
                if i1 - i0 < p.block:
                    cut_rows(p, i1 - i0, last)
                    heights = last
                a_block = a + (i0 * p.a_row + p0 * p.a_col) * size
                if p.pack_a:
                    if first == 0 or p.block < p.m:  # else the copy is still there
                        leaf.pack(i1 - i0, kb, a_block, p.a_row, p.a_col, scratch, lda)
                    a_block = scratch
                for panel in range(first, end):
                    vecs = p.width if panel < p.wide else p.width - 1
                    j0 = (panel * p.width - max(0, panel - p.wide)) * lanes
                    j1 = min(j0 + vecs * lanes, p.n)
                    b_block = b + (p0 * p.b_row + j0 * p.b_col) * size
                    ldb = p.b_row
                    if p.pack_b:
                        ldb = vecs * lanes
                        to = panels + (panel - first) * p.width * lanes * MDL_K_BLOCK * size
                        if i0 == 0:
                            leaf.pack(kb, j1 - j0, b_block, p.b_row, p.b_col, to, ldb)
                        b_block = to
                    to = c + (i0 * ldc + j0) * size
                    if p0 > 0:
                        start = to
                        ldfrom = ldc
                    elif init == NULL:
                        start = zeros
                        ldfrom = 0
                    else:
                        start = init + j0 * size
                        ldfrom = 0
                    tiles(p, &heights[panel >= p.wide], j1 - j0, vecs, kb, a_block, lda, b_block, ldb,
                          start, ldfrom, to, ldc,
                          look_ahead(p, &ahead, a, b, p0, p0 + kb, i0, i1, j1, panel, end,
                                     heights[panel >= p.wide].count))
                    if epilogue != NULL and p0 + kb >= p.k:
                        finish(epilogue, i1 - i0, j1 - j0, size, i0, j0, to, ldc)
                i0 = i1
            first += p.group
        p0 += kb
        if p0 >= p.k:
            break


cdef void gemm_swapped(const Product *p, const char *a, const char *b, const char *init, char *c,
                       ptrdiff_t ldc, const Epilogue *epilogue, char *scratch) noexcept nogil:
    """The same product by blocks of panels of c^T = b^T a^T, each transposed into c."""
    cdef const mdl_leaves *leaf = p.leaf
    cdef ptrdiff_t size = leaf.item_size, lanes = leaf.lanes, lda = p.a_col if p.transposed else p.a_row
    cdef ptrdiff_t i0 = 0, i1, j0, j1, p0, kb, vecs, panel, ldb, ldfrom, ldp = p.width * lanes
    cdef char *panels = panels_of(scratch)  # all of a^T, if it is copied
    cdef char *c_panel = scratch            # 256 rows of 8 vectors at most
    cdef char *to
    cdef const char *a_block
    cdef const char *b_block
    cdef const char *start
    cdef Heights last[2]
    cdef Heights *heights = <Heights *> p.heights
    while i0 < p.m:
        i1 = min(i0 + p.block, p.m)
        if i1 - i0 < p.block:
            cut_rows(p, i1 - i0, last)
            heights = last
        j0 = 0
        for panel in range(p.panels):
            vecs = p.width if panel < p.wide else p.width - 1
            j1 = min(j0 + vecs * lanes, p.n)
            if init != NULL:
                leaf.pack(i1 - i0, j1 - j0, init + i0 * size, 1, 0, c_panel, ldp)
            p0 = 0
            while True:
                kb = min(MDL_K_BLOCK, p.k - p0)
                b_block = a + (p0 * p.b_row + j0 * p.b_col) * size
                ldb = p.b_row
                if p.pack_b:
                    ldb = vecs * lanes
                    to = panels + (j0 * p.k + p0 * ldb) * size
                    if i0 == 0:
                        leaf.pack(kb, j1 - j0, b_block, p.b_row, p.b_col, to, ldb)
                    b_block = to
                start, ldfrom = c_panel, ldp
                if p0 == 0 and init == NULL:
                    start, ldfrom = zeros, 0
                a_block = b + (i0 * p.a_row + p0 * p.a_col) * size
                tiles(p, &heights[panel >= p.wide], j1 - j0, vecs, kb, a_block, lda, b_block, ldb,
                      start, ldfrom, c_panel, ldp, NULL)
                p0 += kb
                if p0 >= p.k:
                    break
            leaf.transpose(i1 - i0, j1 - j0, c_panel, ldp, c + (j0 * ldc + i0) * size, ldc)
            j0 = j1
        if epilogue != NULL:
            finish(epilogue, p.n, i1 - i0, size, 0, i0, c + i0 * size, ldc)
        i0 = i1


cdef void gemm_row(const Product *p, const char *a, const char *b, const char *init, char *c,
                   char *scratch) noexcept nogil:
    """The same product for a single row: strips of b as wide as L1 has room for sums are read row by row."""
    cdef const mdl_leaves *leaf = p.leaf
    cdef ptrdiff_t size = leaf.item_size, width = STRIP_BYTES // size, p0, kb, j = 0, n
    cdef char *sums = scratch
    cdef char *none = scratch + STRIP_BYTES
    cdef const char *start
    memset(none, 0, STRIP_BYTES)
    while j < p.n:
        n = min(width, p.n - j)
        start = none
        if init != NULL:
            start = init + j * size
        p0 = 0
        while True:
            kb = min(MDL_K_BLOCK, p.k - p0)
            memset(sums, 0, n * size)
            leaf.chain_rows(kb, n, a + p0 * p.a_col * size, p.a_col, b + (p0 * p.b_row + j) * size,
                            p.b_row, sums)
            leaf.add_row(n, start, sums, c + j * size)
            start = c + j * size
            p0 += kb
            if p0 >= p.k:
                break
        j += n


cdef inline void finish(const Epilogue *epilogue, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t size,
                        ptrdiff_t i, ptrdiff_t j, char *c, ptrdiff_t ldc) noexcept nogil:
    """Apply the epilogue to the finished block of c whose first element is (i, j)."""
    cdef char *saved = epilogue.saved
    if saved != NULL:
        saved += (i * epilogue.lds + j) * size
    if epilogue.forward != NULL:
        epilogue.forward(rows, cols, c, ldc, c, ldc, saved, epilogue.lds, epilogue.param)
    if epilogue.backward != NULL:
        epilogue.backward(rows, cols, c, ldc, saved, epilogue.lds, c, ldc, epilogue.param)
    if epilogue.all_finite != NULL and not epilogue.all_finite(rows, cols, c, ldc):
        epilogue.flag[0] |= 1
