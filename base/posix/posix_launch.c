#include "base/posix/posix_launch.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GROUP_COUNT_MAX 64
#define NAMES_BYTES 16384 /* of one entry of the list of users */
#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"
#define MS_PER_SECOND 1000

enum step {
    STEP_NONE,
    STEP_FILES,
    STEP_LIMITS,
    STEP_USER,
    STEP_DIR,
    STEP_EXEC,
};

/* Who a command is to be. */
struct person {
    bool is_other; /* than we are */
    uid_t user;
    gid_t group;
    int group_count;
    gid_t groups[GROUP_COUNT_MAX];
};

/* ---- in the new process: only system calls ---- */

__attribute__((noreturn)) static void give_up(const struct posix_launch *launch,
                                              enum step step)
{
    launch->failure->code = errno;
    launch->failure->step = step;
    _exit(127);
}

static void limit(const struct posix_launch *launch,
                  int resource,
                  uint64_t value)
{
    /* The processor's has a second more, so that SIGXCPU says what it was. */
    uint64_t most = resource == RLIMIT_CPU ? value + 1 : value;
    struct rlimit bound = {.rlim_cur = value, .rlim_max = most};
    struct rlimit before;
    if (value == 0) {
        return;
    }
    /* One that is stricter already stays: only root could loosen it. */
    if (getrlimit((__rlimit_resource_t)resource, &before) == 0 &&
        before.rlim_max < bound.rlim_max) {
        bound = (struct rlimit){
            .rlim_cur = value < before.rlim_max ? value : before.rlim_max,
            .rlim_max = before.rlim_max};
    }
    if (setrlimit((__rlimit_resource_t)resource, &bound)) {
        give_up(launch, STEP_LIMITS);
    }
}

static void set_limits(const struct posix_launch *launch)
{
    const struct spawn_limits *limits = &launch->command->limits;
    const struct rlimit no_core = {0};
    (void)setrlimit(RLIMIT_CORE, &no_core);
    limit(launch, RLIMIT_CPU,
          limits->cpu_ms / MS_PER_SECOND + (limits->cpu_ms % 1000 > 0));
    limit(launch, RLIMIT_AS, limits->memory_bytes);
    limit(launch, RLIMIT_FSIZE, limits->file_bytes);
    limit(launch, RLIMIT_NOFILE, limits->files);
    limit(launch, RLIMIT_NPROC, limits->processes);
}

static void become_person(const struct posix_launch *launch,
                          const struct person *person)
{
    if (person->is_other &&
        (setgroups((size_t)person->group_count, person->groups) ||
         setresgid(person->group, person->group, person->group) ||
         setresuid(person->user, person->user, person->user))) {
        give_up(launch, STEP_USER);
    }
}

/* As execvpe() does, but with the PATH of the command. */
static void exec_along(const char *path,
                       char *const *arguments,
                       char *const *variables)
{
    char place[PATH_MAX];
    int found = ENOENT;
    const char *name = arguments[0];
    size_t name_bytes = strlen(name);
    if (strchr(name, '/')) {
        (void)execve(name, arguments, variables);
        return;
    }
    while (*path && name_bytes > 0) {
        size_t length = strcspn(path, ":");
        if (length > 0 && length + name_bytes + 2 <= sizeof place) {
            memcpy(place, path, length);
            place[length] = '/';
            memcpy(place + length + 1, name, name_bytes + 1);
            (void)execve(place, arguments, variables);
            if (errno != ENOENT && errno != ENOTDIR) {
                found = errno; /* it is there; another might be better */
            }
        }
        path += length + (path[length] == ':');
    }
    errno = found;
}

static const char *path_of(char *const *variables)
{
    for (; *variables; variables++) {
        if (strncmp(*variables, "PATH=", 5) == 0) {
            return *variables + 5;
        }
    }
    return PATH_DEFAULT;
}

__attribute__((noreturn)) static void become(const struct posix_launch *launch,
                                             const struct person *person,
                                             char *const *arguments,
                                             char *const *variables)
{
    sigset_t none;
    (void)setsid();
    if (dup2(launch->input_fd, 0) < 0 || dup2(launch->output_fd, 1) < 0 ||
        dup2(launch->errors_fd, 2) < 0) {
        give_up(launch, STEP_FILES);
    }
    set_limits(launch);
    become_person(launch, person);
    if (chdir(launch->command->dir)) {
        give_up(launch, STEP_DIR);
    }
    /* Behind the change of user, which would undo it. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    exec_along(path_of(variables), arguments, variables);
    give_up(launch, STEP_EXEC);
}

/* ---- in the spawner ---- */

static enum err find_person(struct person *person, const char *name)
{
    struct passwd entry;
    struct passwd *found = NULL;
    *person = (struct person){.group_count = GROUP_COUNT_MAX};
    if (!name[0]) {
        return ERR_NONE;
    }
    char *names = malloc(NAMES_BYTES);
    if (!names) {
        return ERR_MEMORY;
    }
    if (getpwnam_r(name, &entry, names, NAMES_BYTES, &found) == 0 && found) {
        person->is_other = true;
        person->user = entry.pw_uid;
        person->group = entry.pw_gid;
        if (getgrouplist(name, entry.pw_gid, person->groups,
                         &person->group_count) < 0) {
            person->group_count = GROUP_COUNT_MAX; /* those that fit */
        }
    }
    free(names);
    /* Who we are already needs no right to become so. */
    if (found && person->user == geteuid() && geteuid() != 0) {
        person->is_other = false;
    }
    return found ? ERR_NONE : ERR_INVALID;
}

/* Pointers to the texts, and NULL. */
static char **list_of(const struct spawn_texts *texts)
{
    char **list = calloc((size_t)texts->count + 1, sizeof *list);
    const uint8_t *at = texts->bytes.data;
    for (uint32_t i = 0; list && i < texts->count; i++) {
        list[i] = (char *)(uintptr_t)at;
        at += strlen(list[i]) + 1;
    }
    return list;
}

/* Apart, so that nothing of the caller is changed behind its back. */
__attribute__((noinline)) static pid_t start(const struct posix_launch *launch,
                                             const struct person *person,
                                             char *const *arguments,
                                             char *const *variables)
{
    pid_t pid = vfork();
    if (pid == 0) {
        become(launch, person, arguments, variables);
    }
    return pid;
}

enum err posix_launch(pid_t *out, const struct posix_launch *launch)
{
    struct person person;
    *launch->failure = (struct posix_launch_failure){0};
    enum err err = find_person(&person, launch->command->user);
    if (err) {
        return err;
    }
    char **arguments = list_of(&launch->command->arguments);
    char **variables = list_of(&launch->command->variables);
    err = ERR_MEMORY;
    if (arguments && variables) {
        pid_t pid = start(launch, &person, arguments, variables);
        err = pid < 0 ? ERR_LIMIT : ERR_NONE;
        *out = pid > 0 ? pid : *out;
    }
    free(arguments);
    free(variables);
    return err;
}

void posix_launch_explain(char why[static SPAWN_WHY_BYTES],
                          const struct posix_launch_failure *failure,
                          const struct spawn_command *command)
{
    const char *reason = strerror(failure->code);
    switch ((enum step)failure->step) {
    case STEP_USER:
        (void)snprintf(why, SPAWN_WHY_BYTES,
                       "cannot run as the pool's user `%s`: %s", command->user,
                       reason);
        return;
    case STEP_DIR:
        (void)snprintf(why, SPAWN_WHY_BYTES,
                       "cannot run in the pool's folder `%s`: %s", command->dir,
                       reason);
        return;
    case STEP_LIMITS:
        (void)snprintf(why, SPAWN_WHY_BYTES, "cannot set the pool's limits: %s",
                       reason);
        return;
    default:
        (void)snprintf(why, SPAWN_WHY_BYTES, "cannot run `%s`: %s",
                       (const char *)command->arguments.bytes.data, reason);
        return;
    }
}

bool posix_launch_is_final(const struct posix_launch_failure *failure)
{
    switch (failure->code) {
    case EAGAIN:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case ETXTBSY:
    case EIO:
        return false;
    default:
        return true;
    }
}

void posix_launch_close_others(int kept_fd)
{
    /* As system calls: the functions are younger than some C libraries. */
    if (kept_fd > 3) {
        (void)syscall(SYS_close_range, 3u, (unsigned)kept_fd - 1, 0u);
    }
    (void)syscall(SYS_close_range, (unsigned)kept_fd + 1, ~0u, 0u);
}
