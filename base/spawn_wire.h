/*
 * What a node and its spawner (base/posix/posix_spawner.h) say to each other:
 * "run this", "end it", "it has ended so".
 *
 * Plain data; pure. All that is decoded borrows from the message. Both ends
 * are of one release, as the node starts the spawner: there is no version.
 * What the spawner decodes from the host of a plug-in may be anything, as the
 * plug-in may have written over the host's memory.
 */

#ifndef BASE_SPAWN_WIRE_H
#define BASE_SPAWN_WIRE_H

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define SPAWN_MESSAGE_BYTES_MAX (256u << 20)
#define SPAWN_WHY_BYTES 256

enum spawn_kind {
    /* To the spawner. */
    SPAWN_COMMAND, /* struct spawn_command */
    SPAWN_PLUGIN,  /* struct spawn_plugin; and from there to a host */
    SPAWN_CANCEL,  /* a ticket */
    SPAWN_RENEW,   /* hosts that are idle end; those that are not, afterwards */
    SPAWN_LOOK,    /* struct spawn_look; nothing is said of what has ended */

    /* From it; and to it from a host. */
    SPAWN_ENDED,    /* struct spawn_ended */
    SPAWN_LOOKED,   /* struct spawn_looked */
    SPAWN_PROGRESS, /* struct spawn_progress */
    SPAWN_BEGUN,    /* from a host: its plug-in is loaded */
    SPAWN_KIND_COUNT,
};

/* 0: no limit of ours. */
struct spawn_limits {
    uint64_t cpu_ms;
    uint64_t memory_bytes;
    uint64_t file_bytes;
    uint32_t files;
    uint32_t processes;
};

/* Texts behind each other, each with its zero. */
struct spawn_texts {
    uint32_t count;
    struct bytes bytes;
};

struct spawn_command {
    uint32_t ticket;
    uint32_t timeout_ms;          /* 0: none */
    uint32_t output_bytes_max;    /* kept of stdout, and of stderr */
    struct spawn_texts arguments; /* the program first; at least one */
    struct spawn_texts variables; /* NAME=value */
    const char *user;             /* "": as it is */
    const char *dir;
    struct spawn_limits limits;
    struct bytes input; /* for its stdin */
};

struct spawn_plugin {
    uint32_t ticket;
    uint32_t timeout_ms; /* 0: none */
    uint32_t output_bytes_max;
    const char *path;
    const char *function;
    uint64_t task;
    uint64_t token;
    uint32_t attempt;
    struct bytes payload;
};

enum spawn_end {
    SPAWN_EXITED,    /* `code` is the exit status, or what a function gave */
    SPAWN_SIGNALLED, /* `code` is the signal */
    SPAWN_TIMED_OUT,
    SPAWN_CANCELLED,
    SPAWN_REFUSED, /* it could not begin, and never will: `why` */
    SPAWN_FAILED,  /* it could not begin or go on: `why` */
    SPAWN_END_COUNT,
};

struct spawn_ended {
    uint32_t ticket;
    enum spawn_end end;
    int32_t code;
    struct bytes output; /* stdout, or what a function wrote */
    struct bytes errors; /* stderr */
    uint64_t cut_bytes;  /* that were written and not kept */
    const char *why;
};

/* What has a command written so far? */
struct spawn_look {
    uint32_t ticket;
    uint32_t number;      /* comes back with the answer */
    uint64_t output_from; /* without what stands before, in what is kept */
    uint64_t errors_from;
};

struct spawn_looked {
    uint32_t number;
    struct bytes output;
    struct bytes errors;
    uint64_t cut_bytes; /* that were written and not kept, so far */
};

struct spawn_progress {
    uint32_t ticket;
    uint32_t done_of_1000;
    const char *text;
};

/* Append the whole message, with its length, to what is to be sent.
 * ERR_MEMORY */
FALLIBLE spawn_wire_put_command(struct buffer *to,
                                const struct spawn_command *command);
FALLIBLE spawn_wire_put_plugin(struct buffer *to,
                               const struct spawn_plugin *plugin);
FALLIBLE spawn_wire_put_cancel(struct buffer *to, uint32_t ticket);
FALLIBLE spawn_wire_put_ended(struct buffer *to,
                              const struct spawn_ended *ended);
FALLIBLE spawn_wire_put_progress(struct buffer *to,
                                 const struct spawn_progress *progress);
FALLIBLE spawn_wire_put_look(struct buffer *to, const struct spawn_look *look);
FALLIBLE spawn_wire_put_looked(struct buffer *to,
                               const struct spawn_looked *looked);
/* One that was received, as it is. */
FALLIBLE spawn_wire_put_message(struct buffer *to, struct bytes message);
/* RENEW, BEGUN */
FALLIBLE spawn_wire_put_plain(struct buffer *to, enum spawn_kind kind);

/* What a message is; SPAWN_KIND_COUNT: nothing. */
enum spawn_kind spawn_wire_kind(struct bytes message);

/* ERR_MALFORMED; the output is touched on success only. */
FALLIBLE spawn_wire_get_command(struct spawn_command *out,
                                struct bytes message);
FALLIBLE spawn_wire_get_plugin(struct spawn_plugin *out, struct bytes message);
FALLIBLE spawn_wire_get_cancel(uint32_t *ticket, struct bytes message);
FALLIBLE spawn_wire_get_ended(struct spawn_ended *out, struct bytes message);
FALLIBLE spawn_wire_get_progress(struct spawn_progress *out,
                                 struct bytes message);
FALLIBLE spawn_wire_get_look(struct spawn_look *out, struct bytes message);
FALLIBLE spawn_wire_get_looked(struct spawn_looked *out, struct bytes message);

/*
 * The next whole message (without its length) at the front of `from`, borrowed
 * until it is taken with spawn_wire_take(); false: there is none yet, or
 * (`*err`) it is longer than SPAWN_MESSAGE_BYTES_MAX (ERR_TOO_LARGE).
 */
bool spawn_wire_next(const struct buffer *from,
                     struct bytes *out,
                     enum err *err);
void spawn_wire_take(struct buffer *from, struct bytes message);

#endif
