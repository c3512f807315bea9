#include "gateway/answer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_OK 200
#define STATUS_NOT_FOUND 404
#define STATUS_NO_METHOD 405
#define STATUS_ERROR 500
#define STATUS_UNAVAILABLE 503

static const char text_type[] = "text/plain; charset=utf-8";
static const char json_type[] = "application/json";

/* Prometheus, "Exposition formats", section "Text-based format". */
static const char metrics_type[] = "text/plain; version=0.0.4; charset=utf-8";

/* A line of text; the newline is added. */
static enum err say(struct answer *out, uint32_t status, const char *line)
{
    size_t length = strlen(line);
    char *body = malloc(length + 1);
    if (!body) {
        return ERR_MEMORY;
    }
    memcpy(body, line, length);
    body[length] = '\n';
    *out = (struct answer){.status = status,
                           .content_type = text_type,
                           .body = body,
                           .body_bytes = length + 1};
    return ERR_NONE;
}

/* ---- health ---- */

struct health {
    const char *name; /* "ready" */
    bool is_so;
    const char *why; /* when it is not; "": nobody knows */
};

/* A text of JSON, in quotes; UTF-8 needs no more than this. */
static size_t put_quoted(char *to, const char *text)
{
    size_t length = 0;
    to[length++] = '"';
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20) {
            c = ' '; /* it is one line */
        }
        if (c == '"' || c == '\\') {
            to[length++] = '\\';
        }
        to[length++] = (char)c;
    }
    to[length++] = '"';
    to[length] = '\0';
    return length;
}

/* {"ready": false, "why": "..."} */
static enum err say_health_json(struct answer *out, const struct health *health)
{
    char why[2 * sizeof(struct err_detail) + 3];
    char line[sizeof why + 64];
    (void)put_quoted(why, health->why);
    (void)snprintf(
        line, sizeof line, "{\"%s\": %s%s%s}", health->name,
        health->is_so ? "true" : "false",
        health->is_so ? "" : ", \"why\": ", health->is_so ? "" : why);
    enum err err =
        say(out, health->is_so ? STATUS_OK : STATUS_UNAVAILABLE, line);
    if (!err) {
        out->content_type = json_type;
    }
    return err;
}

static enum err say_health(struct answer *out,
                           const struct answer_request *request,
                           const struct health *health)
{
    char line[sizeof "not ready"];
    if (request->accepts_json) {
        return say_health_json(out, health);
    }
    if (health->is_so) {
        return say(out, STATUS_OK, health->name);
    }
    if (*health->why) {
        return say(out, STATUS_UNAVAILABLE, health->why);
    }
    (void)snprintf(line, sizeof line, "not %s", health->name);
    return say(out, STATUS_UNAVAILABLE, line);
}

static enum err say_live(struct answer *out,
                         const struct answer_source *source,
                         const struct answer_request *request)
{
    struct health health = {
        .name = "live", .is_so = source->is_live(source->context), .why = ""};
    return say_health(out, request, &health);
}

static enum err say_ready(struct answer *out,
                          const struct answer_source *source,
                          const struct answer_request *request)
{
    struct err_detail why = {0};
    struct health health = {.name = "ready",
                            .is_so = source->is_ready(source->context, &why),
                            .why = why.text};
    return say_health(out, request, &health);
}

/* ---- metrics ---- */

static enum err say_metrics(struct answer *out,
                            const struct answer_source *source,
                            const struct answer_request *request)
{
    (void)request;
    char *body = NULL;
    size_t length = 0;
    enum err err = source->render_metrics(source->context, &body, &length);
    if (err) {
        return say(out, STATUS_ERROR, err_text(err));
    }
    assert(body);
    *out = (struct answer){.status = STATUS_OK,
                           .content_type = metrics_type,
                           .body = body,
                           .body_bytes = length};
    return ERR_NONE;
}

static const struct {
    const char *path;
    enum err (*say)(struct answer *out,
                    const struct answer_source *source,
                    const struct answer_request *request);
} pages[] = {
    {"/live", say_live},
    {"/ready", say_ready},
    {"/metrics", say_metrics},
};

enum err answer_make(struct answer *out,
                     const struct answer_source *source,
                     const struct answer_request *request)
{
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        if (strcmp(pages[i].path, request->path) != 0) {
            continue;
        }
        if (request->method != ANSWER_OTHER) {
            return pages[i].say(out, source, request);
        }
        enum err err = say(out, STATUS_NO_METHOD, "only GET and HEAD");
        if (!err) {
            out->allow = "GET, HEAD";
        }
        return err;
    }
    return say(out, STATUS_NOT_FOUND,
               "nothing is here: try /live, /ready or /metrics");
}

void answer_clear(struct answer *answer)
{
    free(answer->body);
    *answer = (struct answer){0};
}
