#include "config/schema.h"

#include "base/bytes.h"
#include "config/address.h"
#include "config/certificate.h"
#include "config/nearest.h"
#include "config/problems.h"
#include "config/units.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

static const char *const kind_texts[SCHEMA_KIND_COUNT] = {
    [SCHEMA_PART] = "part",
    [SCHEMA_LIST] = "list of parts",
    [SCHEMA_URLS] = "list of door addresses",
    [SCHEMA_ROLES] = "list of roles",
    [SCHEMA_NAME] = "name",
    [SCHEMA_PATH] = "folder",
    [SCHEMA_HOST] = "host",
    [SCHEMA_ID] = "id",
    [SCHEMA_CHOICE] = "choice",
    [SCHEMA_BOOL] = "true or false",
    [SCHEMA_NUMBER] = "number",
    [SCHEMA_SIZE] = "size",
    [SCHEMA_DURATION] = "duration",
    [SCHEMA_DURATION_US] = "duration",
    [SCHEMA_PORTS] = "range of ports",
};

static const char *const *roles(void)
{
    return schema_find("cluster.nodes[].roles")->choices;
}

bool schema_is_branch(const struct schema_key *key)
{
    return key->kind == SCHEMA_PART || key->kind == SCHEMA_LIST;
}

const char *schema_kind_text(enum schema_kind kind)
{
    assert((unsigned)kind < SCHEMA_KIND_COUNT);
    return kind_texts[kind];
}

/* ---- what is allowed, in words ---- */

static void bound_text(char out[static UNITS_TEXT_BYTES],
                       const struct schema_key *key,
                       uint64_t value)
{
    switch (key->kind) {
    case SCHEMA_SIZE:
        units_size_text(out, value);
        break;
    case SCHEMA_DURATION:
        units_duration_text(out, value, UNITS_MS);
        break;
    case SCHEMA_DURATION_US:
        units_duration_text(out, value, UNITS_US);
        break;
    default:
        units_number_text(out, value);
        break;
    }
}

/* "debug, info, warn or error" */
static void choices_text(char *out,
                         size_t capacity,
                         const struct schema_key *key)
{
    size_t length = 0;
    for (const char *const *choice = key->choices; *choice; choice++) {
        const char *comma = choice == key->choices ? ""
                            : choice[1]            ? ", "
                                                   : " or ";
        problem_say(out + length, capacity - length, "%s%s", comma, *choice);
        length = strlen(out);
    }
}

static void allowed_range(char *out,
                          size_t capacity,
                          const struct schema_key *key)
{
    char min[UNITS_TEXT_BYTES];
    char max[UNITS_TEXT_BYTES];
    bound_text(min, key, key->min);
    bound_text(max, key, key->max);
    problem_say(out, capacity, "a %s from %s to %s%s%s", kind_texts[key->kind],
                min, max, key->kind != SCHEMA_NUMBER ? ", such as " : "",
                key->kind != SCHEMA_NUMBER ? key->standard : "");
}

static void allowed_value(char *out,
                          size_t capacity,
                          const struct schema_key *key)
{
    char choices[128] = "";
    if (key->choices) {
        choices_text(choices, sizeof choices, key);
    }
    switch (key->kind) {
    case SCHEMA_PART:
        problem_say(out, capacity, "keys of its own, indented below it");
        break;
    case SCHEMA_LIST:
        problem_say(out, capacity,
                    "a list of %" PRIu64 " to %" PRIu64
                    " entries, each begun by \"- \"",
                    key->min, key->max);
        break;
    case SCHEMA_URLS:
        problem_say(out, capacity,
                    "a list of at most %" PRIu64 " addresses: tcp://HOST:PORT, "
                    "ws://HOST:PORT/door or ipc://PATH",
                    key->max);
        break;
    case SCHEMA_ROLES:
        problem_say(out, capacity, "a list of %s, each at most once: [%s]",
                    choices, key->choices[0]);
        break;
    case SCHEMA_NAME:
        problem_say(out, capacity,
                    "1 to 63 of a-z 0-9 . _ -, beginning with a letter or "
                    "digit");
        break;
    case SCHEMA_PATH:
        problem_say(out, capacity,
                    "a folder's path of at most %" PRIu64 " bytes", key->max);
        break;
    case SCHEMA_HOST:
        problem_say(out, capacity,
                    "a DNS name or an IPv4 or IPv6 address, of at most %" PRIu64
                    " characters, without a port",
                    key->max);
        break;
    case SCHEMA_ID:
        problem_say(out, capacity, "32 hexadecimal digits");
        break;
    case SCHEMA_CHOICE:
        problem_say(out, capacity, "%s", choices);
        break;
    case SCHEMA_BOOL:
        problem_say(out, capacity, "true or false");
        break;
    case SCHEMA_PORTS:
        problem_say(out, capacity,
                    "a range of ports from 1 to 65535, such as 7602-8625");
        break;
    default:
        allowed_range(out, capacity, key);
        break;
    }
}

void schema_allowed(char out[static SCHEMA_ALLOWED_BYTES],
                    const struct schema_key *key)
{
    allowed_value(out, SCHEMA_ALLOWED_BYTES, key);
    size_t length = strlen(out);
    if (key->also) {
        problem_say(out + length, SCHEMA_ALLOWED_BYTES - length, "; %s",
                    key->also);
    }
}

/* ---- text to value ---- */

static void store(const struct schema_key *key, void *base, uint64_t value)
{
    uint8_t *to = (uint8_t *)base + key->offset;
    if (key->size == sizeof(uint64_t)) {
        memcpy(to, &value, sizeof value);
    } else if (key->size == sizeof(uint32_t)) {
        memcpy(to, &(uint32_t){(uint32_t)value}, sizeof(uint32_t));
    } else if (key->size == sizeof(uint16_t)) {
        memcpy(to, &(uint16_t){(uint16_t)value}, sizeof(uint16_t));
    } else {
        assert(key->size == sizeof(bool));
        memcpy(to, &(bool){value != 0}, sizeof(bool));
    }
}

static uint64_t load(const struct schema_key *key, const void *base)
{
    const uint8_t *from = (const uint8_t *)base + key->offset;
    uint64_t value = 0;
    uint32_t value32 = 0;
    uint16_t value16 = 0;
    bool value1 = false;
    if (key->size == sizeof value) {
        memcpy(&value, from, sizeof value);
    } else if (key->size == sizeof value32) {
        memcpy(&value32, from, sizeof value32);
        value = value32;
    } else if (key->size == sizeof value16) {
        memcpy(&value16, from, sizeof value16);
        value = value16;
    } else {
        assert(key->size == sizeof value1);
        memcpy(&value1, from, sizeof value1);
        value = value1;
    }
    return value;
}

static enum err read_number(const struct schema_key *key,
                            void *base,
                            const char *text,
                            struct err_detail *why)
{
    uint64_t value = 0;
    enum err err = key->kind == SCHEMA_SIZE ? units_size(&value, text)
                   : key->kind == SCHEMA_DURATION
                       ? units_duration(&value, text, UNITS_MS)
                   : key->kind == SCHEMA_DURATION_US
                       ? units_duration(&value, text, UNITS_US)
                       : units_number(&value, text);
    if (err == ERR_INVALID) {
        err_explain(why, text[strspn(text, "0123456789")] == '\0'
                             ? "which has no unit"
                             : "which is no whole number of milliseconds");
        return ERR_INVALID;
    }
    if (err == ERR_MALFORMED) {
        err_explain(why, "which is not a %s", kind_texts[key->kind]);
        return ERR_INVALID;
    }
    if (err || value > key->max || value < key->min) {
        err_explain(why, "which is too %s",
                    !err && value < key->min ? "small" : "large");
        return ERR_INVALID;
    }
    store(key, base, value);
    return ERR_NONE;
}

static enum err read_text(const struct schema_key *key,
                          void *base,
                          const char *text,
                          struct err_detail *why)
{
    size_t length = strlen(text);
    if (length > key->max) {
        err_explain(why, "which has %zu bytes", length);
        return ERR_INVALID;
    }
    bool is_valid = key->kind == SCHEMA_NAME   ? certificate_name_is_valid(text)
                    : key->kind == SCHEMA_HOST ? address_is_host(text)
                                               : length > 0;
    if (!is_valid) {
        err_explain(why, "which is not a %s", kind_texts[key->kind]);
        return ERR_INVALID;
    }
    assert(length < key->size);
    memcpy((char *)base + key->offset, text, length + 1);
    return ERR_NONE;
}

static enum err read_choice(const struct schema_key *key,
                            void *base,
                            const char *text,
                            struct err_detail *why)
{
    struct nearest nearest = {.name = text};
    for (uint32_t i = 0; key->choices[i]; i++) {
        if (strcmp(key->choices[i], text) == 0) {
            store(key, base, i);
            return ERR_NONE;
        }
        nearest_offer(&nearest, key->choices[i]);
    }
    if (nearest.best) {
        err_explain(why, "(did you mean %s?)", nearest.best);
    }
    return ERR_INVALID;
}

static enum err read_bool(const struct schema_key *key,
                          void *base,
                          const char *text)
{
    bool is_true = strcmp(text, "true") == 0;
    if (!is_true && strcmp(text, "false") != 0) {
        return ERR_INVALID;
    }
    store(key, base, is_true);
    return ERR_NONE;
}

static enum err read_id(const struct schema_key *key,
                        void *base,
                        const char *text,
                        struct err_detail *why)
{
    uint8_t id[CLUSTER_ID_BYTES];
    if (!hex_decode(id, sizeof id, text)) {
        err_explain(why, "which has %zu characters%s", strlen(text),
                    strlen(text) == 2 * sizeof id ? ", not all hexadecimal"
                                                  : "");
        return ERR_INVALID;
    }
    memcpy((uint8_t *)base + key->offset, id, sizeof id);
    return ERR_NONE;
}

static enum err read_ports(const struct schema_key *key,
                           void *base,
                           const char *text,
                           struct err_detail *why)
{
    char parts[2][8] = {"", ""};
    size_t length = strcspn(text, "-");
    uint64_t first = 0;
    uint64_t last = 0;
    bool is_range = text[length] == '-' && length < sizeof parts[0] &&
                    strlen(text + length + 1) < sizeof parts[1];
    if (is_range) {
        memcpy(parts[0], text, length);
        memcpy(parts[1], text + length + 1, strlen(text + length + 1));
        is_range =
            !units_number(&first, parts[0]) && !units_number(&last, parts[1]);
    }
    if (!is_range) {
        err_explain(why, "which is not a range FIRST-LAST");
        return ERR_INVALID;
    }
    if (first < 1 || last > 65535 || first > last) {
        err_explain(why, first > last ? "whose end is before its beginning"
                                      : "which is not within 1 to 65535");
        return ERR_INVALID;
    }
    struct settings_port_range range = {(uint16_t)first, (uint16_t)last};
    memcpy((uint8_t *)base + key->offset, &range, sizeof range);
    return ERR_NONE;
}

enum err schema_read(const struct schema_key *key,
                     void *base,
                     const char *text,
                     struct err_detail *why)
{
    switch (key->kind) {
    case SCHEMA_NAME:
    case SCHEMA_PATH:
    case SCHEMA_HOST:
        return read_text(key, base, text, why);
    case SCHEMA_ID:
        return read_id(key, base, text, why);
    case SCHEMA_CHOICE:
        return read_choice(key, base, text, why);
    case SCHEMA_BOOL:
        return read_bool(key, base, text);
    case SCHEMA_PORTS:
        return read_ports(key, base, text, why);
    default:
        assert(!schema_is_branch(key) && key->kind != SCHEMA_URLS &&
               key->kind != SCHEMA_ROLES);
        return read_number(key, base, text, why);
    }
}

uint32_t schema_role(const char *text)
{
    for (uint32_t i = 0; roles()[i]; i++) {
        if (strcmp(roles()[i], text) == 0) {
            return UINT32_C(1) << i;
        }
    }
    return 0;
}

/* ---- value to text ---- */

static void write_roles(char out[static SCHEMA_VALUE_BYTES], uint64_t set)
{
    struct writer writer = writer_of(out, SCHEMA_VALUE_BYTES - 1);
    write_u8(&writer, '[');
    bool is_first = true;
    for (uint32_t i = 0; roles()[i]; i++) {
        if (set & UINT64_C(1) << i) {
            write_bytes(&writer, ", ", is_first ? 0 : 2);
            write_bytes(&writer, roles()[i], strlen(roles()[i]));
            is_first = false;
        }
    }
    write_u8(&writer, ']');
    *writer.next = '\0';
}

void schema_write(char out[static SCHEMA_VALUE_BYTES],
                  const struct schema_key *key,
                  const void *base)
{
    const uint8_t *from = (const uint8_t *)base + key->offset;
    switch (key->kind) {
    case SCHEMA_NAME:
    case SCHEMA_PATH:
    case SCHEMA_HOST:
        problem_say(out, SCHEMA_VALUE_BYTES, "%s", (const char *)from);
        break;
    case SCHEMA_ID:
        hex_encode(out, bytes_of(from, key->size));
        break;
    case SCHEMA_CHOICE:
        problem_say(out, SCHEMA_VALUE_BYTES, "%s",
                    key->choices[load(key, base)]);
        break;
    case SCHEMA_BOOL:
        problem_say(out, SCHEMA_VALUE_BYTES, "%s",
                    load(key, base) ? "true" : "false");
        break;
    case SCHEMA_PORTS: {
        struct settings_port_range range;
        memcpy(&range, from, sizeof range);
        problem_say(out, SCHEMA_VALUE_BYTES, "%u-%u", range.first, range.last);
        break;
    }
    case SCHEMA_ROLES:
        write_roles(out, load(key, base));
        break;
    default:
        assert(!schema_is_branch(key) && key->kind != SCHEMA_URLS);
        bound_text(out, key, load(key, base));
        break;
    }
}

static uint32_t all_roles(void)
{
    uint32_t set = 0;
    for (uint32_t i = 0; roles()[i]; i++) {
        set |= UINT32_C(1) << i;
    }
    return set;
}

/* Below the parent, at any depth, but not within a list of it. */
static bool is_below(const struct schema_key *key, const char *parent)
{
    size_t length = strlen(parent);
    return strncmp(key->path, parent, length) == 0 &&
           (length == 0 || key->path[length] == '.') &&
           !strchr(key->path + length, '[');
}

void schema_set_defaults(void *base, const char *parent)
{
    uint32_t count = 0;
    const struct schema_key *keys = schema_keys(&count);
    for (uint32_t i = 0; i < count; i++) {
        const struct schema_key *key = &keys[i];
        if (!key->standard || !is_below(key, parent)) {
            continue;
        }
        if (key->kind == SCHEMA_ROLES) {
            store(key, base, all_roles());
            continue;
        }
        enum err err = schema_read(key, base, key->standard, NULL);
        assert(!err); /* a default of the table itself */
        (void)err;
    }
}
