#include "shard/host_core.h"

#include "base/pack.h"
#include "base/scope.h"

#include <stdio.h>
#include <string.h>

/*
 * What is trusted spreads by itself: it is enough that one node hears of a
 * revocation. Each node tells each other, once in a session and again when it
 * has a newer one, which version it has; who has an older one asks for the
 * text. It is believed because the authority has signed it, whoever brings it.
 *
 * No leader takes part, so that a revocation also reaches those who have none.
 */

#define RETRY_NS (500 * NS_PER_MS)
#define REFUSED_NS (60 * NS_PER_S) /* who brings nonsense is not asked soon */
#define QUESTION_BYTES 32
#define ANSWER_BYTES 64 /* besides the text */

static uint64_t version_here(const struct host *host)
{
    return trust_version(endpoint_trust(host->config.endpoint));
}

/* ---- asking ---- */

/* It is used in the next step: links may be cut by it, and who brings it is at
 * the other end of one. */
static enum err keep_for_step(struct host *host,
                              struct bytes text,
                              struct err_detail *why)
{
    scoped(trust_unref) struct trust *trust = NULL;
    enum err err = trust_decode(&trust, text, why);
    if (!err && host->trust_next &&
        trust_version(trust) <= trust_version(host->trust_next)) {
        return ERR_NONE; /* another was faster */
    }
    if (!err) {
        err =
            trust_check_next(endpoint_trust(host->config.endpoint), trust, why);
    }
    if (!err) {
        trust_unref(&host->trust_next);
        host->trust_next = trust;
        trust = NULL;
        host_poke(host);
    }
    return err;
}

static void take_text(struct host *host, struct known *known, struct bytes text)
{
    struct err_detail why = {{0}};
    if (known->trust_version <= version_here(host)) {
        return;
    }
    enum err err = keep_for_step(host, text, &why);
    if (err && err != ERR_SUPERSEDED) { /* or we have one meanwhile */
        known->trust_ns = host_now_ns(host) + REFUSED_NS;
        log_error(host_log(host), "trust.refused",
                  LOG_TEXT("from", known->name), LOG_ERR(err),
                  LOG_TEXT("why", why.text),
                  LOG_TEXT("next", "what is trusted stays as it is"));
    }
}

/* [version, version of the trust, its text if it is newer than the asker's] */
static void on_trust_answer(struct errand *errand,
                            enum err err,
                            struct bytes answer)
{
    struct host *host = errand->host;
    struct known *known = host_known(host, errand->name);
    struct reader reader = reader_of(answer);
    if (!known) {
        return;
    }
    known->is_trust_asked = false;
    known->trust_ns = host_now_ns(host) + RETRY_NS;
    (void)host_read_head(&reader, 3);
    uint64_t version = pack_read_uint(&reader);
    struct bytes text = pack_read_bin(&reader);
    if (err || reader.failed) {
        return;
    }
    known->trust_told = errand->number;
    known->trust_version = version;
    take_text(host, known, text);
}

/* [version, version of our trust] */
static void ask(struct host *host, struct known *known)
{
    uint8_t buffer[QUESTION_BYTES];
    struct writer writer = writer_of(buffer, sizeof buffer);
    struct errand *errand = host_errand(host);
    if (!errand) {
        return;
    }
    pack_record(&writer, 2);
    pack_uint(&writer, HOST_WIRE_VERSION);
    pack_uint(&writer, version_here(host));
    pack_record_end(&writer);
    errand->done = on_trust_answer;
    errand->number = version_here(host);
    (void)snprintf(errand->name, sizeof errand->name, "%s", known->name);
    known->is_trust_asked = host_ask(errand, known->peer, HOST_SERVICE_TRUST,
                                     writer_bytes(&writer));
}

/* ---- steps ---- */

static void use_next(struct host *host)
{
    scoped(trust_unref) struct trust *trust = host->trust_next;
    struct err_detail why = {{0}};
    host->trust_next = NULL;
    if (!trust || trust_version(trust) <= version_here(host)) {
        return; /* the keys folder was faster */
    }
    enum err err = endpoint_trust_set(host->config.endpoint, trust, &why);
    if (err) {
        log_error(host_log(host), "trust.refused", LOG_ERR(err),
                  LOG_TEXT("why", why.text),
                  LOG_TEXT("next", "what is trusted stays as it is"));
        return;
    }
    log_info(host_log(host), "trust.new",
             LOG_UNSIGNED("version", trust_version(trust)));
    if (host->config.events.on_trust) {
        host->config.events.on_trust(host->config.events.context, trust);
    }
}

void trust_step(struct host *host)
{
    use_next(host);
    uint64_t now_ns = host_now_ns(host);
    uint64_t version = version_here(host);
    for (struct known *known = host->known; known; known = known->next) {
        bool is_due =
            known->trust_told != version || known->trust_version > version;
        if (is_due && known->peer && peer_is_up(known->peer) &&
            !known->is_trust_asked && now_ns >= known->trust_ns) {
            ask(host, known);
        }
    }
}

void trust_on_begun(struct known *known)
{
    known->trust_told = 0;
    known->trust_version = 0;
    known->trust_ns = 0;
}

/* ---- answering ---- */

/* It tells us of its own: if that is newer, the next step asks for it. */
static void note_version(struct host *host,
                         const struct certificate *from,
                         uint64_t version)
{
    struct known *known = from ? host_known(host, from->name) : NULL;
    if (known && version > known->trust_version) {
        known->trust_version = version;
        if (version > version_here(host)) {
            host_poke(host);
        }
    }
}

static void on_trust_asked(void *context,
                           struct asked *asked,
                           struct bytes question)
{
    struct host *host = context;
    struct bytes text = trust_text(endpoint_trust(host->config.endpoint));
    struct reader reader = reader_of(question);
    (void)host_read_head(&reader, 2);
    uint64_t version = pack_read_uint(&reader);
    if (reader.failed) {
        asked_answer(&asked, ERR_MALFORMED, (struct bytes){0});
        return;
    }
    note_version(host, asked_certificate(asked), version);
    if (version >= version_here(host)) {
        text = (struct bytes){0};
    }
    size_t bytes = text.length + ANSWER_BYTES;
    uint8_t *buffer = host_buffer(host, bytes);
    if (!buffer) {
        asked_answer(&asked, ERR_MEMORY, (struct bytes){0});
        return;
    }
    struct writer writer = writer_of(buffer, bytes);
    pack_record(&writer, 3);
    pack_uint(&writer, HOST_WIRE_VERSION);
    pack_uint(&writer, version_here(host));
    pack_bin(&writer, text);
    pack_record_end(&writer);
    asked_answer(&asked, ERR_NONE, writer_bytes(&writer));
}

void trust_serve(struct host *host)
{
    calls_serve(host->config.calls, HOST_SERVICE_TRUST, on_trust_asked, host,
                false);
}
