/*
 * The parts of a spawner know each other: its loop (posix_spawner.c), commands
 * (posix_spawner_command.c), plug-ins and their hosts (posix_spawner_plugin.c).
 *
 * Private to them.
 */

#ifndef BASE_POSIX_POSIX_SPAWNER_CORE_H
#define BASE_POSIX_POSIX_SPAWNER_CORE_H

#include "base/buffer.h"
#include "base/posix/posix_clock.h"
#include "base/posix/posix_launch.h"
#include "base/posix/posix_spawner.h"
#include "base/posix/posix_stream.h"
#include "base/spawn_wire.h"
#include "base/time_units.h"
#include "base/timers.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/types.h>

#define SPAWNER_CHILDREN_MAX 4096

/* Between being asked to end and being killed. */
#define SPAWNER_GRACE_NS NS_PER_S

struct spawner;

/* A descriptor that is waited for. */
struct watch {
    void (*run)(struct watch *watch, uint32_t events);
    struct spawner *spawner;
    int fd; /* -1: none */
    bool wants_to_send;
};

/* What a child and we both see. */
struct shared {
    bool is_taken;
    struct posix_launch_failure failure;
    _Atomic uint32_t is_cancelled;
};

struct spawner_command; /* of posix_spawner_command.c */
struct spawner_plugin;

struct spawner {
    const struct posix_spawner_host *host;
    int epoll_fd;
    int signal_fd;
    int null_fd;
    bool is_ending;
    struct posix_stream node;
    struct watch node_watch;
    struct watch signal_watch;
    struct timers timers;
    struct shared *shared; /* SPAWNER_CHILDREN_MAX */
    uint32_t shared_next;  /* where to look for a free one */

    /* Of this round. */
    struct epoll_event *events;
    int event_count;

    struct spawner_command *commands; /* that run */
    struct spawner_plugin *plugins;
};

/* ERR_IO and the like: it is not waited for */
FALLIBLE spawner_watch(struct spawner *spawner, struct watch *watch, int fd);
void spawner_watch_sending(struct watch *watch, bool wants_to_send);
/* Before the descriptor is closed. */
void spawner_forget(struct watch *watch);

/* NULL: there are as many children as there may be. Given back by
 * is_taken = false. */
struct shared *spawner_take_shared(struct spawner *spawner);

void spawner_say_ended(struct spawner *spawner,
                       const struct spawn_ended *ended);
void spawner_say_looked(struct spawner *spawner,
                        const struct spawn_looked *looked);
void spawner_say_progress(struct spawner *spawner,
                          const struct spawn_progress *progress);
void spawner_signal_group(pid_t pid, int signal);

/* `message` is SPAWN_COMMAND, SPAWN_PLUGIN. Nothing happens on a ticket that
 * is not known. */
void spawner_command_start(struct spawner *spawner, struct bytes message);
void spawner_command_cancel(struct spawner *spawner, uint32_t ticket);
void spawner_command_look(struct spawner *spawner,
                          const struct spawn_look *look);
void spawner_plugin_start(struct spawner *spawner, struct bytes message);
void spawner_plugin_cancel(struct spawner *spawner, uint32_t ticket);
void spawner_plugin_renew(struct spawner *spawner);

/* All of them, whose processes have ended; nobody is told. */
void spawner_command_clear(struct spawner *spawner);
void spawner_plugin_clear(struct spawner *spawner);

/* Whether a child is theirs: it leads a group of its own. */
bool spawner_command_has(const struct spawner *spawner, pid_t pid);
bool spawner_plugin_has(const struct spawner *spawner, pid_t pid);

/* A child has ended and was reaped: false: it is none of ours. */
bool spawner_command_ended(struct spawner *spawner, pid_t pid, int status);
bool spawner_plugin_ended(struct spawner *spawner, pid_t pid, int status);

#endif
