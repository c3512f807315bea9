#include "base/posix/posix_memory.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#define MIB (1 << 20)
#define STATM_BYTES 128

void posix_memory_keep(void)
{
    /* Where the C library does not know these, it does what it does. */
    (void)mallopt(M_MMAP_THRESHOLD, 32 * MIB);
    (void)mallopt(M_TRIM_THRESHOLD, 64 * MIB);
    (void)mallopt(M_TOP_PAD, MIB);
}

uint64_t posix_memory_resident_bytes(void)
{
    char text[STATM_BYTES] = "";
    unsigned long long pages = 0;
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return 0;
    }
    ssize_t length = read(file, text, sizeof text - 1);
    (void)close(file);
    long page_bytes = sysconf(_SC_PAGESIZE);
    if (length <= 0 || page_bytes <= 0 ||
        sscanf(text, "%*u %llu", &pages) != 1) {
        return 0;
    }
    return (uint64_t)pages * (uint64_t)page_bytes;
}
