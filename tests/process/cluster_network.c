#include "tests/process/cluster_network.h"

#include "tests/support/check.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOME CLUSTER_MACHINES_MAX
#define COMMAND_BYTES 512

static int home = -1; /* the namespace of this process */

/* ---- commands ---- */

/* In a child, until exec. */
static void become(int machine, const char *command)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (machine < 0 || setns(machine, CLONE_NEWNET) == 0) {
        (void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    }
    _exit(127);
}

static int run_command(int machine, const char *command)
{
    int status = 0;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        become(machine, command);
    }
    CHECK(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

__attribute__((format(printf, 2, 0))) static void run_with(int machine,
                                                           const char *format,
                                                           va_list arguments)
{
    char command[COMMAND_BYTES];
    int length = vsnprintf(command, sizeof command, format, arguments);
    CHECK(length > 0 && (size_t)length < sizeof command);
    int code = run_command(machine, command);
    if (code != 0) {
        fail_msg("exit code %d of: %s", code, command);
    }
}

/* With the shell, on a machine; -1: at home. */
__attribute__((format(printf, 2, 3))) static void run(int machine,
                                                      const char *format,
                                                      ...)
{
    va_list arguments;
    va_start(arguments, format);
    run_with(machine, format, arguments);
    va_end(arguments);
}

void cluster_network_run(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    run_with(-1, format, arguments);
    va_end(arguments);
}

/* ---- namespaces ---- */

bool cluster_network_enter(const char **why)
{
    if (geteuid() != 0) {
        *why = "network namespaces need root";
    } else if (run_command(-1, "command -v ip iptables >/dev/null") != 0) {
        *why = "ip (iproute2) or iptables is missing";
    } else if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0 ||
               mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        *why = "the kernel gives us no namespaces";
    } else if (run_command(-1, "ip link set lo up && "
                               "ip link add try0 type veth peer name try1 && "
                               "ip link add try type bridge && "
                               "ip link del try0 && ip link del try && "
                               "iptables -L -n >/dev/null") != 0) {
        *why = "the kernel has no veth, bridge or iptables";
    } else {
        home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        *why = "there is no /proc";
        return home >= 0;
    }
    return false;
}

void cluster_network_host(char out[static CLUSTER_HOST_BYTES], uint32_t machine)
{
    (void)snprintf(out, CLUSTER_HOST_BYTES, "10.77.0.%u", machine + 1);
}

bool cluster_network_move_to(const struct cluster_network *network,
                             uint32_t machine)
{
    int namespace = machine == HOME ? home : network->machines[machine];
    return setns(namespace, CLONE_NEWNET) == 0;
}

static int make_namespace(void)
{
    CHECK(unshare(CLONE_NEWNET) == 0);
    int namespace = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    CHECK(setns(home, CLONE_NEWNET) == 0);
    CHECK(namespace >= 0);
    return namespace;
}

static void plug_in(const struct cluster_network *network, uint32_t machine)
{
    char host[CLUSTER_HOST_BYTES];
    cluster_network_host(host, machine);
    run(-1,
        "ip link add port%u type veth peer name eth0 netns /proc/%d/fd/%d && "
        "ip link set port%u master bridge up",
        machine, (int)getpid(), network->machines[machine], machine);
    run(network->machines[machine],
        "ip link set lo up && ip address add %s/24 dev eth0 && "
        "ip link set eth0 up",
        host);
}

void cluster_network_open(struct cluster_network *network,
                          uint32_t machine_count)
{
    CHECK(machine_count <= CLUSTER_MACHINES_MAX);
    run(-1, "ip link add bridge type bridge && "
            "ip address add 10.77.0.254/24 dev bridge && "
            "ip link set bridge up");
    for (uint32_t i = 0; i < machine_count; i++) {
        network->machines[i] = make_namespace();
        network->machine_count = i + 1;
        plug_in(network, i);
    }
}

void cluster_network_close(struct cluster_network *network)
{
    for (uint32_t i = 0; i < network->machine_count; i++) {
        run(-1, "ip link del port%u", i);
        close(network->machines[i]);
    }
    if (network->machine_count > 0) {
        run(-1, "ip link del bridge");
    }
    network->machine_count = 0;
}

/* ---- cables ---- */

void cluster_network_cut(const struct cluster_network *network,
                         uint32_t machine,
                         uint32_t other)
{
    char host[CLUSTER_HOST_BYTES];
    cluster_network_host(host, other);
    run(network->machines[machine],
        "iptables -w -A INPUT -s %s -j DROP && "
        "iptables -w -A OUTPUT -d %s -j DROP",
        host, host);
}

void cluster_network_isolate(const struct cluster_network *network,
                             uint32_t machine)
{
    run(network->machines[machine], "iptables -w -A INPUT -i eth0 -j DROP && "
                                    "iptables -w -A OUTPUT -o eth0 -j DROP");
}

void cluster_network_lose(const struct cluster_network *network,
                          uint32_t machine,
                          uint32_t percent)
{
    run(network->machines[machine],
        "iptables -w -A INPUT -i eth0 -m statistic --mode random "
        "--probability 0.%02u -j DROP",
        percent);
}

void cluster_network_heal(const struct cluster_network *network,
                          uint32_t machine)
{
    run(network->machines[machine],
        "iptables -w -F INPUT && iptables -w -F OUTPUT");
}

/* ---- disks ---- */

void cluster_network_mount(const char *path, uint32_t mib)
{
    run(-1, "mount -t tmpfs -o size=%um none '%s'", mib, path);
}

void cluster_network_resize(const char *path, uint32_t mib)
{
    run(-1, "mount -o remount,size=%um '%s'", mib, path);
}

static void filler_path(char out[PATH_MAX], const char *path)
{
    CHECK(snprintf(out, PATH_MAX, "%s/filler", path) < PATH_MAX);
}

void cluster_network_fill(const char *path)
{
    static const char zeros[65536];
    struct statvfs about;
    char filler[PATH_MAX];
    CHECK(statvfs(path, &about) == 0);
    uint64_t used = (about.f_blocks - about.f_bfree) * about.f_frsize;
    cluster_network_resize(path, (uint32_t)(used >> 20) + 2);
    filler_path(filler, path);
    int fd = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    while (write(fd, zeros, sizeof zeros) > 0) {
    }
    CHECK(errno == ENOSPC);
    close(fd);
}

void cluster_network_empty(const char *path, uint32_t mib)
{
    char filler[PATH_MAX];
    filler_path(filler, path);
    CHECK(unlink(filler) == 0);
    cluster_network_resize(path, mib);
}

void cluster_network_unmount(const char *path)
{
    run(-1, "umount -l '%s'", path);
}
