#include "gateway/answer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_OK 200
#define STATUS_NOT_FOUND 404
#define STATUS_NO_METHOD 405
#define STATUS_ERROR 500
#define STATUS_UNAVAILABLE 503

static const char text_type[] = "text/plain; charset=utf-8";

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

static enum err say_live(struct answer *out, const struct answer_source *source)
{
    return source->is_live(source->context)
               ? say(out, STATUS_OK, "live")
               : say(out, STATUS_UNAVAILABLE, "not live");
}

static enum err say_ready(struct answer *out,
                          const struct answer_source *source)
{
    struct err_detail why = {0};
    if (source->is_ready(source->context, &why)) {
        return say(out, STATUS_OK, "ready");
    }
    return say(out, STATUS_UNAVAILABLE, *why.text ? why.text : "not ready");
}

static enum err say_metrics(struct answer *out,
                            const struct answer_source *source)
{
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
    enum err (*say)(struct answer *out, const struct answer_source *source);
} pages[] = {
    {"/live", say_live},
    {"/ready", say_ready},
    {"/metrics", say_metrics},
};

enum err answer_make(struct answer *out,
                     const struct answer_source *source,
                     enum answer_method method,
                     const char *path)
{
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        if (strcmp(pages[i].path, path) != 0) {
            continue;
        }
        if (method != ANSWER_OTHER) {
            return pages[i].say(out, source);
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
