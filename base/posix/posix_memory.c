#include "base/posix/posix_memory.h"

#include <malloc.h>

#define MIB (1 << 20)

void posix_memory_keep(void)
{
    /* Where the C library does not know these, it does what it does. */
    (void)mallopt(M_MMAP_THRESHOLD, 32 * MIB);
    (void)mallopt(M_TRIM_THRESHOLD, 64 * MIB);
    (void)mallopt(M_TOP_PAD, MIB);
}
