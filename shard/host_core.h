/*
 * What the files of the host share.
 *
 *   host.c            life, the view, peers, who leads
 *   host_join.c       founding, joining, fetching the view
 *   host_seeds.c      finding nodes of which only addresses are known
 *   host_replicas.c   replicas here, and the members of groups that we lead
 *   host_recover.c    groups that have lost their majority for good
 *   host_leave.c      what a node leads goes to others before it ends
 *   host_bus.c        the key of the bus
 *   host_trust.c      revocations reach all nodes
 *   host_report.c     reports, and what the meta group's leader does with them
 */

#ifndef SHARD_HOST_CORE_H
#define SHARD_HOST_CORE_H

#include "base/pack.h"
#include "base/time_units.h"
#include "shard/host.h"
#include "shard/reconcile.h"

#define HOST_WIRE_VERSION 1
#define HOST_ASK_MS 2000 /* for what nodes ask each other */

/* Another node that we link with, by the settings or by the view. */
struct known {
    struct known *next;
    char name[CERTIFICATE_NAME_BYTES];
    char door[SOCKET_URL_BYTES];
    char bus[SOCKET_URL_BYTES];
    struct peer *peer;
    uint32_t number; /* MEMBER_NONE: not a member */
    bool knocks;     /* it is we who knock, whatever the names */
    bool is_strange; /* neither in the view nor, before there is one, in the
                        settings: to be removed */
    bool is_leaving; /* its process is about to end */
    uint64_t since_ns;

    /* What it said to our last HELLO. */
    bool is_asked;
    uint64_t answered_ns; /* 0: never */
    uint64_t disk_id;
    uint64_t view_version;
    bool has_data;
    bool has_meta; /* a replica of the meta group */
    uint32_t meta_generation;
    bool is_equal; /* its settings of `cluster` are ours */

    /* Of host_bus.c: the bus key that it has of us, in this session. */
    bool is_key_asked;
    uint32_t key_number; /* 0: none */
    uint64_t key_ns;     /* not to be sent before */

    /* Of host_trust.c, in this session. */
    bool is_trust_asked;
    uint64_t trust_told;    /* the version of ours that it has heard of */
    uint64_t trust_version; /* its own, as it says */
    uint64_t trust_ns;      /* not to be asked before */
};

/* Of host_seeds.c: a door of which the settings know the address alone. */
struct seed {
    struct host *host;
    const char *url;                   /* of the settings */
    struct probe *probe;               /* NULL: none is under way */
    bool is_answered;                  /* the probe is to be closed */
    uint64_t ask_ns;                   /* not to be asked before */
    char name[CERTIFICATE_NAME_BYTES]; /* who is there; "": nobody knows */
    enum err err;                      /* of the last probe; told once */

    /* The door of that node that does not answer, in whose place this one is
     * used; "": none. */
    char instead_of[SOCKET_URL_BYTES];
};

/* Of host_bus.c: the key of the bus. */
struct bus_keys {
    /* The one in use. */
    uint64_t term;  /* of the meta group; 0: none */
    uint64_t count; /* in that term, from 1 on */
    uint32_t from;  /* who made it */

    /* When we have made it. */
    uint64_t made_for;
    uint64_t made_ns;
    bool is_exposed; /* somebody has it who was cut off */
};

/* A member of a group that says that its replica is lost. */
struct lost_member {
    uint64_t number;
    uint64_t until_ns;
};

#define GENERATION_UNSEEN UINT32_MAX

/* A shard, or (the first) the meta group, by the number of its group. */
struct slot {
    struct machine machine;
    bool has_machine;
    bool is_lost;       /* the log lost records of it, or its state is gone */
    bool is_asking;     /* a question about it is under way */
    uint32_t leader;    /* as told last; MEMBER_NONE: nobody */
    uint64_t ask_ns;    /* not to be asked again before */
    uint32_t ask_count; /* whose turn it is to be asked */
    struct lost_member lost[RAFT_MEMBERS_MAX];
    const char *waits;   /* what reconcile() said last; NULL: all is well */
    uint64_t rate_index; /* applied at the last report */
    uint64_t rate_ns;    /* when that was */

    /* Of host_recover.c. */
    uint32_t seen_generation; /* the first that was confirmed in this process */
    uint64_t recover_ns;      /* not to be tried before */
};

struct shard_news {
    struct host_shard_report report;
    uint64_t heard_ns;     /* our clock; 0: never */
    uint64_t view_version; /* of who reported */

    /* Of controller.c. */
    struct shard_place place; /* in the map, */
    uint64_t placed_version;  /* since this version of the view or earlier */
    bool is_planned; /* to be moved by the plan; those of members that leave
                        are not counted */
};

struct node_news {
    struct host_node_report report;
    uint64_t heard_ns;       /* when it reported; 0: never */
    uint64_t alive_ns;       /* when a majority of those who report heard it */
    uint64_t member_version; /* of controller.c: as it was seen last */
    uint8_t hears[(MEMBER_NUMBERS_MAX + 7) / 8];
};

/* Of the meta group's leader alone. */
struct news {
    uint64_t term; /* in which it was gathered */
    uint64_t since_ns;
    uint32_t shard_count;
    struct shard_news *shards; /* of the map */
    struct node_news nodes[MEMBER_NUMBERS_MAX];

    /* Of controller.c. */
    struct shard_map wanted; /* what the members call for */
    uint64_t wanted_for;     /* which members */
    uint64_t wanted_at;      /* the map's version that it was made from, or
                                our last change to it came to */
    uint64_t placed_at;      /* the version that the change under way will have
                                come to; 0: it is none of the map */
    struct host_plan plan;   /* how far `wanted` is carried out */
    bool has_wanted;
    bool is_changing;   /* a change is under way */
    uint64_t change_ns; /* none is to be tried before */
};

/* What is asked of others and needs nothing but this. */
struct errand {
    struct call call;
    struct host *host;
    struct errand *next; /* of all that are under way */
    struct errand *previous;
    void (*done)(struct errand *errand, enum err err, struct bytes answer);
    char name[CERTIFICATE_NAME_BYTES]; /* of the node asked */
    uint32_t group;
    uint64_t number;
    struct asked *asked; /* who waits for what we ask */
};

struct host {
    struct host_config config;
    struct member self; /* as it joins: without number and time */
    struct multiraft *multiraft;
    struct meta *meta;
    struct view *view; /* our copy; NULL: none yet */
    uint32_t number;
    uint64_t disk_id;
    struct known *known;
    struct known *by_number[MEMBER_NUMBERS_MAX];
    struct seed *seeds; /* as many as the settings have */
    struct slot *slots; /* MULTIRAFT_GROUPS_MAX */
    struct history *history;
    struct news *news; /* NULL: we do not lead the meta group */
    struct errand *errands;
    struct bus_keys bus;
    struct trust *trust_next; /* to be used in the next step */
    struct timer step_timer;
    struct timer report_timer;
    uint64_t settings_version;  /* of the view, when they were looked at; */
    uint32_t waiting_count;     /* of them that wait for our next start */
    uint32_t next_asked;        /* whose turn it is to be asked for a view */
    uint32_t heard_meta_leader; /* from others; MEMBER_NONE: nobody knows */
    uint64_t fetch_ns;          /* not to ask for a view before */
    uint64_t newest_version;    /* that anybody has told of */
    uint64_t confirmed_version; /* the newest of which the meta group's leader
                                   has said so in this process; 0: none */
    uint64_t founding_ns;       /* since when we could found; 0: not yet */
    uint64_t join_ns;           /* not to ask before */
    uint64_t heard_ns;          /* when any other node was; 0: not asked yet */
    bool is_started;
    bool is_leaving;
    bool is_stopped;
    bool has_losses;    /* the log does not know of which groups */
    uint64_t sync_ns;   /* when the peers are next looked through */
    bool is_view_new;   /* to be acted upon in the next step */
    uint64_t listen_ns; /* of host_recover.c: since when others are listened
                           for; 0: not yet */
    uint64_t note_ns;   /* that the meta group was taken over is not to be said
                           before */
    bool is_noting;     /* it is being said */
    bool is_alone;      /* no member, or nobody is heard */
    char why_not_joined[sizeof((struct err_detail *)0)->text];
    uint8_t *buffer; /* for questions and answers */
    size_t buffer_bytes;
};

static inline uint64_t host_now_ns(const struct host *host)
{
    return clock_now_ns(host->config.multiraft.clock);
}

static inline struct log *host_log(const struct host *host)
{
    return host->config.multiraft.log;
}

/* The head of what nodes say to each other: an array of at least so many
 * values, of which the version is one. Anything else fails the reader. How
 * many there are: a newer release may say more. */
static inline uint32_t host_read_head(struct reader *reader, uint32_t field_min)
{
    uint32_t count = pack_read_array_of(reader, field_min, UINT32_MAX);
    if (pack_read_uint(reader) != HOST_WIRE_VERSION) {
        reader->failed = true;
    }
    return count;
}

/* ---- host.c ---- */

/* A step soon, not only when the timer is due. */
void host_poke(struct host *host);

/* Take a newer view. Takes `*view` over, and nulls it, if it is newer. */
void host_adopt(struct host *host, struct view **view);

/* An empty machine of the meta group, in place of what there is. ERR_MEMORY */
FALLIBLE host_renew_meta(struct host *host);

/* Who leads a group by the word of our replica, if there is one. */
uint32_t host_leader_by_replica(const struct host *host, uint32_t group);

/* The meta group's leader by the word of our own replica of it, and not by
 * hearsay, which others are not told: it would go round for ever. */
uint32_t host_meta_leader_seen(const struct host *host);

struct known *host_known(const struct host *host, const char *name);

/* Whether a node is heard and stays; we are. */
bool host_is_up(const struct host *host, uint32_t number);

/* A buffer of at least so many bytes; NULL: no memory. Valid until the next
 * call. */
uint8_t *host_buffer(struct host *host, size_t bytes);

/* Ask a node; `errand` (from host_errand()) is freed after its `done`, or if
 * it cannot be asked. False: `done` is not called. */
struct errand *host_errand(struct host *host);

/* Its call is under way: host_ask() says so itself, who uses host_change() has
 * to. */
void host_errand_begun(struct errand *errand);
bool host_ask(struct errand *errand,
              struct peer *peer,
              enum host_service service,
              struct bytes question);

/* To the node with that number, ourselves too. */
bool host_ask_number(struct errand *errand,
                     uint32_t number,
                     enum host_service service,
                     struct bytes question);

/* Whether our view is as new as what the meta group's leader has in this
 * process: one that was kept may be old, and nothing that may happen only once
 * is begun on its word. */
bool host_view_is_confirmed(const struct host *host);

/* What is known of a node is this from now on. NULL: it is us, or there is no
 * memory. */
struct known *host_know(struct host *host,
                        const char *name,
                        const char *door,
                        const char *bus,
                        uint32_t number);

/* ---- host_seeds.c ---- */

/* ERR_MEMORY */
FALLIBLE seeds_open(struct host *host);
void seeds_close(struct host *host);
void seeds_step(struct host *host);

/* Know whom the seeds have named and nobody else has. */
void seeds_know(struct host *host);

/* The door at which a node is to be looked for: `door`, unless a seed has found
 * it elsewhere. */
const char *seeds_door(const struct host *host,
                       const char *name,
                       const char *door);

/* ---- host_join.c ---- */

void join_step(struct host *host);

/* We are a member, and what the view says of us is not so any more: we have
 * moved, or our weight, zone or roles are others. */
bool join_is_moved(const struct host *host);
void join_serve(struct host *host);

/* ---- host_replicas.c ---- */

/* Open what the log has, before multiraft_start(). */
FALLIBLE replicas_open(struct host *host, struct err_detail *why);
/* See what could not be read. */
void replicas_look(struct host *host);
void replicas_close(struct host *host);
void replicas_step(struct host *host);
void replicas_serve(struct host *host);

/* Begin a replica here. `members` has our disk among them. ERR_BUSY: again */
FALLIBLE replicas_begin(struct host *host,
                        uint32_t group,
                        const struct raft_configuration *members);

/* The same with a number of which the meta group has made sure that it is new:
 * whatever the log has, or has lost, of the group is of no more use. */
FALLIBLE replicas_begin_anew(struct host *host,
                             uint32_t group,
                             const struct raft_configuration *members);

/* ---- host_recover.c ---- */

/* Before replicas_step(). */
void recover_step(struct host *host);

/* ---- host_report.c ---- */

void report_step(struct host *host);
void report_serve(struct host *host);
/* Of the news: we do not lead the meta group (any more). */
void report_forget(struct host *host);
bool host_leads_meta(const struct host *host);

/* ---- host_leave.c ---- */

void leave_step(struct host *host);
void leave_serve(struct host *host);

/* ---- host_bus.c ---- */

void bus_step(struct host *host);
void bus_serve(struct host *host);
/* `known` may be NULL. */
void bus_on_change(struct host *host,
                   const struct peer *peer,
                   struct known *known,
                   enum peer_change change);

/* ---- host_trust.c ---- */

void trust_step(struct host *host);
void trust_serve(struct host *host);
void trust_on_begun(struct known *known);

/* ---- controller.c ---- */

/* What the meta group's leader does next. */
void controller_step(struct host *host);

#endif
