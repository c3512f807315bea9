/*
 * What the HTTP port says: from a method and a path to an answer.
 *
 * Pure; owned by the caller. What the answers are made of comes through a
 * table of functions.
 */

#ifndef GATEWAY_ANSWER_H
#define GATEWAY_ANSWER_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the node says about itself. Called on the thread of answer_make(). */
struct answer_source {
    void *context;

    /* Whether the process does its work; false: it should be restarted. */
    bool (*is_live)(void *context);

    /* Whether it can serve now; if not, `why` may say why, in one line. */
    bool (*is_ready)(void *context, struct err_detail *why);

    /* All metrics in Prometheus' text format 0.0.4, as metrics_render() makes
     * it; answer_clear() frees it with free(). */
    enum err (*render_metrics)(void *context, char **out, size_t *out_length);
};

enum answer_method {
    ANSWER_GET,
    ANSWER_HEAD,
    ANSWER_OTHER, /* any that we do not serve */
};

struct answer_request {
    enum answer_method method;
    const char *path;  /* without a query behind it */
    bool accepts_json; /* the health pages can be had as JSON, too */
};

struct answer {
    uint32_t status; /* of HTTP */
    const char *content_type;
    const char *allow; /* the methods, when it was another; else NULL */
    char *body;        /* not terminated; NULL: none yet */
    size_t body_bytes; /* to ANSWER_HEAD too, which is not sent the body */
};

/*
 * Answer by the path:
 *
 * /live      200 or 503
 * /ready     200, or 503 and the reason
 *            both as a line, or as JSON: {"ready": false, "why": "..."}
 * /metrics   200, or 500 and the error
 * any other  404
 *
 * and 405 to a method that is not served. ERR_MEMORY
 */
FALLIBLE answer_make(struct answer *out,
                     const struct answer_source *source,
                     const struct answer_request *request);

void answer_clear(struct answer *answer);

#endif
