#include "bench/process.h"

#include "base/time_units.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORT_FIRST 20000
#define PORT_LAST 31999 /* the kernel's own range begins at 32768 */

void *process_shared_open(size_t bytes)
{
    void *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED ? NULL : shared;
}

void process_shared_close(void *shared, size_t bytes)
{
    if (shared) {
        munmap(shared, bytes);
    }
}

uint64_t process_now_ns(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

void process_sleep_ns(uint64_t duration_ns)
{
    struct timespec rest = {.tv_sec = (time_t)(duration_ns / NS_PER_S),
                            .tv_nsec = (long)(duration_ns % NS_PER_S)};
    while (nanosleep(&rest, &rest) != 0) {
    }
}

static uint64_t timeval_ns(struct timeval time)
{
    return (uint64_t)time.tv_sec * NS_PER_S +
           (uint64_t)time.tv_usec * NS_PER_US;
}

uint64_t process_cpu_ns(void)
{
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    return timeval_ns(usage.ru_utime) + timeval_ns(usage.ru_stime);
}

uint64_t process_resident_bytes(void)
{
    unsigned long long size = 0;
    unsigned long long resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file) {
        return 0;
    }
    int fields = fscanf(file, "%llu %llu", &size, &resident);
    fclose(file);
    return fields == 2 ? resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static bool port_is_free(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    /* As the libraries do: a port in TIME_WAIT is free. */
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int failed = bind(fd, (const struct sockaddr *)&address, sizeof address);
    close(fd);
    return !failed;
}

uint16_t process_free_ports(unsigned count)
{
    unsigned span = PORT_LAST - PORT_FIRST + 1;
    if (count == 0 || count > span / 2) {
        return 0;
    }
    /* Start anywhere, so that runs side by side seldom meet. */
    unsigned start = (unsigned)(process_now_ns() / 1000 + (uint64_t)getpid());
    unsigned free_count = 0;
    for (unsigned i = 0; i < 2 * span; i++) {
        unsigned offset = (start + i) % span;
        uint16_t port = (uint16_t)(PORT_FIRST + offset);
        free_count = offset == 0 ? 0 : free_count; /* no wrapped range */
        free_count = port_is_free(port) ? free_count + 1 : 0;
        if (free_count == count) {
            return (uint16_t)(port - (count - 1));
        }
    }
    return 0;
}

/* 0 in the child, as from fork(). */
static pid_t fork_child(void)
{
    pid_t parent = getpid();
    fflush(NULL);
    pid_t child = fork();
    if (child != 0) {
        return child;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(1);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    return 0;
}

pid_t process_start(enum err (*run)(void *job), void *job)
{
    pid_t child = fork_child();
    if (child == 0) {
        /* Not exit(): libraries' clean-up may wait for their peer. */
        _exit((int)run(job));
    }
    return child;
}

void process_end(pid_t child)
{
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
}

bool process_has_ended(pid_t child)
{
    return waitpid(child, NULL, WNOHANG) == child;
}

static enum err err_from_status(int status)
{
    if (!WIFEXITED(status)) {
        return ERR_CLOSED;
    }
    int code = WEXITSTATUS(status);
    return code < ERR_COUNT ? (enum err)code : ERR_CLOSED;
}

/* Wait for either; nulls the one that has ended. SIGCHLD must be blocked. */
static enum err await(pid_t *server, pid_t *driver, uint64_t deadline_ns)
{
    sigset_t child_signal;
    sigemptyset(&child_signal);
    sigaddset(&child_signal, SIGCHLD);
    for (;;) {
        int status = 0;
        if (waitpid(*driver, &status, WNOHANG) == *driver) {
            *driver = 0;
            return err_from_status(status);
        }
        if (waitpid(*server, &status, WNOHANG) == *server) {
            *server = 0;
            enum err err = err_from_status(status);
            return err ? err : ERR_CLOSED;
        }
        uint64_t now_ns = process_now_ns();
        if (now_ns >= deadline_ns) {
            return ERR_TIMEOUT;
        }
        uint64_t rest_ns = deadline_ns - now_ns;
        struct timespec rest = {.tv_sec = (time_t)(rest_ns / NS_PER_S),
                                .tv_nsec = (long)(rest_ns % NS_PER_S)};
        sigtimedwait(&child_signal, NULL, &rest);
    }
}

enum err process_pair_run(const struct process_pair *pair)
{
    sigset_t child_signal;
    sigset_t before;
    sigemptyset(&child_signal);
    sigaddset(&child_signal, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child_signal, &before);

    enum err err = ERR_MEMORY;
    pid_t server = process_start(pair->serve, pair->job);
    pid_t driver = server > 0 ? process_start(pair->drive, pair->job) : -1;
    if (driver > 0) {
        err = await(&server, &driver, process_now_ns() + pair->timeout_ns);
    }
    process_end(driver);
    process_end(server);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return err;
}

static void stay_busy(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
    setpriority(PRIO_PROCESS, 0, 19);
    for (volatile unsigned turns = 0;; turns++) {
    }
}

enum err process_busy_start(struct process_busy *busy)
{
    *busy = (struct process_busy){.child_count = 0};
    cpu_set_t usable;
    CPU_ZERO(&usable);
    if (sched_getaffinity(0, sizeof usable, &usable) != 0) {
        return ERR_IO;
    }
    for (int cpu = 0; cpu < PROCESS_CPU_MAX; cpu++) {
        if (!CPU_ISSET(cpu, &usable)) {
            continue;
        }
        pid_t child = fork_child();
        if (child == 0) {
            stay_busy(cpu);
        }
        if (child < 0) {
            process_busy_stop(busy);
            return ERR_MEMORY;
        }
        busy->children[busy->child_count++] = child;
    }
    return ERR_NONE;
}

void process_busy_stop(struct process_busy *busy)
{
    while (busy->child_count > 0) {
        process_end(busy->children[--busy->child_count]);
    }
}
