#include "bench/cluster_scale.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM "troupe-bench-scale"
#define LINE_BYTES 512

/* What it prints, in the order of the cases. */
static const char *const whats[] = {
    "join",
    "join: bytes",
    "found",
    "lost: the map has converged",
    "idle: messages",
    "idle: bytes",
    "idle: calls",
    "idle: digests",
    "memory, simulated disks too",
};

#define WHAT_COUNT (sizeof whats / sizeof *whats)

static enum err find_program(char path[PATH_MAX], struct err_detail *why)
{
    char self[PATH_MAX] = "";
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0 ||
        snprintf(path, PATH_MAX, "%s/%s", dirname(self), PROGRAM) >= PATH_MAX) {
        return ERR_IO;
    }
    if (access(path, X_OK)) {
        err_explain(why, "needs %s", path);
        return ERR_NOT_FOUND;
    }
    return ERR_NONE;
}

static pid_t start(const char *program, int to)
{
    pid_t parent = getpid();
    pid_t child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent && dup2(to, STDOUT_FILENO) >= 0) {
            (void)execl(program, program, "--scale", "100", "1024", "--json",
                        (char *)NULL);
        }
        _exit(127);
    }
    return child;
}

/* {"case":...,"what":"join","unit":"s","value":4.900,...} */
static void read_line(const char *line, double *values)
{
    const char *what = strstr(line, "\"what\":\"");
    const char *value = strstr(line, "\"value\":");
    for (size_t i = 0; what && value && i < WHAT_COUNT; i++) {
        size_t length = strlen(whats[i]);
        const char *text = what + strlen("\"what\":\"");
        if (strncmp(text, whats[i], length) == 0 && text[length] == '"') {
            values[i] = strtod(value + strlen("\"value\":"), NULL);
        }
    }
}

static enum err read_all(int from, double *values)
{
    char line[LINE_BYTES];
    FILE *in = fdopen(from, "r");
    if (!in) {
        close(from);
        return ERR_MEMORY;
    }
    for (size_t i = 0; i < WHAT_COUNT; i++) {
        values[i] = NAN;
    }
    while (fgets(line, sizeof line, in)) {
        read_line(line, values);
    }
    (void)fclose(in);
    return ERR_NONE;
}

static enum err check(int status, const double *values, struct err_detail *why)
{
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        err_explain(why, "%s has failed: run it with --scale 100 1024",
                    PROGRAM);
        return ERR_CLOSED;
    }
    for (size_t i = 0; i < WHAT_COUNT; i++) {
        if (isnan(values[i])) {
            err_explain(why, "%s does not say: %s", PROGRAM, whats[i]);
            return ERR_MALFORMED;
        }
    }
    return ERR_NONE;
}

enum err cluster_scale_measure(const struct bench_experiment *experiment,
                               const struct bench_options *options,
                               const char *peer,
                               double *values,
                               struct err_detail *why)
{
    char program[PATH_MAX];
    int ends[2];
    int status = 0;
    (void)experiment;
    (void)peer;
    if (options->is_quick) {
        err_explain(why, "takes minutes: not with --quick");
        return ERR_NOT_FOUND;
    }
    enum err err = find_program(program, why);
    if (err) {
        return err;
    }
    if (pipe2(ends, O_CLOEXEC)) {
        return ERR_LIMIT;
    }
    pid_t child = start(program, ends[1]);
    close(ends[1]);
    err = read_all(ends[0], values);
    if (child < 0) {
        return ERR_MEMORY;
    }
    if (waitpid(child, &status, 0) != child) {
        return ERR_IO;
    }
    return err ? err : check(status, values, why);
}
