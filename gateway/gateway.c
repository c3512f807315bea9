#include "gateway/gateway.h"

#include "base/posix/posix_thread.h"
#include "base/scope.h"
#include "gateway/listener.h"

#include <assert.h>
#include <libwebsockets.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES 16384      /* of a body, at a time */
#define ANSWER_HEAD_BYTES 1024 /* status line and headers */
#define OWN_DESCRIPTORS 8      /* of libwebsockets: its event and so on */
#define ACCEPT_BYTES 1024      /* a longer header asks for text */
#define LINGER_S 2             /* for the peer to take the last answer */
#define ACCEPT_PAUSE_US 1000   /* until a cut connection is gone */

/* One that was accepted; all are there from the start. */
struct connection {
    struct lws *wsi; /* NULL: free */
    uint64_t turn;   /* when it began or was last answered; see `turns` */
    bool is_cut;
};

struct gateway {
    /* Set once by gateway_open(). */
    struct answer_source source;
    uint64_t timeout_us;
    uint32_t connection_count;
    uint16_t port;
    struct log *log;
    struct lws_context *context;
    struct lws_vhost *host;
    struct posix_thread *thread;

    /* Any thread. */
    atomic_bool is_closing;

    /* The gateway's thread; before and after it, the owner's. */
    int listener; /* -1: libwebsockets has it */
    struct lws *listener_wsi;
    struct connection *connections;
    uint64_t turns; /* counts what `turn` of a connection is compared by */
    uint8_t chunk[LWS_PRE + CHUNK_BYTES];
};

/* What libwebsockets keeps for us with each connection; it is zero at first. */
struct request {
    struct answer answer;
    size_t sent_bytes; /* of the answer's body */
    bool is_under_way;
    bool has_head; /* status and headers are sent */
    bool is_head;  /* asked by ANSWER_HEAD */
    bool is_last;  /* of the connection */
};

/* ---- connections ---- */

/* The connection that has `wsi`; NULL asks for a free one. */
static struct connection *find_connection(struct gateway *gateway,
                                          const struct lws *wsi)
{
    for (uint32_t i = 0; i < gateway->connection_count; i++) {
        if (gateway->connections[i].wsi == wsi) {
            return &gateway->connections[i];
        }
    }
    return NULL;
}

/* Its time runs anew. */
static void begin_turn(struct gateway *gateway, struct lws *wsi)
{
    struct connection *connection = find_connection(gateway, wsi);
    if (connection) {
        connection->turn = ++gateway->turns;
        lws_set_timer_usecs(wsi, (lws_usec_t)gateway->timeout_us);
    }
}

/*
 * libwebsockets sees that it is cut and closes it. To tell it to close would
 * leave the socket there until the peer has closed it, too.
 */
static void cut(struct connection *connection)
{
    connection->is_cut = true;
    listener_cut(lws_get_socket_fd(connection->wsi));
}

static void cut_oldest(struct gateway *gateway)
{
    struct connection *oldest = NULL;
    for (uint32_t i = 0; i < gateway->connection_count; i++) {
        struct connection *connection = &gateway->connections[i];
        if (connection->wsi && !connection->is_cut &&
            (!oldest || connection->turn < oldest->turn)) {
            oldest = connection;
        }
    }
    if (oldest) {
        cut(oldest);
    }
}

/* Who would connect waits in the operating system's queue. */
static void pause_accepting(struct gateway *gateway)
{
    (void)lws_rx_flow_control(gateway->listener_wsi, 0);
    lws_set_timer_usecs(gateway->listener_wsi, ACCEPT_PAUSE_US);
}

static void accept_one(struct gateway *gateway)
{
    struct connection *connection = find_connection(gateway, NULL);
    int accepted = -1;
    enum err err =
        connection ? listener_accept(&accepted,
                                     lws_get_socket_fd(gateway->listener_wsi))
                   : ERR_FULL;
    if (err == ERR_FULL || err == ERR_LIMIT) {
        cut_oldest(gateway);
        pause_accepting(gateway);
    }
    if (err) {
        return;
    }
    /* Closed by libwebsockets, also when this fails. */
    struct lws *wsi = lws_adopt_socket_vhost(gateway->host, accepted);
    if (wsi) {
        *connection = (struct connection){.wsi = wsi};
        begin_turn(gateway, wsi);
    }
}

/* ---- requests ---- */

static enum answer_method method_of(struct lws *wsi)
{
    char *path = NULL;
    int length = 0;
    switch (lws_http_get_uri_and_method(wsi, &path, &length)) {
    case LWSHUMETH_GET:
        return ANSWER_GET;
    case LWSHUMETH_HEAD:
        return ANSWER_HEAD;
    default:
        return ANSWER_OTHER;
    }
}

/* Whether the client asks for JSON; by default it is text. */
static bool accepts_json(struct lws *wsi)
{
    char types[ACCEPT_BYTES];
    int length =
        lws_hdr_copy(wsi, types, (int)sizeof types, WSI_TOKEN_HTTP_ACCEPT);
    return length > 0 && strstr(types, "application/json") != NULL;
}

static int on_request(struct gateway *gateway,
                      struct lws *wsi,
                      struct request *request,
                      const char *path)
{
    enum answer_method method = method_of(wsi);
    answer_clear(&request->answer);
    *request = (struct request){
        .is_under_way = true,
        .is_head = method == ANSWER_HEAD,
        /* There may be a body behind it, which nobody will read. */
        .is_last =
            method == ANSWER_OTHER ||
            lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0 ||
            lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0};
    struct answer_request asked = {
        .method = method, .path = path, .accepts_json = accepts_json(wsi)};
    if (answer_make(&request->answer, &gateway->source, &asked)) {
        return -1;
    }
    lws_callback_on_writable(wsi);
    return 0;
}

/* One more header; false: there is no room. */
static bool add_header(struct lws *wsi,
                       const char *name,
                       const char *value,
                       uint8_t **at,
                       uint8_t *end)
{
    return lws_add_http_header_by_name(wsi, (const uint8_t *)name,
                                       (const uint8_t *)value,
                                       (int)strlen(value), at, end) == 0;
}

static bool send_head(struct lws *wsi, struct request *request)
{
    const struct answer *answer = &request->answer;
    uint8_t buffer[LWS_PRE + ANSWER_HEAD_BYTES];
    uint8_t *start = buffer + LWS_PRE;
    uint8_t *at = start;
    uint8_t *end = buffer + sizeof buffer - 1;
    request->has_head = true;
    return lws_add_http_common_headers(wsi, answer->status,
                                       answer->content_type, answer->body_bytes,
                                       &at, end) == 0 &&
           add_header(wsi, "cache-control:", "no-store", &at, end) &&
           (!answer->allow ||
            add_header(wsi, "allow:", answer->allow, &at, end)) &&
           (!request->is_last ||
            add_header(wsi, "connection:", "close", &at, end)) &&
           lws_finalize_write_http_header(wsi, start, &at, end) == 0;
}

static bool send_chunk(struct gateway *gateway,
                       struct lws *wsi,
                       struct request *request)
{
    const struct answer *answer = &request->answer;
    size_t left = answer->body_bytes - request->sent_bytes;
    size_t length = left < CHUNK_BYTES ? left : CHUNK_BYTES;
    memcpy(gateway->chunk + LWS_PRE, answer->body + request->sent_bytes,
           length);
    /* What the socket does not take now, libwebsockets keeps. */
    int sent =
        lws_write(wsi, gateway->chunk + LWS_PRE, length,
                  length == left ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP);
    request->sent_bytes += length;
    return sent == (int)length;
}

static int on_answered(struct gateway *gateway,
                       struct lws *wsi,
                       struct request *request)
{
    bool is_last = request->is_last;
    answer_clear(&request->answer);
    *request = (struct request){0};
    begin_turn(gateway, wsi);
    return is_last || lws_http_transaction_completed(wsi) ? -1 : 0;
}

static int on_writable(struct gateway *gateway,
                       struct lws *wsi,
                       struct request *request)
{
    if (!request || !request->is_under_way) {
        return 0;
    }
    bool is_well = request->has_head ? send_chunk(gateway, wsi, request)
                                     : send_head(wsi, request);
    if (!is_well) {
        return -1;
    }
    if (request->is_head || request->sent_bytes == request->answer.body_bytes) {
        return on_answered(gateway, wsi, request);
    }
    lws_callback_on_writable(wsi);
    return 0;
}

/* ---- libwebsockets ---- */

static int on_gone(struct gateway *gateway, const struct lws *wsi)
{
    struct connection *connection = find_connection(gateway, wsi);
    if (connection) {
        *connection = (struct connection){0};
    }
    return 0;
}

static int on_timer(struct gateway *gateway, struct lws *wsi)
{
    if (wsi == gateway->listener_wsi) {
        (void)lws_rx_flow_control(wsi, 1);
        return 0;
    }
    struct connection *connection = find_connection(gateway, wsi);
    if (connection) {
        cut(connection);
    }
    return 0;
}

static int on_upgrade(struct lws *wsi)
{
    return lws_return_http_status(wsi, HTTP_STATUS_BAD_REQUEST,
                                  "only HTTP/1.1 is spoken here") == 0
               ? 1
               : -1;
}

static int on_event(struct lws *wsi,
                    enum lws_callback_reasons reason,
                    void *user,
                    void *in,
                    size_t length)
{
    (void)length;
    struct gateway *gateway = lws_context_user(lws_get_context(wsi));
    switch (reason) {
    case LWS_CALLBACK_RAW_RX_FILE:
        accept_one(gateway);
        return 0;
    case LWS_CALLBACK_HTTP:
        return on_request(gateway, wsi, user, in);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return on_writable(gateway, wsi, user);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return on_upgrade(wsi);
    case LWS_CALLBACK_TIMER:
        return on_timer(gateway, wsi);
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
    case LWS_CALLBACK_CLOSED_HTTP:
        if (user) {
            answer_clear(&((struct request *)user)->answer);
        }
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        return on_gone(gateway, wsi);
    default:
        return 0;
    }
}

static const struct lws_protocols protocols[] = {
    {.name = "http",
     .callback = on_event,
     .per_session_data_size = sizeof(struct request)},
    {0},
};

static enum err make_context(struct gateway *gateway)
{
    lws_set_log_level(0, NULL);
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = protocols,
        .server_string = "troupe",
        .max_http_header_data = GATEWAY_HEADER_BYTES_MAX,
        .timeout_secs = LINGER_S,
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   LWS_SERVER_OPTION_SKIP_SERVER_CANONICAL_NAME |
                   LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS,
        .user = gateway,
        .fd_limit_per_thread = gateway->connection_count + OWN_DESCRIPTORS,
    };
    gateway->context = lws_create_context(&info);
    if (!gateway->context) {
        return ERR_MEMORY;
    }
    gateway->host = lws_create_vhost(gateway->context, &info);
    return gateway->host ? ERR_NONE : ERR_MEMORY;
}

/* Have libwebsockets say when a connection waits. */
static enum err watch_listener(struct gateway *gateway)
{
    lws_sock_file_fd_type listener = {.filefd = gateway->listener};
    gateway->listener_wsi =
        lws_adopt_descriptor_vhost(gateway->host, LWS_ADOPT_RAW_FILE_DESC,
                                   listener, protocols[0].name, NULL);
    if (!gateway->listener_wsi) {
        return ERR_MEMORY;
    }
    gateway->listener = -1;
    return ERR_NONE;
}

static void run(void *argument)
{
    struct gateway *gateway = argument;
    while (!atomic_load(&gateway->is_closing)) {
        if (lws_service(gateway->context, 0) < 0) {
            log_error(gateway->log, "gateway.stopped",
                      LOG_TEXT("effect", "no HTTP until a restart"));
            return;
        }
    }
}

static enum err begin(struct gateway *gateway)
{
    enum err err = make_context(gateway);
    if (!err) {
        err = watch_listener(gateway);
    }
    return err ? err
               : posix_thread_start(&gateway->thread, "gateway", run, gateway);
}

enum err gateway_open(struct gateway **out,
                      const struct gateway_config *config,
                      struct err_detail *why)
{
    assert(config->connection_count_max > 0);
    assert(config->connection_count_max <= GATEWAY_CONNECTION_COUNT_MAX);
    assert(config->timeout_ms > 0);
    scoped(gateway_close) struct gateway *gateway = calloc(1, sizeof *gateway);
    if (!gateway) {
        return ERR_MEMORY;
    }
    gateway->listener = -1;
    gateway->source = config->source;
    gateway->timeout_us = config->timeout_ms * 1000;
    gateway->log = config->log;
    gateway->connection_count = config->connection_count_max;
    gateway->connections =
        calloc(gateway->connection_count, sizeof *gateway->connections);
    if (!gateway->connections) {
        return ERR_MEMORY;
    }
    struct listener_address address = {config->host, config->port};
    enum err err = listener_open(&gateway->listener, &address, why);
    if (err) {
        return err;
    }
    gateway->port = listener_port(gateway->listener);
    err = begin(gateway);
    if (err) {
        return err;
    }
    log_info(gateway->log, "gateway.listening", LOG_TEXT("host", config->host),
             LOG_UNSIGNED("port", gateway->port));
    *out = gateway;
    gateway = NULL;
    return ERR_NONE;
}

uint16_t gateway_port(const struct gateway *gateway)
{
    return gateway->port;
}

void gateway_close(struct gateway **gateway)
{
    struct gateway *closed = *gateway;
    if (!closed) {
        return;
    }
    atomic_store(&closed->is_closing, true);
    if (closed->thread) {
        lws_cancel_service(closed->context);
        posix_thread_join(&closed->thread);
    }
    if (closed->context) {
        lws_context_destroy(closed->context);
    }
    listener_close(&closed->listener);
    free(closed->connections);
    free(closed);
    *gateway = NULL;
}
