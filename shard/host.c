#include "shard/host_core.h"

#include "base/owner.h"
#include "base/pack.h"
#include "base/scope.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST_BYTES 24
#define KNOCK_NS (2 * NS_PER_S) /* then we knock as well, see sync_known() */
#define LONELY_NS (10 * NS_PER_S)
#define SYNC_NS NS_PER_S
#define SYNC_ALONE_NS (200 * NS_PER_MS)

void host_config_defaults(struct host_config *config)
{
    multiraft_config_defaults(&config->multiraft);
    config->step_ms = 50;
    config->report_ms = 500;
    config->down_ms = 5 * 60 * 1000;
    config->moves_max = 8;
    config->may_found = true;
}

/* ---- asking others ---- */

static void on_errand_done(struct call *call, enum err err, struct bytes answer)
{
    struct errand *errand = OWNER_OF(call, struct errand, call);
    struct host *host = errand->host;
    assert(errand == host->errands || errand->previous);
    if (errand->next) {
        errand->next->previous = errand->previous;
    }
    if (errand->previous) {
        errand->previous->next = errand->next;
    } else {
        host->errands = errand->next;
    }
    errand->done(errand, err, answer);
    free(errand);
}

struct errand *host_errand(struct host *host)
{
    struct errand *errand = calloc(1, sizeof *errand);
    if (errand) {
        errand->host = host;
        errand->call.done = on_errand_done;
    }
    return errand;
}

void host_errand_begun(struct errand *errand)
{
    struct host *host = errand->host;
    errand->previous = NULL;
    errand->next = host->errands;
    if (host->errands) {
        host->errands->previous = errand;
    }
    host->errands = errand;
}

bool host_ask(struct errand *errand,
              struct peer *peer,
              enum host_service service,
              struct bytes question)
{
    struct host *host = errand->host;
    if (host->is_stopped ||
        calls_ask(host->config.calls, peer, (uint8_t)service, question,
                  HOST_ASK_MS, &errand->call)) {
        free(errand);
        return false;
    }
    host_errand_begun(errand);
    return true;
}

bool host_ask_number(struct errand *errand,
                     uint32_t number,
                     enum host_service service,
                     struct bytes question)
{
    const struct host *host = errand->host;
    struct peer *peer = host_peer(host, number);
    if (!peer && number != host->number) {
        free(errand);
        return false;
    }
    return host_ask(errand, peer, service, question);
}

uint8_t *host_buffer(struct host *host, size_t bytes)
{
    if (bytes > host->buffer_bytes) {
        uint8_t *buffer = realloc(host->buffer, bytes);
        if (!buffer) {
            return NULL;
        }
        host->buffer = buffer;
        host->buffer_bytes = bytes;
    }
    return host->buffer;
}

/* ---- whom we know ---- */

struct known *host_known(const struct host *host, const char *name)
{
    for (struct known *known = host->known; known; known = known->next) {
        if (strcmp(known->name, name) == 0) {
            return known;
        }
    }
    return NULL;
}

static void unlink_peer(struct host *host, struct known *known)
{
    if (!known->peer) {
        return;
    }
    if (known->number != MEMBER_NONE) {
        raft_links_remove(host->config.raft_links, known->number);
    }
    calls_forget_peer(host->config.calls, known->peer);
    endpoint_peer_remove(host->config.endpoint, &known->peer);
    known->peer = NULL;
}

static void link_peer(struct host *host, struct known *known)
{
    struct peer_address address = {
        .name = known->name,
        .door = known->door,
        .bus = known->bus[0] ? known->bus : NULL,
        .knocks = known->knocks,
    };
    const struct peer *present = known->peer;
    enum err err =
        endpoint_peer_add(host->config.endpoint, &address, &known->peer);
    if (err) {
        log_warn(host_log(host), "host.no_link", LOG_TEXT("node", known->name),
                 LOG_TEXT("door", known->door), LOG_ERR(err));
        return;
    }
    bool is_new = known->peer != present;
    known->since_ns = host_now_ns(host);
    if (is_new && known->number != MEMBER_NONE &&
        raft_links_add(host->config.raft_links, known->number, known->peer)) {
        log_warn(host_log(host), "host.number_taken",
                 LOG_TEXT("node", known->name));
    }
}

struct known *host_know(struct host *host,
                        const char *name,
                        const char *door,
                        const char *bus,
                        uint32_t number)
{
    if (strcmp(name, host->config.self.name) == 0) {
        return NULL;
    }
    struct known *known = host_known(host, name);
    if (!known) {
        known = calloc(1, sizeof *known);
        if (!known) {
            return NULL; /* the next step tries again */
        }
        (void)snprintf(known->name, sizeof known->name, "%s", name);
        known->number = MEMBER_NONE;
        known->next = host->known;
        host->known = known;
    }
    known->is_strange = false;
    if (known->number != number && known->peer) {
        if (known->number != MEMBER_NONE) {
            raft_links_remove(host->config.raft_links, known->number);
        }
        if (number != MEMBER_NONE &&
            raft_links_add(host->config.raft_links, number, known->peer)) {
            log_warn(host_log(host), "host.number_taken",
                     LOG_TEXT("node", name));
        }
    }
    known->number = number;
    if (strcmp(known->door, door) != 0 || strcmp(known->bus, bus) != 0) {
        unlink_peer(host, known);
        (void)snprintf(known->door, sizeof known->door, "%s", door);
        (void)snprintf(known->bus, sizeof known->bus, "%s", bus);
    }
    if (number != MEMBER_NONE) {
        host->by_number[number] = known;
    }
    return known;
}

/* Founders have the numbers of the settings until there is a view. */
static void know_settings(struct host *host)
{
    const struct settings *settings = host->config.settings;
    bool founds = !host->view && host_group(host, META_GROUP);
    for (uint32_t i = 0; i < settings->cluster.member_count; i++) {
        const struct settings_member *member = &settings->cluster.members[i];
        char door[SOCKET_URL_BYTES];
        char bus[SOCKET_URL_BYTES];
        if (host->view &&
            members_find_name(&host->view->members, member->name)) {
            continue;
        }
        settings_door_url(door, settings, member, SETTINGS_ADVERTISED);
        settings_bus_url(bus, settings, member, SETTINGS_ADVERTISED);
        (void)host_know(host, member->name,
                        seeds_door(host, member->name, door), bus,
                        founds ? i : MEMBER_NONE);
    }
}

/* Those whose numbers have changed give them up before others take them. */
static void release_numbers(struct host *host)
{
    for (struct known *known = host->known; host->view && known;
         known = known->next) {
        const struct member *member =
            members_find_name(&host->view->members, known->name);
        if (known->number != MEMBER_NONE &&
            (!member || member->number != known->number)) {
            if (known->peer) {
                raft_links_remove(host->config.raft_links, known->number);
            }
            known->number = MEMBER_NONE;
        }
    }
}

static void forget_strange(struct host *host)
{
    struct known **at = &host->known;
    while (*at) {
        struct known *known = *at;
        if (known->is_strange) {
            *at = known->next;
            unlink_peer(host, known);
            free(known);
        } else {
            at = &known->next;
        }
    }
}

/*
 * The peers are the members; before there is a view, or while we are none of
 * them, those of the settings as well.
 *
 * As a rule the node with the smaller name knocks, and the other waits for it.
 * One that joins is not known to those who should knock: so it knocks at all
 * who do not come, and goes back to the rule when it is a member. So does a
 * member that hears nobody, or that has moved.
 */
/* Nobody is heard any more: perhaps we were forgotten, and they do not know us.
 */
static bool is_lonely(struct host *host)
{
    uint64_t now_ns = host_now_ns(host);
    for (const struct known *known = host->known; known; known = known->next) {
        if (known->peer && peer_is_up(known->peer)) {
            host->heard_ns = now_ns;
        }
    }
    if (host->heard_ns == 0) {
        host->heard_ns = now_ns; /* we have just begun */
    }
    return now_ns - host->heard_ns > LONELY_NS;
}

static void sync_known(struct host *host)
{
    const struct view *view = host->view;
    bool is_member = host->number != MEMBER_NONE;
    if (!host->is_view_new && host_now_ns(host) < host->sync_ns) {
        return; /* it compares everybody with everybody */
    }
    host->is_view_new = false;
    host->sync_ns = host_now_ns(host) + (is_member ? SYNC_NS : SYNC_ALONE_NS);
    host->is_alone = is_lonely(host) || !is_member;
    bool waits = !host->is_alone && !join_is_moved(host);
    uint64_t now_ns = host_now_ns(host);
    memset(host->by_number, 0, sizeof host->by_number);
    for (struct known *known = host->known; known; known = known->next) {
        known->is_strange = true;
    }
    release_numbers(host);
    if (!is_member) {
        know_settings(host);
    }
    for (uint32_t i = 0; view && i < view->members.count; i++) {
        const struct member *member = &view->members.list[i];
        (void)host_know(host, member->name,
                        seeds_door(host, member->name, member->door),
                        member->bus, member->number);
    }
    seeds_know(host);
    forget_strange(host);
    for (struct known *known = host->known; known; known = known->next) {
        bool shall_knock = known->knocks;
        if (waits) {
            shall_knock = false;
        } else if (known->peer && !peer_is_up(known->peer) &&
                   now_ns - known->since_ns > KNOCK_NS) {
            shall_knock = true;
        }
        if (known->knocks && !shall_knock) {
            known->knocks = false;
            link_peer(host, known); /* the session stays */
        } else if (known->knocks != shall_knock) {
            known->knocks = true;
            unlink_peer(host, known);
        }
        if (!known->peer) {
            link_peer(host, known);
        }
    }
}

/* ---- the view ---- */

bool host_is_up(const struct host *host, uint32_t number)
{
    const struct known *known =
        number < MEMBER_NUMBERS_MAX ? host->by_number[number] : NULL;
    return number == host->number ||
           (known && known->peer && peer_is_up(known->peer) &&
            !known->is_leaving);
}

static void keep_view(struct host *host)
{
    const struct host_keep *keep = &host->config.keep;
    size_t bytes = view_bytes_max(host->view);
    uint8_t *buffer = keep->save ? host_buffer(host, bytes) : NULL;
    if (buffer) {
        struct writer writer = writer_of(buffer, bytes);
        view_encode(host->view, &writer);
        assert(!writer.failed);
        keep->save(keep->context, writer_bytes(&writer));
    }
}

/* Others need not wait for their next report. */
static void tell_version(struct host *host)
{
    uint8_t buffer[DIGEST_BYTES];
    struct writer writer = writer_of(buffer, sizeof buffer);
    pack_record(&writer, 2);
    pack_uint(&writer, HOST_WIRE_VERSION);
    pack_uint(&writer, host->view->version);
    pack_record_end(&writer);
    /* A hint, which may be lost. */
    (void)!endpoint_publish(host->config.endpoint, writer_bytes(&writer));
}

static void see_view(struct host *host)
{
    const struct member *self =
        members_find_name(&host->view->members, host->config.self.name);
    host->number =
        self && self->disk_id == host->disk_id ? self->number : MEMBER_NONE;
    if (host->view->version > host->newest_version) {
        host->newest_version = host->view->version;
    }
    const struct view_settings *agreed = &host->view->settings;
    if (agreed->version != host->settings_version) {
        host->settings_version = agreed->version;
        host->waiting_count =
            view_settings_waiting(agreed, host->config.settings, NULL, NULL);
    }
    host->is_view_new = true;
}

/* A node that would not understand the others is not one of them. */
static enum err check_level(const struct host *host,
                            const struct view *view,
                            struct err_detail *why)
{
    uint32_t known_level = host->config.self.feature_level;
    if (view->feature_level <= known_level) {
        return ERR_NONE;
    }
    err_explain(why,
                "the cluster is at feature level %u, and %s knows %u at most: "
                "run a newer release",
                view->feature_level, host->config.self.release, known_level);
    return ERR_VERSION;
}

static void fail(struct host *host,
                 int64_t group,
                 enum err err,
                 const char *what)
{
    log_error(host_log(host), "host.failed", LOG_NUMBER("group", group),
              LOG_TEXT("what", what), LOG_ERR(err));
    host->config.events.on_failed(host->config.events.context, err, what);
}

static void note_view(struct host *host, const struct view *view)
{
    history_note_view(host->history, host->view, view,
                      clock_wall_ms(host->config.multiraft.clock));
}

void host_adopt(struct host *host, struct view **view)
{
    struct err_detail why;
    if ((*view)->version == 0 ||
        (host->view && (*view)->version <= host->view->version &&
         !HAS_HOST_FAULT(&host->config, OLDER_VIEW))) {
        return;
    }
    enum err err = check_level(host, *view, &why);
    if (err && !host->is_stopped) {
        host_stop(host);
        fail(host, META_GROUP, err, why.text);
    }
    if (err) {
        return;
    }
    bool was_member = host->number != MEMBER_NONE;
    note_view(host, *view);
    view_close(&host->view);
    host->view = *view;
    *view = NULL;
    see_view(host);
    if (host->number != MEMBER_NONE && !was_member) {
        log_info(host_log(host), "host.member",
                 LOG_NUMBER("number", host->number),
                 LOG_UNSIGNED("view", host->view->version));
    }
    keep_view(host);
    if (host_leads_meta(host)) {
        tell_version(host);
    }
    host_poke(host);
    if (host->is_started && !host->is_stopped) { /* that we have it, too */
        reactor_timer_set(host->config.multiraft.reactor, &host->report_timer,
                          NS_PER_MS);
    }
    if (host->config.events.on_view) {
        host->config.events.on_view(host->config.events.context, host->view);
    }
}

/* The meta group's replica here has applied a change. */
static void on_meta_view(void *context, const struct view *view)
{
    struct host *host = context;
    scoped(view_close) struct view *copy = NULL;
    if (view->version == 0 ||
        (host->view && view->version <= host->view->version)) {
        return;
    }
    if (view_copy(&copy, view)) {
        log_warn(host_log(host), "host.view_behind", LOG_ERR(ERR_MEMORY));
        return; /* fetched from another, later */
    }
    host_adopt(host, &copy);
}

enum err host_renew_meta(struct host *host)
{
    struct meta *fresh = NULL;
    struct meta_events events = {.context = host, .on_view = on_meta_view};
#ifdef TROUPE_FAULTS
    events.fault = host->config.fault;
#endif
    enum err err = meta_open(&fresh, &events);
    if (!err) {
        meta_close(&host->meta);
        host->meta = fresh;
    }
    return err;
}

static enum err load_view(struct host *host, struct err_detail *why)
{
    const struct host_keep *keep = &host->config.keep;
    uint8_t *bytes = NULL;
    size_t length = 0;
    if (!keep->load || keep->load(keep->context, &bytes, &length)) {
        return ERR_NONE;
    }
    scoped(view_close) struct view *view = NULL;
    enum err err = view_decode(&view, bytes_of(bytes, length));
    free(bytes);
    if (err) {
        log_warn(host_log(host), "host.kept_view_unread", LOG_ERR(err),
                 LOG_TEXT("next", "the other nodes are asked for it"));
        return ERR_NONE;
    }
    if (view->version == 0 ||
        memcmp(view->cluster_id, host->config.settings->cluster.id,
               sizeof view->cluster_id) != 0) {
        return ERR_NONE;
    }
    err = check_level(host, view, why);
    if (err) {
        return err;
    }
    note_view(host, view);
    host->view = view;
    view = NULL;
    see_view(host);
    return ERR_NONE;
}

bool host_view_is_confirmed(const struct host *host)
{
    return host->view && host->confirmed_version != 0 &&
           host->view->version >= host->confirmed_version;
}

void host_on_digest(struct host *host, const char *from, struct bytes digest)
{
    struct reader reader = reader_of(digest);
    (void)host_read_head(&reader, 2);
    uint64_t newest = pack_read_uint(&reader);
    (void)from;
    if (reader.failed) {
        return;
    }
    if (newest > host->newest_version) {
        host->newest_version = newest;
        host_poke(host);
    }
}

/* ---- who leads ---- */

uint32_t host_leader_by_replica(const struct host *host, uint32_t group)
{
    const struct group *replica = host_group(host, group);
    if (!replica) {
        return MEMBER_NONE;
    }
    const struct raft *raft = group_raft(replica);
    uint64_t leader = raft_leader(raft);
    const struct raft_member *member =
        leader
            ? raft_configuration_find(raft_newest_configuration(raft), leader)
            : NULL;
    return member ? member->node : MEMBER_NONE;
}

uint32_t host_leader(const struct host *host, uint32_t shard)
{
    const struct group *group = host_group(host, shard_group_id(shard));
    if (group && !raft_is_retired(group_raft(group))) {
        return host_leader_by_replica(host, shard_group_id(shard));
    }
    if (!host->view || shard >= host->view->map.shard_count) {
        return MEMBER_NONE;
    }
    const struct shard_place *place = &host->view->map.places[shard];
    return place->replica_count > 0 ? place->replicas[0] : MEMBER_NONE;
}

uint32_t host_meta_leader_seen(const struct host *host)
{
    return host_leader_by_replica(host, META_GROUP);
}

uint32_t host_meta_leader(const struct host *host)
{
    uint32_t leader = host_meta_leader_seen(host);
    return leader != MEMBER_NONE ? leader : host->heard_meta_leader;
}

bool host_leads_meta(const struct host *host)
{
    const struct group *group = host_group(host, META_GROUP);
    return group && raft_is_settled(group_raft(group));
}

static void on_group_change(void *context, struct group *group)
{
    struct host *host = context;
    struct slot *slot = &host->slots[group_id(group)];
    uint32_t leader = host_leader_by_replica(host, group_id(group));
    if (slot->leader == leader) {
        return;
    }
    slot->leader = leader;
    host_poke(host);
    if (group_id(group) != META_GROUP && host->config.events.on_leader) {
        host->config.events.on_leader(host->config.events.context,
                                      shard_of_group(group_id(group)));
    }
}

static void on_failed(void *context,
                      struct group *group,
                      enum err err,
                      const char *what)
{
    fail(context, group ? (int64_t)group_id(group) : -1, err, what);
}

/* ---- steps ---- */

static void run_step(struct timer *timer)
{
    struct host *host = OWNER_OF(timer, struct host, step_timer);
    if (host->is_stopped) {
        return;
    }
    sync_known(host);
    seeds_step(host);
    join_step(host);
    recover_step(host);
    if (host->is_stopped) {
        return; /* it was to take over what it must not */
    }
    replicas_step(host);
    controller_step(host);
    leave_step(host);
    bus_step(host);
    trust_step(host);
    if (!host->step_timer.is_set) {
        reactor_timer_set(host->config.multiraft.reactor, &host->step_timer,
                          host->config.step_ms * NS_PER_MS);
    }
}

void host_poke(struct host *host)
{
    if (host->is_started && !host->is_stopped) {
        reactor_timer_set(host->config.multiraft.reactor, &host->step_timer, 0);
    }
}

static void run_report(struct timer *timer)
{
    struct host *host = OWNER_OF(timer, struct host, report_timer);
    if (!host->is_stopped) {
        report_step(host);
        reactor_timer_set(host->config.multiraft.reactor, timer,
                          host->config.report_ms * NS_PER_MS);
    }
}

/* ---- life ---- */

static enum err open_groups(struct host *host, struct err_detail *why)
{
    struct wal_report report = {0};
    struct multiraft_config config = host->config.multiraft;
    config.mesh = raft_links_mesh(host->config.raft_links);
    config.events = (struct multiraft_events){
        .context = host, .on_change = on_group_change, .on_failed = on_failed};
    enum err err = multiraft_open(&host->multiraft, &config, &report, why);
    if (err) {
        return err;
    }
    err = replicas_open(host, why);
    if (!err) { /* finds damage, too */
        err = multiraft_start(host->multiraft, &report);
    }
    if (report.what[0]) {
        log_error(host_log(host), "store.damaged",
                  LOG_TEXT("what", report.what),
                  LOG_NUMBER("groups", report.lost_group_count),
                  LOG_TEXT("next", "they come back from the other replicas"));
    }
    if (!err) {
        host->has_losses = report.unlisted_are_lost;
        replicas_look(host);
    }
    return err;
}

/* The texts of the configuration are the caller's. */
static void copy_self(struct host *host)
{
    struct host_self *from = &host->config.self;
    struct member *self = &host->self;
    *self = (struct member){.weight = from->weight,
                            .roles = from->roles,
                            .disk_id = host->disk_id,
                            .state = MEMBER_ACTIVE};
    (void)snprintf(self->name, sizeof self->name, "%s", from->name);
    (void)snprintf(self->zone, sizeof self->zone, "%s", from->zone);
    (void)snprintf(self->door, sizeof self->door, "%s", from->door);
    (void)snprintf(self->bus, sizeof self->bus, "%s", from->bus);
    *from = (struct host_self){.name = self->name,
                               .door = self->door,
                               .bus = self->bus,
                               .zone = self->zone,
                               .weight = self->weight,
                               .roles = self->roles,
                               .release = from->release,
                               .feature_level = from->feature_level
                                                    ? from->feature_level
                                                    : VIEW_FEATURE_LEVEL};
}

enum err host_open(struct host **out,
                   const struct host_config *config,
                   struct err_detail *why)
{
    scoped(host_close) struct host *host = calloc(1, sizeof *host);
    if (!host) {
        return ERR_MEMORY;
    }
    host->config = *config;
    host->number = MEMBER_NONE;
    host->heard_meta_leader = MEMBER_NONE;
    host->disk_id = config->multiraft.disk_id;
    copy_self(host);
    host->step_timer.fire = run_step;
    host->report_timer.fire = run_report;
    host->slots = calloc(MULTIRAFT_GROUPS_MAX, sizeof *host->slots);
    if (!host->slots) {
        return ERR_MEMORY;
    }
    for (uint32_t i = 0; i < MULTIRAFT_GROUPS_MAX; i++) {
        host->slots[i].leader = MEMBER_NONE;
        host->slots[i].seen_generation = GENERATION_UNSEEN;
    }
    enum err err = history_open(&host->history);
    if (!err) {
        err = load_view(host, why);
    }
    if (!err) {
        err = seeds_open(host);
    }
    if (!err) {
        err = host_renew_meta(host);
    }
    if (!err) {
        err = open_groups(host, why);
    }
    if (err) {
        return err;
    }
    *out = host;
    host = NULL;
    return ERR_NONE;
}

void host_start(struct host *host)
{
    raft_links_join(host->config.raft_links, host->multiraft,
                    host->config.endpoint, CHANNEL_RAFT);
    join_serve(host);
    replicas_serve(host);
    report_serve(host);
    leave_serve(host);
    bus_serve(host);
    trust_serve(host);
    host->is_started = true;
    host_poke(host);
    reactor_timer_set(host->config.multiraft.reactor, &host->report_timer,
                      host->config.report_ms * NS_PER_MS);
}

void host_stop(struct host *host)
{
    if (!host->is_stopped) {
        host->is_stopped = true;
        reactor_timer_cancel(host->config.multiraft.reactor, &host->step_timer);
        reactor_timer_cancel(host->config.multiraft.reactor,
                             &host->report_timer);
    }
}

bool host_is_idle(const struct host *host)
{
    return multiraft_is_idle(host->multiraft);
}

const char *host_waits_for(const struct host *host)
{
    return multiraft_waits_for(host->multiraft);
}

/* Nobody is told any more. */
static void drop_errands(struct host *host)
{
    while (host->errands) {
        struct errand *errand = host->errands;
        host->errands = errand->next;
        calls_cancel(host->config.calls, &errand->call);
        if (errand->asked) {
            asked_answer(&errand->asked, ERR_CLOSED, (struct bytes){0});
        }
        free(errand);
    }
}

void host_close(struct host **host)
{
    if (!*host) {
        return;
    }
    host_stop(*host);
    drop_errands(*host);
    seeds_close(*host);
    if ((*host)->is_started) {
        raft_links_leave((*host)->config.raft_links);
    }
    multiraft_close(&(*host)->multiraft);
    replicas_close(*host);
    report_forget(*host);
    meta_close(&(*host)->meta);
    view_close(&(*host)->view);
    history_close(&(*host)->history);
    trust_unref(&(*host)->trust_next);
    while ((*host)->known) {
        struct known *known = (*host)->known;
        (*host)->known = known->next;
        free(known); /* the endpoint closes the peers */
    }
    free((*host)->slots);
    free((*host)->buffer);
    free(*host);
    *host = NULL;
}

void host_on_change(struct host *host,
                    struct peer *peer,
                    enum peer_change change)
{
    raft_links_on_change(host->config.raft_links, peer, change);
    struct known *known = host_known(host, peer_name(peer));
    if (known && known->peer != peer) {
        known = NULL; /* a client of that name, or a visitor */
    }
    bus_on_change(host, peer, known, change);
    if (change == PEER_BEGUN && known) {
        known->is_leaving = false;
        trust_on_begun(known);
    }
    if (change == PEER_UP) {
        host_poke(host);
    }
}

/* ---- what is ---- */

const struct view *host_view(const struct host *host)
{
    return host->view;
}

uint32_t host_number(const struct host *host)
{
    return host->number;
}

struct peer *host_peer(const struct host *host, uint32_t number)
{
    return number < MEMBER_NUMBERS_MAX && host->by_number[number]
               ? host->by_number[number]->peer
               : NULL;
}

struct group *host_group(const struct host *host, uint32_t group)
{
    return host->multiraft && group < MULTIRAFT_GROUPS_MAX
               ? multiraft_group(host->multiraft, group)
               : NULL;
}

struct wal_stats host_log_stats(const struct host *host)
{
    return wal_stats(multiraft_wal(host->multiraft));
}

const struct meta *host_meta(const struct host *host)
{
    return host->meta;
}

const struct history *host_history(const struct host *host)
{
    return host->history;
}

/* Every shard whose owner we are is led by somebody, if its majority is there
 * to elect one. */
static bool are_shards_ready(const struct host *host, struct err_detail *why)
{
    const struct shard_map *map = &host->view->map;
    for (uint32_t shard = 0; shard < map->shard_count; shard++) {
        const struct group *group = host_group(host, shard_group_id(shard));
        if (!shard_place_has(&map->places[shard], host->number)) {
            continue;
        }
        if (!group || host_leader_by_replica(host, shard_group_id(shard)) ==
                          MEMBER_NONE) {
            err_explain(why, "shard %u %s", shard,
                        group ? "has no leader yet" : "has not begun here yet");
            return false;
        }
    }
    return true;
}

bool host_is_ready(const struct host *host, struct err_detail *why)
{
    if (!host->view) {
        err_explain(why, "the cluster is not founded, or nobody answers: %s",
                    host->why_not_joined[0] ? host->why_not_joined
                                            : "asking the other nodes");
        return false;
    }
    if (host->number == MEMBER_NONE) {
        err_explain(why, "this node has not joined yet: %s",
                    host->why_not_joined[0] ? host->why_not_joined
                                            : "asking to");
        return false;
    }
    return are_shards_ready(host, why);
}

enum err host_transfer(struct host *host, uint32_t shard, uint32_t to)
{
    struct group *group = host_group(host, shard_group_id(shard));
    if (!group) {
        return ERR_NOT_LEADER;
    }
    const struct raft_configuration *members =
        raft_newest_configuration(group_raft(group));
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->members[i].node == to && members->members[i].is_voter) {
            return group_transfer(group, members->members[i].number);
        }
    }
    return ERR_NOT_FOUND;
}
