#include "tests/process/peer_process.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENT_COUNT_MAX 32

struct peer_process {
    pid_t id; /* 0: has ended */
    int status;
    FILE *input; /* of the process */
    FILE *output;
    struct traffic_tally *tally;
};

static void must(bool is_true, const char *what)
{
    if (!is_true) {
        perror(what);
        abort();
    }
}

static int make_tally(struct traffic_tally **out)
{
    int fd = memfd_create("tally", 0); /* open to the child */
    must(fd >= 0, "memfd_create");
    must(ftruncate(fd, sizeof(struct traffic_tally)) == 0, "ftruncate");
    void *at = mmap(NULL, sizeof(struct traffic_tally), PROT_READ | PROT_WRITE,
                    MAP_SHARED, fd, 0);
    must(at != MAP_FAILED, "mmap");
    *out = at;
    return fd;
}

/* In the child, until exec: only what a signal handler may call. */
static void become(const char *program,
                   char *const *arguments,
                   const int pipes[static 2])
{
    /* Whatever becomes of the test, we end with it, even when stopped. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (dup2(pipes[0], STDIN_FILENO) >= 0 &&
        dup2(pipes[1], STDOUT_FILENO) >= 0) {
        (void)execv(program, arguments);
    }
    _exit(127);
}

static void start(struct peer_process *process,
                  const char *program,
                  char *const *arguments)
{
    int input[2];
    int output[2];
    must(pipe2(input, O_CLOEXEC) == 0 && pipe2(output, O_CLOEXEC) == 0, "pipe");
    process->id = fork();
    must(process->id >= 0, "fork");
    if (process->id == 0) {
        become(program, arguments, (int[]){input[0], output[1]});
    }
    close(input[0]);
    close(output[1]);
    process->input = fdopen(input[1], "w");
    process->output = fdopen(output[0], "r");
    must(process->input && process->output, "fdopen");
}

static bool reads(struct peer_process *process, const char *expected)
{
    char line[64] = "";
    if (!fgets(line, sizeof line, process->output)) {
        return false;
    }
    line[strcspn(line, "\n")] = '\0';
    return strcmp(line, expected) == 0;
}

struct peer_process *peer_process_open(const char *program,
                                       const char *const *arguments)
{
    struct peer_process *process = calloc(1, sizeof *process);
    must(process != NULL, "calloc");
    int tally = make_tally(&process->tally);
    char tally_argument[64];
    (void)snprintf(tally_argument, sizeof tally_argument,
                   "tally=/proc/self/fd/%d", tally);
    char *all[ARGUMENT_COUNT_MAX] = {0};
    size_t count = 0;
    all[count++] = strdup(program);
    all[count++] = strdup(tally_argument);
    for (; *arguments; arguments++) {
        must(count < ARGUMENT_COUNT_MAX - 1, "too many arguments");
        all[count++] = strdup(*arguments);
    }
    start(process, program, all);
    close(tally);
    while (count > 0) {
        free(all[--count]);
    }
    if (!reads(process, "ready")) {
        peer_process_discard(&process);
    }
    return process;
}

bool peer_process_tell(struct peer_process *process, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vfprintf(process->input, format, arguments);
    va_end(arguments);
    (void)fputc('\n', process->input);
    return fflush(process->input) == 0 && reads(process, "ok");
}

const struct traffic_tally *peer_process_tally(
    const struct peer_process *process)
{
    return process->tally;
}

pid_t peer_process_id(const struct peer_process *process)
{
    return process->id;
}

uint64_t peer_process_resident_bytes(const struct peer_process *process)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/statm", (int)process->id);
    FILE *file = fopen(path, "r");
    must(file != NULL, path);
    unsigned long long pages = 0;
    must(fscanf(file, "%*s %llu", &pages) == 1, path);
    (void)fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

unsigned peer_process_descriptor_count(const struct peer_process *process)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)process->id);
    DIR *folder = opendir(path);
    must(folder != NULL, path);
    unsigned count = 0;
    for (const struct dirent *entry = readdir(folder); entry;
         entry = readdir(folder)) {
        count += entry->d_name[0] != '.';
    }
    (void)closedir(folder);
    return count;
}

static void wait_end(struct peer_process *process)
{
    if (process->id > 0) {
        must(waitpid(process->id, &process->status, 0) == process->id,
             "waitpid");
        process->id = 0;
    }
}

void peer_process_kill(struct peer_process *process)
{
    if (process->id > 0) {
        (void)kill(process->id, SIGKILL);
        wait_end(process);
    }
}

int peer_process_close(struct peer_process **process)
{
    if (!*process) {
        return 0;
    }
    struct peer_process *old = *process;
    (void)fclose(old->input);
    wait_end(old);
    (void)fclose(old->output);
    (void)munmap(old->tally, sizeof *old->tally);
    int status = WIFEXITED(old->status) ? WEXITSTATUS(old->status) : -1;
    free(old);
    *process = NULL;
    return status;
}

void peer_process_discard(struct peer_process **process)
{
    if (*process) {
        peer_process_kill(*process);
        (void)peer_process_close(process);
    }
}
