/*
 * The HTTP port, with real sockets on 127.0.0.1.
 */

#include "tests/support/check.h"

#include "base/bytes.h"
#include "base/metrics.h"
#include "base/scope.h"
#include "gateway/gateway.h"
#include "tests/process/raw.h"

#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define PATIENCE_MS 20000
#define LONG_MS 60000 /* a timeout that no test waits for */
#define SHORT_MS 1000
#define CUT_MS 5000 /* less than libwebsockets' own timeouts */
#define CONNECTION_COUNT_MAX 4
#define FILLER_COUNT 100
#define HEAD_BYTES_MAX 2048
#define LIVE "GET /live HTTP/1.1\r\nHost: a\r\n\r\n"

struct fixture {
    struct gateway *gateway;
    struct metrics *metrics;
    struct metrics_counter *counter;
    atomic_bool is_live;
    atomic_bool is_ready;
    atomic_uint asked;
    size_t body_bytes; /* of /metrics, if not 0 */
};

/* What came back. */
struct reply {
    unsigned status;
    char head[HEAD_BYTES_MAX]; /* terminated */
    char *body;                /* terminated */
    size_t body_bytes;
};

/* ---- the node ---- */

static bool is_live(void *context)
{
    struct fixture *fixture = context;
    atomic_fetch_add(&fixture->asked, 1);
    return atomic_load(&fixture->is_live);
}

static bool is_ready(void *context, struct err_detail *why)
{
    struct fixture *fixture = context;
    if (!atomic_load(&fixture->is_ready)) {
        err_explain(why, "shard 3 has no owner");
        return false;
    }
    return true;
}

/* Its length is no power of two, so that a chunk in a wrong place shows. */
#define PATTERN_BYTES 37
static const char pattern[] = "abcdefghijklmnopqrstuvwxyz0123456789\n";

static enum err render(void *context, char **out, size_t *out_length)
{
    struct fixture *fixture = context;
    if (fixture->body_bytes == 0) {
        return metrics_render(fixture->metrics, out, out_length);
    }
    char *body = malloc(fixture->body_bytes);
    if (!body) {
        return ERR_MEMORY;
    }
    /* Quickly: the time of the connection runs. */
    for (size_t i = 0; i < fixture->body_bytes; i += PATTERN_BYTES) {
        size_t left = fixture->body_bytes - i;
        memcpy(body + i, pattern, left < PATTERN_BYTES ? left : PATTERN_BYTES);
    }
    *out = body;
    *out_length = fixture->body_bytes;
    return ERR_NONE;
}

static enum err open_gateway(struct fixture *fixture,
                             const char *host,
                             uint16_t port,
                             uint64_t timeout_ms,
                             struct err_detail *why)
{
    struct gateway_config config = {
        .host = host,
        .port = port,
        .connection_count_max = CONNECTION_COUNT_MAX,
        .timeout_ms = timeout_ms,
        .source = {fixture, is_live, is_ready, render}};
    return gateway_open(&fixture->gateway, &config, why);
}

static void set_up(struct fixture *fixture, uint64_t timeout_ms)
{
    struct metrics_about about = {.name = "requests_total",
                                  .help = "Requests, all of them."};
    struct err_detail why = {0};
    CHECK_OK(metrics_open(&fixture->metrics, 100));
    CHECK_OK(metrics_add_counter(fixture->metrics, &fixture->counter, &about));
    atomic_store(&fixture->is_live, true);
    CHECK_OK(open_gateway(fixture, "127.0.0.1", 0, timeout_ms, &why));
    CHECK(gateway_port(fixture->gateway) != 0);
}

static void tear_down(struct fixture *fixture)
{
    gateway_close(&fixture->gateway);
    metrics_close(&fixture->metrics);
}

/* ---- a client ---- */

static void hang_up(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static int dial(const struct fixture *fixture)
{
    int fd = raw_connect("127.0.0.1", gateway_port(fixture->gateway));
    CHECK(fd >= 0);
    return fd;
}

static void say(int fd, const char *text)
{
    CHECK(raw_send(fd, bytes_of_text(text)));
}

static void reply_clear(struct reply *reply)
{
    free(reply->body);
    *reply = (struct reply){0};
}

/* Up to the empty line. */
static void read_head(struct reply *reply, int fd)
{
    size_t length = 0;
    while (length < 4 || memcmp(reply->head + length - 4, "\r\n\r\n", 4) != 0) {
        CHECK(length < sizeof reply->head - 1);
        CHECK(raw_read(fd, (uint8_t *)reply->head + length, 1));
        length++;
    }
    reply->head[length] = '\0';
    CHECK(sscanf(reply->head, "HTTP/1.%*1[01] %u ", &reply->status) == 1);
}

static void read_reply(struct reply *reply, int fd, bool has_body)
{
    read_head(reply, fd);
    const char *header = strstr(reply->head, "\r\ncontent-length: ");
    CHECK(header);
    CHECK(sscanf(header, " content-length: %zu", &reply->body_bytes) == 1);
    reply->body = calloc(1, reply->body_bytes + 1);
    CHECK(reply->body);
    if (has_body) {
        CHECK(raw_read(fd, (uint8_t *)reply->body, reply->body_bytes));
    }
}

static void check_reply(int fd, unsigned status, const char *body)
{
    scoped(reply_clear) struct reply reply = {0};
    read_reply(&reply, fd, true);
    assert_int_equal(reply.status, status);
    assert_string_equal(reply.body, body);
}

/* On a connection of its own. */
static void check_get(const struct fixture *fixture,
                      const char *path,
                      unsigned status,
                      const char *body)
{
    char request[256];
    scoped(hang_up) int fd = dial(fixture);
    (void)snprintf(request, sizeof request,
                   "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    say(fd, request);
    check_reply(fd, status, body);
}

static void check_serves(const struct fixture *fixture)
{
    check_get(fixture, "/live", 200, "live\n");
}

/* ---- what is served ---- */

static void answers_each_path(void **state)
{
    (void)state;
    scoped(tear_down) struct fixture fixture = {0};
    set_up(&fixture, LONG_MS);
    check_get(&fixture, "/live", 200, "live\n");
    check_get(&fixture, "/live?verbose=1", 200, "live\n");
    check_get(&fixture, "/ready", 503, "shard 3 has no owner\n");
    atomic_store(&fixture.is_ready, true);
    check_get(&fixture, "/ready", 200, "ready\n");
    atomic_store(&fixture.is_live, false);
    check_get(&fixture, "/live", 503, "not live\n");
    check_get(&fixture, "/other", 404,
              "nothing is here: try /live, /ready or /metrics\n");
}

static void answers_in_json_when_that_is_accepted(void **state)
{
    (void)state;
    scoped(tear_down) struct fixture fixture = {0};
    set_up(&fixture, LONG_MS);
    scoped(hang_up) int fd = dial(&fixture);
    scoped(reply_clear) struct reply reply = {0};
    say(fd, "GET /ready HTTP/1.1\r\nHost: a\r\n"
            "Accept: text/html, application/json;q=0.9\r\n\r\n");
    read_reply(&reply, fd, true);
    assert_int_equal(reply.status, 503);
    CHECK(strstr(reply.head, "\r\ncontent-type: application/json\r\n"));
    assert_string_equal(
        reply.body, "{\"ready\": false, \"why\": \"shard 3 has no owner\"}\n");
}

/* A comment, or NAME{LABELS} VALUE with its type said before. */
static bool is_metrics_line(const char *line, char type_of[static 128])
{
    if (sscanf(line, "# TYPE %127s", type_of) == 1 ||
        strncmp(line, "# HELP ", 7) == 0) {
        return true;
    }
    size_t name = strcspn(line, "{ ");
    const char *value = strrchr(line, ' ');
    char *end = NULL;
    if (!value || strncmp(line, type_of, strlen(type_of)) != 0 ||
        name < strlen(type_of)) {
        return false;
    }
    (void)strtod(value + 1, &end);
    return end != value + 1 && *end == '\0';
}

static void gives_metrics_that_prometheus_can_read(void **state)
{
    (void)state;
    scoped(tear_down) struct fixture fixture = {0};
    set_up(&fixture, LONG_MS);
    scoped(hang_up) int fd = dial(&fixture);
    scoped(reply_clear) struct reply reply = {0};
    metrics_counter_add(fixture.counter, 7);
    say(fd, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    read_reply(&reply, fd, true);
    CHECK(strstr(reply.head, "\r\ncontent-type: text/plain; version=0.0.4; "
                             "charset=utf-8\r\n"));
    CHECK(strstr(reply.body, "\nrequests_total 7\n"));
    CHECK(reply.body[reply.body_bytes - 1] == '\n');
    char type_of[128] = "";
    unsigned lines = 0;
    char *rest = reply.body;
    for (char *line = strsep(&rest, "\n"); rest; line = strsep(&rest, "\n")) {
        CHECK(is_metrics_line(line, type_of));
        lines++;
    }
    assert_int_equal(lines, 3);
}

static void sends_no_body_to_head(void **state)
{
    (void)state;
    scoped(tear_down) struct fixture fixture = {0};
    set_up(&fixture, LONG_MS);
    scoped(hang_up) int fd = dial(&fixture);
    scoped(reply_clear) struct reply reply = {0};
    say(fd, "HEAD /live HTTP/1.1\r\nHost: a\r\n\r\n");
    read_reply(&reply, fd, false);
    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.body_bytes, 5);
    /* What comes next is the next answer, not that body. */
    say(fd, LIVE);
    check_reply(fd, 200, "live\n");
}

static void sends_a_long_body_whole(void **state)
{
    (void)state;
    scoped(tear_down) struct fixture fixture = {.body_bytes = 5000000};
    set_up(&fixture, LONG_MS);
    scoped(hang_up) int fd = dial(&fixture);
    scoped(reply_clear) struct reply reply = {0};
    say(fd, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    read_reply(&reply, fd, true);
    assert_int_equal(reply.body_bytes, 5000000);
    for (size_t i = 0; i < reply.body_bytes; i++) {
        if (reply.body[i] != pattern[i % PATTERN_BYTES]) {
            fail_msg("byte %zu is wrong", i);
        }
    }
}

static void keeps_a_connection_for_more_requests(void **state)
{
    (void)state;
    scoped(tear_down) struct fixture fixture = {0};
    set_up(&fixture, LONG_MS);
    scoped(hang_up) int fd = dial(&fixture);
    for (unsigned i = 0; i < 50; i++) {
        metrics_counter_add(fixture.counter, 1);
        say(fd, LIVE);
        check_reply(fd, 200, "live\n");
    }
    assert_int_equal(atomic_load(&fixture.asked), 50);
}

static void answers_pipelined_requests_in_order(void **state)
{
    (void)state;
    scoped(tear_down) struct fixture fixture = {0};
    set_up(&fixture, LONG_MS);
    scoped(hang_up) int fd = dial(&fixture);
    say(fd, LIVE "GET /ready HTTP/1.1\r\nHost: a\r\n\r\n"
                 "GET /x HTTP/1.1\r\nHost: a\r\n\r\n" LIVE);
    check_reply(fd, 200, "live\n");
    check_reply(fd, 503, "shard 3 has no owner\n");
    check_reply(fd, 404, "nothing is here: try /live, /ready or /metrics\n");
    check_reply(fd, 200, "live\n");
}

static void closes_after_an_answer_to_http_1_0(void **state)
{
    (void)state;
    scoped(tear_down) struct fixture fixture = {0};
    set_up(&fixture, LONG_MS);
    scoped(hang_up) int fd = dial(&fixture);
    say(fd, "GET /live HTTP/1.0\r\n\r\n");
    check_reply(fd, 200, "live\n");
    CHECK(raw_is_closed(fd, PATIENCE_MS));
}

/* ---- what is refused ---- */

static void refuses_other_methods_and_their_bodies(void **state)
{
    (void)state;
    static const char *const methods[] = {"POST", "PUT", "DELETE", "PATCH",
                                          "OPTIONS"};
    scoped(tear_down) struct fixture fixture = {0};
    set_up(&fixture, LONG_MS);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        char request[256];
        scoped(hang_up) int fd = dial(&fixture);
        scoped(reply_clear) struct reply reply = {0};
        /* The body looks like a request: it must not become one. */
        (void)snprintf(request, sizeof request,
                       "%s /live HTTP/1.1\r\nHost: a\r\n"
                       "Content-Length: %zu\r\n\r\n" LIVE,
                       methods[i], strlen(LIVE));
        say(fd, request);
        read_reply(&reply, fd, true);
        assert_int_equal(reply.status, 405);
        assert_string_equal(reply.body, "only GET and HEAD\n");
        CHECK(strstr(reply.head, "\r\nallow: GET, HEAD\r\n"));
        CHECK(strstr(reply.head, "\r\nconnection: close\r\n"));
        CHECK(raw_is_closed(fd, PATIENCE_MS));
    }
    assert_int_equal(atomic_load(&fixture.asked), 0);
}

static void takes_no_body_for_the_next_request(void **state)
{
    (void)state;
    scoped(tear_down) struct fixture fixture = {0};
    set_up(&fixture, LONG_MS);
    scoped(hang_up) int fd = dial(&fixture);
    say(fd,
        "GET /ready HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\n\r\n" LIVE);
    check_reply(fd, 503, "shard 3 has no owner\n");
    CHECK(raw_is_closed(fd, PATIENCE_MS));
    assert_int_equal(atomic_load(&fixture.asked), 0);
}

/* Sent by one that reads nothing, then closed by the gateway. */
static void check_refused(const struct fixture *fixture, struct bytes bytes)
{
    scoped(hang_up) int fd = dial(fixture);
    /* It may be closed before all is sent. */
    (void)raw_send(fd, bytes);
    CHECK(raw_is_closed(fd, PATIENCE_MS));
    check_serves(fixture);
}

static void refuses_what_is_no_http(void **state)
{
    (void)state;
    static const char *const nonsense[] = {
        "\r\n\r\n",
        "hello\r\n\r\n",
        "BREW /live HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a/live HTTP/1.1\r\nHost: a\r\n\r\n",
        "\x16\x03\x01\x02\x01\x01\x01\x01\xfc\x03\x03\x01\x01\x01\x01",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    };
    scoped(tear_down) struct fixture fixture = {0};
    set_up(&fixture, LONG_MS);
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        check_refused(&fixture, bytes_of_text(nonsense[i]));
    }
    static const char zero[] = "GET /live\0x HTTP/1.1\r\nHost: a\r\n\r\n";
    check_refused(&fixture, bytes_of(zero, sizeof zero - 1));
}

static void refuses_to_become_another_protocol(void **state)
{
    (void)state;
    scoped(tear_down) struct fixture fixture = {0};
    set_up(&fixture, LONG_MS);
    static const char *const wishes[] = {
        "Connection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
    };
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
        scoped(hang_up) int fd = dial(&fixture);
        scoped(reply_clear) struct reply reply = {0};
        say(fd, "GET /live HTTP/1.1\r\nHost: a\r\n");
        say(fd, wishes[i]);
        say(fd, "\r\n");
        read_reply(&reply, fd, true);
        assert_int_equal(reply.status, 400);
        CHECK(strstr(reply.body, "only HTTP/1.1 is spoken here"));
        CHECK(raw_is_closed(fd, PATIENCE_MS));
    }
    check_serves(&fixture);
}

/* `before`, then 1 MiB of x, then nothing. */
static void check_endless(const struct fixture *fixture, const char *before)
{
    enum { LENGTH = 1 << 20 };
    char *text = malloc(LENGTH);
    CHECK(text);
    memset(text, 'x', LENGTH);
    memcpy(text, before, strlen(before));
    check_refused(fixture, bytes_of(text, LENGTH));
    free(text);
}

static void refuses_a_head_without_end(void **state)
{
    (void)state;
    scoped(tear_down) struct fixture fixture = {0};
    set_up(&fixture, LONG_MS);
    check_endless(&fixture, "GET /");
    check_endless(&fixture, "GET /live HTTP/1.1\r\nHost: ");
    check_endless(&fixture, "GET /live HTTP/1.1\r\nHost: a\r\nUnknown: ");
    check_endless(&fixture, "GET /live?");
    check_endless(&fixture, "");
}

/* ---- slow and many ---- */

static void cuts_one_that_does_not_finish_its_request(void **state)
{
    (void)state;
    scoped(tear_down) struct fixture fixture = {0};
    set_up(&fixture, SHORT_MS);
    scoped(hang_up) int silent = dial(&fixture);
    scoped(hang_up) int half = dial(&fixture);
    say(half, "GET /live HTTP/1.1\r\nHo");
    scoped(hang_up) int idle = dial(&fixture);
    say(idle, LIVE);
    check_reply(idle, 200, "live\n");
    CHECK(raw_is_closed(silent, CUT_MS));
    CHECK(raw_is_closed(half, CUT_MS));
    CHECK(raw_is_closed(idle, CUT_MS));
    check_serves(&fixture);
}

/* One byte at a time, for ever: each must not give it new time. */
static void cuts_one_that_drips(void **state)
{
    (void)state;
    scoped(tear_down) struct fixture fixture = {0};
    set_up(&fixture, SHORT_MS);
    scoped(hang_up) int fd = dial(&fixture);
    say(fd, "GET /live HTTP/1.1\r\nX: ");
    unsigned drops = 0;
    while (drops < CUT_MS / 10 && !raw_is_closed(fd, 10)) {
        (void)raw_send(fd, bytes_of_text("x"));
        drops++;
    }
    CHECK(drops < CUT_MS / 10);
    check_serves(&fixture);
}

/* Read on until the connection ends; returns how much came. */
static size_t read_rest(int fd)
{
    size_t length = 0;
    uint8_t dropped[65536];
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    for (;;) {
        CHECK(poll(&polled, 1, PATIENCE_MS) == 1);
        ssize_t got = read(fd, dropped, sizeof dropped);
        if (got <= 0) {
            return length;
        }
        length += (size_t)got;
    }
}

static void cuts_one_that_does_not_read_its_answer(void **state)
{
    (void)state;
    /* More than the buffers of both sockets. */
    scoped(tear_down) struct fixture fixture = {.body_bytes = 32 << 20};
    set_up(&fixture, SHORT_MS);
    scoped(hang_up) int slow = dial(&fixture);
    say(slow, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    scoped(reply_clear) struct reply reply = {0};
    read_head(&reply, slow);
    /* When its time is over, that of the slow one is, too. */
    scoped(hang_up) int later = dial(&fixture);
    CHECK(raw_is_closed(later, CUT_MS));
    CHECK(read_rest(slow) < fixture.body_bytes);
    check_serves(&fixture);
}

static void lets_the_oldest_give_way(void **state)
{
    (void)state;
    enum { COUNT = 10 * CONNECTION_COUNT_MAX };
    scoped(tear_down) struct fixture fixture = {0};
    set_up(&fixture, LONG_MS);
    int idle[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        idle[i] = dial(&fixture);
    }
    check_serves(&fixture);
    for (unsigned i = 0; i < COUNT - CONNECTION_COUNT_MAX; i++) {
        CHECK(raw_is_closed(idle[i], PATIENCE_MS));
    }
    say(idle[COUNT - 1], LIVE);
    check_reply(idle[COUNT - 1], 200, "live\n");
    for (unsigned i = 0; i < COUNT; i++) {
        hang_up(&idle[i]);
    }
}

static void forgets_those_that_hang_up(void **state)
{
    (void)state;
    scoped(tear_down) struct fixture fixture = {0};
    set_up(&fixture, LONG_MS);
    scoped(hang_up) int old = dial(&fixture);
    say(old, LIVE);
    check_reply(old, 200, "live\n");
    for (unsigned i = 0; i < 200; i++) {
        scoped(hang_up) int fd = dial(&fixture);
        say(fd, i % 2 ? LIVE : "GET /li");
        if (i % 4 == 1) {
            check_reply(fd, 200, "live\n");
        }
    }
    check_serves(&fixture);
}

/* Also: file descriptors above the count that libwebsockets is told of. */
static void serves_when_descriptors_run_out(void **state)
{
    (void)state;
    int fillers[FILLER_COUNT];
    struct rlimit before;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    for (unsigned i = 0; i < FILLER_COUNT; i++) {
        fillers[i] = fcntl(0, F_DUPFD_CLOEXEC, 0);
        CHECK(fillers[i] >= 0);
    }
    scoped(tear_down) struct fixture fixture = {0};
    set_up(&fixture, LONG_MS);
    scoped(hang_up) int idle = dial(&fixture);
    say(idle, LIVE);
    check_reply(idle, 200, "live\n");
    /* One more for us, and none for the gateway. */
    int next = fcntl(0, F_DUPFD_CLOEXEC, 0);
    CHECK(next >= 0);
    close(next);
    struct rlimit tight = {(rlim_t)next + 1, before.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &tight) == 0);
    check_serves(&fixture);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(raw_is_closed(idle, PATIENCE_MS));
    for (unsigned i = 0; i < FILLER_COUNT; i++) {
        hang_up(&fillers[i]);
    }
}

/* ---- opening and closing ---- */

static void closes_with_connections_open(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        struct fixture fixture = {.body_bytes = 16 << 20};
        set_up(&fixture, LONG_MS);
        scoped(hang_up) int idle = dial(&fixture);
        scoped(hang_up) int half = dial(&fixture);
        scoped(hang_up) int reading = dial(&fixture);
        say(half, "GET /live HT");
        say(reading, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
        scoped(reply_clear) struct reply reply = {0};
        read_head(&reply, reading);
        if (i % 2) {
            say(idle, LIVE);
        }
        tear_down(&fixture);
        CHECK(raw_is_closed(idle, PATIENCE_MS));
        CHECK(raw_is_closed(half, PATIENCE_MS));
        CHECK(raw_is_closed(reading, PATIENCE_MS));
    }
}

static void closes_at_once_after_opening(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        struct fixture fixture = {0};
        set_up(&fixture, LONG_MS);
        tear_down(&fixture);
        CHECK(!fixture.gateway);
    }
    struct gateway *none = NULL;
    gateway_close(&none);
}

static void takes_its_port_again(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    struct err_detail why = {0};
    set_up(&fixture, LONG_MS);
    uint16_t port = gateway_port(fixture.gateway);
    /* The side that closes first has to wait: it shall be the gateway. */
    scoped(hang_up) int fd = dial(&fixture);
    say(fd, LIVE);
    check_reply(fd, 200, "live\n");
    gateway_close(&fixture.gateway);
    CHECK_OK(open_gateway(&fixture, "127.0.0.1", port, LONG_MS, &why));
    assert_int_equal(gateway_port(fixture.gateway), port);
    check_serves(&fixture);
    tear_down(&fixture);
}

static void says_why_it_cannot_listen(void **state)
{
    (void)state;
    scoped(tear_down) struct fixture fixture = {0};
    struct fixture second = {0};
    struct err_detail why = {0};
    set_up(&fixture, LONG_MS);
    uint16_t port = gateway_port(fixture.gateway);
    CHECK_ERR(open_gateway(&second, "127.0.0.1", port, LONG_MS, &why),
              ERR_IN_USE);
    CHECK(strstr(why.text, "127.0.0.1"));
    CHECK(strstr(why.text, "address is in use"));
    /* Of TEST-NET-1 (RFC 5737). */
    CHECK_ERR(open_gateway(&second, "192.0.2.1", 0, LONG_MS, &why),
              ERR_INVALID);
    CHECK(strstr(why.text, "192.0.2.1: not an address of this machine"));
    CHECK(!second.gateway);
    check_serves(&fixture);
}

static void serves_beside_another(void **state)
{
    (void)state;
    scoped(tear_down) struct fixture first = {0};
    scoped(tear_down) struct fixture second = {0};
    set_up(&first, LONG_MS);
    set_up(&second, LONG_MS);
    atomic_store(&second.is_live, false);
    check_get(&first, "/live", 200, "live\n");
    check_get(&second, "/live", 503, "not live\n");
    gateway_close(&first.gateway);
    check_get(&second, "/live", 503, "not live\n");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_each_path),
        cmocka_unit_test(answers_in_json_when_that_is_accepted),
        cmocka_unit_test(gives_metrics_that_prometheus_can_read),
        cmocka_unit_test(sends_no_body_to_head),
        cmocka_unit_test(sends_a_long_body_whole),
        cmocka_unit_test(keeps_a_connection_for_more_requests),
        cmocka_unit_test(answers_pipelined_requests_in_order),
        cmocka_unit_test(closes_after_an_answer_to_http_1_0),
        cmocka_unit_test(refuses_other_methods_and_their_bodies),
        cmocka_unit_test(takes_no_body_for_the_next_request),
        cmocka_unit_test(refuses_what_is_no_http),
        cmocka_unit_test(refuses_to_become_another_protocol),
        cmocka_unit_test(refuses_a_head_without_end),
        cmocka_unit_test(cuts_one_that_does_not_finish_its_request),
        cmocka_unit_test(cuts_one_that_drips),
        cmocka_unit_test(cuts_one_that_does_not_read_its_answer),
        cmocka_unit_test(lets_the_oldest_give_way),
        cmocka_unit_test(forgets_those_that_hang_up),
        cmocka_unit_test(serves_when_descriptors_run_out),
        cmocka_unit_test(closes_with_connections_open),
        cmocka_unit_test(closes_at_once_after_opening),
        cmocka_unit_test(takes_its_port_again),
        cmocka_unit_test(says_why_it_cannot_listen),
        cmocka_unit_test(serves_beside_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
