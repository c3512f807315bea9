#include "shard/host_core.h"

#include "base/hash.h"
#include "base/pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The key of the bus. The meta group's leader makes it and hands it to every
 * member; a new leader makes a new one, and so does every change of members or
 * of what is trusted, since who has left still has the one before. It is in no
 * log and on no disk: after a restart a node waits for the leader to hand it
 * out again.
 *
 * A key is taken only from the node that leads as far as is known here, and not
 * from any node: the bus can be heard by whoever reaches its port, so a member
 * that could hand out a key of its own choice could go on listening with it
 * after it was revoked. For the same reason the order of keys, by term and then
 * by count, is forgotten together with the node that the last one came from: it
 * might have named the highest term there is.
 */

#define CHANGE_PAUSE_NS NS_PER_S /* between changes of members */
#define RETRY_NS (500 * NS_PER_MS)
#define QUESTION_BYTES (32 + ENDPOINT_BUS_KEY_BYTES)

/* ---- the leader ---- */

/* All that a change of calls for another key. */
static uint64_t fingerprint(const struct host *host)
{
    const struct members *members = &host->view->members;
    uint64_t hash = trust_version(endpoint_trust(host->config.endpoint));
    for (uint32_t i = 0; i < members->count; i++) {
        const struct member *member = &members->list[i];
        hash = hash_bytes(bytes_of_text(member->name), hash + member->number);
    }
    return hash;
}

static bool is_due(const struct host *host, uint64_t term)
{
    const struct bus_keys *keys = &host->bus;
    if (keys->from != host->number || keys->term != term) {
        return true; /* we have just begun to lead */
    }
    return (keys->is_exposed || keys->made_for != fingerprint(host)) &&
           host_now_ns(host) - keys->made_ns >= CHANGE_PAUSE_NS;
}

/* On the bus a key is known by 32 bits: enough to tell apart those that are in
 * use at the same time. */
static uint32_t number_of(uint64_t term, uint64_t count)
{
    return (uint32_t)(term << 16 | (count & 0xffff));
}

static void make_key(struct host *host, uint64_t term)
{
    struct bus_keys *keys = &host->bus;
    uint64_t count =
        keys->from == host->number && keys->term == term ? keys->count + 1 : 1;
    if (number_of(term, count) == 0) {
        count++;
    }
    *keys = (struct bus_keys){.term = term,
                              .count = count,
                              .from = host->number,
                              .made_for = fingerprint(host),
                              .made_ns = host_now_ns(host)};
    endpoint_bus_key_make(host->config.endpoint, number_of(term, count));
    log_info(host_log(host), "bus.key_made", LOG_UNSIGNED("term", term),
             LOG_UNSIGNED("count", count));
}

static void on_taken(struct errand *errand, enum err err, struct bytes answer)
{
    struct host *host = errand->host;
    struct known *known = host_known(host, errand->name);
    (void)answer;
    if (known) {
        known->is_key_asked = false;
        known->key_ns = host_now_ns(host) + RETRY_NS;
        if (!err) {
            known->key_number = (uint32_t)errand->number;
        }
    }
}

/* [version, term, count, key (only this peer can open it)] */
static void hand_out(struct host *host, struct known *known)
{
    const struct bus_keys *keys = &host->bus;
    uint8_t wrapped[ENDPOINT_BUS_KEY_BYTES];
    uint8_t buffer[QUESTION_BYTES];
    struct writer inner = writer_of(wrapped, sizeof wrapped);
    struct writer writer = writer_of(buffer, sizeof buffer);
    struct errand *errand = host_errand(host);
    if (!errand) {
        return;
    }
    if (endpoint_bus_key_write(host->config.endpoint, known->peer, &inner)) {
        free(errand);
        return;
    }
    pack_record(&writer, 4);
    pack_uint(&writer, HOST_WIRE_VERSION);
    pack_uint(&writer, keys->term);
    pack_uint(&writer, keys->count);
    pack_bin(&writer, writer_bytes(&inner));
    pack_record_end(&writer);
    errand->done = on_taken;
    errand->number = number_of(keys->term, keys->count);
    (void)snprintf(errand->name, sizeof errand->name, "%s", known->name);
    known->is_key_asked = host_ask(errand, known->peer, HOST_SERVICE_BUS_KEY,
                                   writer_bytes(&writer));
}

static bool shall_have(const struct host *host, const struct known *known)
{
    return known->number != MEMBER_NONE && known->peer &&
           peer_is_up(known->peer) && !known->is_key_asked &&
           known->key_number != number_of(host->bus.term, host->bus.count) &&
           host_now_ns(host) >= known->key_ns;
}

/* The order of the keys is worth no more than who sent the last one. */
static void forget_who_has_left(struct host *host)
{
    if (host->bus.term != 0 && host->bus.from != host->number && host->view &&
        !members_find(&host->view->members, host->bus.from)) {
        host->bus = (struct bus_keys){.from = MEMBER_NONE};
    }
}

void bus_step(struct host *host)
{
    forget_who_has_left(host);
    if (!host->view || host->number == MEMBER_NONE || !host_leads_meta(host)) {
        return;
    }
    uint64_t term = raft_term(group_raft(host_group(host, META_GROUP)));
    if (is_due(host, term)) {
        make_key(host, term);
    }
    if (endpoint_bus_key_number(host->config.endpoint) == 0) {
        return; /* there is no bus */
    }
    for (struct known *known = host->known; known; known = known->next) {
        if (shall_have(host, known)) {
            hand_out(host, known);
        }
    }
}

void bus_on_change(struct host *host,
                   const struct peer *peer,
                   struct known *known,
                   enum peer_change change)
{
    if (change == PEER_BEGUN && known) {
        known->key_number = 0;
        known->key_ns = 0;
    }
    if (change == PEER_CUT && peer_role(peer) == ROLE_NODE) {
        host->bus.is_exposed = true;
        if (known && known->number == host->bus.from) {
            host->bus = (struct bus_keys){.from = MEMBER_NONE};
        }
    }
}

/* ---- the others ---- */

/* Whether a node leads the meta group in that term, as far as is known here;
 * who has a replica of it knows the term, too. */
static bool leads_in(const struct host *host, uint32_t node, uint64_t term)
{
    const struct group *meta = host_group(host, META_GROUP);
    return node != MEMBER_NONE && node == host_meta_leader(host) &&
           (!meta || raft_term(group_raft(meta)) == term);
}

static bool is_newer(const struct bus_keys *keys, uint64_t term, uint64_t count)
{
    return term > keys->term || (term == keys->term && count > keys->count);
}

static enum err take_key(struct host *host,
                         const struct known *known,
                         struct bytes question)
{
    struct bus_keys *keys = &host->bus;
    struct reader reader = reader_of(question);
    (void)host_read_head(&reader, 4);
    uint64_t term = pack_read_uint(&reader);
    uint64_t count = pack_read_uint(&reader);
    struct bytes key = pack_read_bin(&reader);
    if (reader.failed || number_of(term, count) == 0) {
        return ERR_MALFORMED;
    }
    if (!known || !known->peer || !leads_in(host, known->number, term)) {
        return ERR_NOT_LEADER; /* it asks again, until we know as well */
    }
    if (!is_newer(keys, term, count)) {
        return term == keys->term && count == keys->count ? ERR_NONE
                                                          : ERR_SUPERSEDED;
    }
    enum err err = endpoint_bus_key_take(host->config.endpoint, known->peer,
                                         number_of(term, count), key);
    if (!err) {
        *keys = (struct bus_keys){
            .term = term, .count = count, .from = known->number};
    }
    return err;
}

static void on_bus_key(void *context,
                       struct asked *asked,
                       struct bytes question)
{
    struct host *host = context;
    const struct certificate *from = asked_certificate(asked);
    const struct known *known = from ? host_known(host, from->name) : NULL;
    asked_answer(&asked, take_key(host, known, question), (struct bytes){0});
}

void bus_serve(struct host *host)
{
    host->bus.from = MEMBER_NONE;
    calls_serve(host->config.calls, HOST_SERVICE_BUS_KEY, on_bus_key, host,
                false);
}
