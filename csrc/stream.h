/* Stores that go around the caches.

   An ordinary store first reads the line that it writes to. Of a result larger than the caches that reading
   is a third of the traffic, for nothing. A streaming store writes whole lines, and only aligned ones. */
#ifndef MDL_STREAM_H
#define MDL_STREAM_H

#include <stddef.h>
#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define MDL_LINE 64 /* bytes of a cache line */

/* Copies to memory that is not read again soon, and calls for as many bytes at `next` meanwhile. Lines that
   are only written in part are copied as usual. */
static inline void mdl_stream_copy(char *to, const char *from, ptrdiff_t bytes, const char *next)
{
#if defined(__SSE2__)
    const ptrdiff_t head = (ptrdiff_t)(-(size_t)to % MDL_LINE);
    if (head < bytes) {
        memcpy(to, from, (size_t)head);
        to += head;
        from += head;
        bytes -= head;
        for (; bytes >= MDL_LINE; bytes -= MDL_LINE, to += MDL_LINE, from += MDL_LINE, next += MDL_LINE) {
            _mm_prefetch(next, _MM_HINT_T0);
            for (int i = 0; i < MDL_LINE; i += 16)
                _mm_stream_si128((__m128i *)(to + i), _mm_loadu_si128((const __m128i *)(from + i)));
        }
    }
#else
    (void)next;
#endif
    memcpy(to, from, (size_t)bytes);
}

/* After the last streaming store and before anyone else may read: orders those stores. */
static inline void mdl_stream_end(void)
{
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

#endif
