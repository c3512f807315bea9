/*
 * What the HTTP port says, without a network.
 */

#include "tests/support/check.h"

#include "base/scope.h"
#include "gateway/answer.h"

#include <stdlib.h>
#include <string.h>

struct node {
    bool is_live;
    bool is_ready;
    const char *reason;
    enum err metrics_err;
    unsigned asked;
};

static bool is_live(void *context)
{
    struct node *node = context;
    node->asked++;
    return node->is_live;
}

static bool is_ready(void *context, struct err_detail *why)
{
    struct node *node = context;
    node->asked++;
    if (node->reason) {
        err_explain(why, "%s", node->reason);
    }
    return node->is_ready;
}

static enum err render(void *context, char **out, size_t *out_length)
{
    struct node *node = context;
    node->asked++;
    if (node->metrics_err) {
        return node->metrics_err;
    }
    *out = strdup("a 1\n");
    CHECK(*out);
    *out_length = 4;
    return ERR_NONE;
}

static struct answer_source source_of(struct node *node)
{
    return (struct answer_source){node, is_live, is_ready, render};
}

static void check_answer(struct node *node,
                         enum answer_method method,
                         const char *path,
                         uint32_t status,
                         const char *body)
{
    struct answer_source source = source_of(node);
    scoped(answer_clear) struct answer answer = {0};
    CHECK_OK(answer_make(&answer, &source,
                         &(struct answer_request){method, path, false}));
    assert_int_equal(answer.status, status);
    assert_int_equal(answer.body_bytes, strlen(body));
    assert_memory_equal(answer.body, body, strlen(body));
}

static void says_whether_the_process_works(void **state)
{
    (void)state;
    struct node node = {.is_live = true};
    check_answer(&node, ANSWER_GET, "/live", 200, "live\n");
    node = (struct node){.is_ready = true};
    check_answer(&node, ANSWER_GET, "/live", 503, "not live\n");
}

static void says_why_it_is_not_ready(void **state)
{
    (void)state;
    struct node node = {.is_ready = true};
    check_answer(&node, ANSWER_GET, "/ready", 200, "ready\n");
    node = (struct node){.is_live = true, .reason = "no quorum: n2, n3"};
    check_answer(&node, ANSWER_GET, "/ready", 503, "no quorum: n2, n3\n");
    node.reason = NULL;
    check_answer(&node, ANSWER_GET, "/ready", 503, "not ready\n");
}

static void check_json(struct node *node, const char *path, const char *body)
{
    struct answer_source source = source_of(node);
    scoped(answer_clear) struct answer answer = {0};
    CHECK_OK(answer_make(&answer, &source,
                         &(struct answer_request){ANSWER_GET, path, true}));
    assert_string_equal(answer.content_type, "application/json");
    assert_int_equal(answer.body_bytes, strlen(body));
    assert_memory_equal(answer.body, body, strlen(body));
}

static void says_the_same_as_json_to_who_asks_for_it(void **state)
{
    (void)state;
    struct node node = {.is_ready = true, .is_live = true};
    check_json(&node, "/ready", "{\"ready\": true}\n");
    check_json(&node, "/live", "{\"live\": true}\n");
    node = (struct node){.reason = "asks \"beta\"\tin C:\\"};
    check_json(&node, "/ready",
               "{\"ready\": false, \"why\": "
               "\"asks \\\"beta\\\" in C:\\\\\"}\n");
    check_json(&node, "/live", "{\"live\": false, \"why\": \"\"}\n");
}

static void gives_the_metrics_or_says_why_not(void **state)
{
    (void)state;
    struct node node = {0};
    check_answer(&node, ANSWER_GET, "/metrics", 200, "a 1\n");
    node.metrics_err = ERR_MEMORY;
    check_answer(&node, ANSWER_GET, "/metrics", 500, "out of memory\n");
}

static void names_the_format_that_prometheus_reads(void **state)
{
    (void)state;
    struct node node = {0};
    struct answer_source source = source_of(&node);
    scoped(answer_clear) struct answer answer = {0};
    CHECK_OK(
        answer_make(&answer, &source,
                    &(struct answer_request){ANSWER_GET, "/metrics", true}));
    assert_string_equal(answer.content_type,
                        "text/plain; version=0.0.4; charset=utf-8");
    CHECK(!answer.allow);
}

static void asks_nobody_about_other_paths(void **state)
{
    (void)state;
    static const char *const paths[] = {"",       "/",       "/liv",
                                        "/live/", "/live/x", "/LIVE",
                                        "live",   "/ready ", "/metrics.txt"};
    struct node node = {0};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        check_answer(&node, ANSWER_GET, paths[i], 404,
                     "nothing is here: try /live, /ready or /metrics\n");
        check_answer(&node, ANSWER_OTHER, paths[i], 404,
                     "nothing is here: try /live, /ready or /metrics\n");
    }
    assert_int_equal(node.asked, 0);
}

static void serves_two_methods_and_names_them(void **state)
{
    (void)state;
    struct node node = {.is_live = true};
    struct answer_source source = source_of(&node);
    check_answer(&node, ANSWER_HEAD, "/live", 200, "live\n");
    node.asked = 0;
    scoped(answer_clear) struct answer answer = {0};
    CHECK_OK(
        answer_make(&answer, &source,
                    &(struct answer_request){ANSWER_OTHER, "/live", false}));
    assert_int_equal(answer.status, 405);
    assert_string_equal(answer.allow, "GET, HEAD");
    assert_int_equal(node.asked, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_whether_the_process_works),
        cmocka_unit_test(says_why_it_is_not_ready),
        cmocka_unit_test(says_the_same_as_json_to_who_asks_for_it),
        cmocka_unit_test(gives_the_metrics_or_says_why_not),
        cmocka_unit_test(names_the_format_that_prometheus_reads),
        cmocka_unit_test(asks_nobody_about_other_paths),
        cmocka_unit_test(serves_two_methods_and_names_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
