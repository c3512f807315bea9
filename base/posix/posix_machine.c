#include "base/posix/posix_machine.h"

#include "base/posix/posix_memory.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

static uint64_t limit_of(int resource)
{
    struct rlimit limit = {0};
    if (getrlimit((__rlimit_resource_t)resource, &limit)) {
        return 0;
    }
    return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}

/* Without the one that looks. */
static uint64_t count_descriptors(void)
{
    uint64_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (!folder) {
        return 0;
    }
    for (const struct dirent *entry; (entry = readdir(folder));) {
        count += entry->d_name[0] != '.';
    }
    (void)closedir(folder);
    return count > 0 ? count - 1 : 0;
}

static uint64_t figure_of(int name)
{
    long value = sysconf(name);
    return value > 0 ? (uint64_t)value : 0;
}

void posix_machine_look(struct posix_machine *out)
{
    struct utsname name = {0};
    (void)uname(&name);
    *out = (struct posix_machine){
        .cores = (uint32_t)figure_of(_SC_NPROCESSORS_ONLN),
        .memory_bytes = figure_of(_SC_PHYS_PAGES) * figure_of(_SC_PAGESIZE),
        .process_id = (uint32_t)getpid(),
        .descriptor_count = count_descriptors(),
        .descriptor_max = limit_of(RLIMIT_NOFILE),
        .locked_bytes_max = limit_of(RLIMIT_MEMLOCK),
        .core_bytes_max = limit_of(RLIMIT_CORE),
        .process_count_max = limit_of(RLIMIT_NPROC),
        .memory_bytes_max = limit_of(RLIMIT_AS),
        .resident_bytes = posix_memory_resident_bytes(),
    };
    (void)snprintf(out->system, sizeof out->system, "%s", name.sysname);
    (void)snprintf(out->release, sizeof out->release, "%s", name.release);
    (void)snprintf(out->machine, sizeof out->machine, "%s", name.machine);
}
