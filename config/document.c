#include "config/document.h"

#include "base/scope.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

static const char yaml_hint[] =
    "YAML: \"key: value\" lines, indented with spaces";

/* What helps against libyaml's complaints; they are matched by their start. */
static const struct {
    const char *complaint;
    const char *hint;
} hints[] = {
    {"found character that cannot start any token",
     "text that begins with @, `, % or a tab must stand in quotes"},
    {"mapping values are not allowed",
     "one \"key: value\" on a line, its children indented below it; text "
     "that contains \": \" must stand in quotes"},
    {"did not find expected key",
     "all keys of one part must begin in the same column"},
    {"did not find expected '-' indicator",
     "each entry of a list begins with \"- \", all in the same column"},
    {"could not find expected ':'",
     "a key, a colon and a space: \"key: value\""},
    {"did not find expected ',' or ']'", "a closing \"]\""},
    {"did not find expected ',' or '}'", "a closing \"}\""},
    {"found unexpected end of stream", "a closing quote"},
    {"block sequence entries are not allowed",
     "a list begins on the line below its key"},
    {"did not find expected <document start>",
     "one document: nothing behind it, no \"...\" or \"%\" lines"},
};

static const char *hint_for(const char *complaint)
{
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++) {
        const char *start = hints[i].complaint;
        if (strncmp(complaint, start, strlen(start)) == 0) {
            return hints[i].hint;
        }
    }
    return yaml_hint;
}

/* ---- before libyaml: the characters ---- */

struct scan {
    const uint8_t *next;
    const uint8_t *end;
    struct problem_place place; /* of `next` */
    bool is_indentation;        /* only blanks so far on this line */
    bool is_told;               /* one problem of this line was told */
};

/*
 * Take one character of strict UTF-8 (RFC 3629). False when the bytes are not
 * that; then one byte is taken.
 */
static bool scan_character(struct scan *scan, uint32_t *out)
{
    uint8_t first = *scan->next++;
    *out = first;
    if (first < 0x80) {
        return true;
    }
    uint32_t more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    if (first < 0xc2 || first > 0xf4 ||
        (size_t)(scan->end - scan->next) < more) {
        return false;
    }
    uint32_t character = first & (0x3f >> more);
    for (uint32_t i = 0; i < more; i++) {
        if ((scan->next[i] & 0xc0) != 0x80) {
            return false;
        }
        character = character << 6 | (scan->next[i] & 0x3f);
    }
    if (character < least[more] || character > 0x10ffff ||
        (character >= 0xd800 && character <= 0xdfff)) {
        return false;
    }
    scan->next += more;
    *out = character;
    return true;
}

static bool is_control(uint32_t character)
{
    return (character < 0x20 && character != '\t' && character != '\n' &&
            character != '\r') ||
           (character >= 0x7f && character <= 0x9f && character != 0x85) ||
           character == 0xfeff || (character & 0xfffe) == 0xfffe;
}

static void scan_tell(struct scan *scan,
                      struct problems *problems,
                      const char *found,
                      const char *allowed)
{
    if (!scan->is_told) {
        scan->is_told = true;
        struct problem *problem = problems_add(problems, scan->place, "");
        problem_say(problem->found, sizeof problem->found, "%s", found);
        problem_say(problem->allowed, sizeof problem->allowed, "%s", allowed);
    }
}

static void scan_step(struct scan *scan, struct problems *problems)
{
    uint32_t character = 0;
    char found[64];
    if (!scan_character(scan, &character)) {
        problem_say(found, sizeof found, "the byte 0x%02x", character);
        scan_tell(scan, problems, found, "UTF-8 text");
    } else if (is_control(character)) {
        problem_say(found, sizeof found, "the control character U+%04X",
                    character);
        scan_tell(scan, problems, found, "readable characters");
    } else if (character == '\t' && scan->is_indentation) {
        scan_tell(scan, problems, "a tab in the indentation",
                  "spaces: YAML does not indent with tabs");
    }
    scan->is_indentation =
        scan->is_indentation && (character == ' ' || character == '\t');
    scan->place.column++;
    if (character == '\n') {
        scan->place = (struct problem_place){scan->place.line + 1, 1};
        scan->is_indentation = true;
        scan->is_told = false;
    }
}

/* One problem for each line that has some. False: there were some. */
static bool scan_all(struct bytes text, struct problems *problems)
{
    uint32_t total = problems_total(problems);
    struct scan scan = {.next = text.data,
                        .end = text.data + text.length,
                        .place = {1, 1},
                        .is_indentation = true};
    while (scan.next < scan.end) {
        scan_step(&scan, problems);
    }
    return problems_total(problems) == total;
}

/* ---- libyaml's events into nodes ---- */

struct parse {
    yaml_parser_t parser;
    struct problems *problems;
    uint32_t node_count;
    uint32_t depth;
};

static void event_clear(yaml_event_t *event)
{
    yaml_event_delete(event);
}

static void parser_clear(struct parse *parse)
{
    yaml_parser_delete(&parse->parser);
}

static struct problem_place place_of(yaml_mark_t mark)
{
    return (struct problem_place){(uint32_t)mark.line + 1,
                                  (uint32_t)mark.column + 1};
}

static void tell(struct parse *parse,
                 struct problem_place place,
                 const char *found,
                 const char *allowed)
{
    struct problem *problem = problems_add(parse->problems, place, "");
    problem_say(problem->found, sizeof problem->found, "%s", found);
    problem_say(problem->allowed, sizeof problem->allowed, "%s", allowed);
}

static enum err refuse(struct parse *parse,
                       struct problem_place place,
                       const char *found,
                       const char *allowed)
{
    tell(parse, place, found, allowed);
    return ERR_INVALID;
}

static_assert(DOCUMENT_KEY_BYTES_MAX == 256, "as the text says");

static void tell_long_key(struct parse *parse, struct problem_place place)
{
    tell(parse, place, "a key of more than 256 bytes",
         "a key of at most 256 bytes, a colon and a space: \"key: value\"");
}

/*
 * libyaml gives up looking for a key's colon on the same line only when it
 * is more than 1,024 characters away, and then points behind them.
 */
static bool is_long_key(const yaml_parser_t *parser)
{
    return parser->context &&
           strcmp(parser->context, "while scanning a simple key") == 0 &&
           parser->context_mark.line == parser->problem_mark.line;
}

/* The next event; the caller deletes it, in any case. */
static enum err next_event(struct parse *parse, yaml_event_t *event)
{
    if (yaml_parser_parse(&parse->parser, event)) {
        return ERR_NONE;
    }
    memset(event, 0, sizeof *event);
    const yaml_parser_t *parser = &parse->parser;
    if (parser->error == YAML_MEMORY_ERROR) {
        return ERR_MEMORY;
    }
    if (is_long_key(parser)) {
        tell_long_key(parse, place_of(parser->context_mark));
        return ERR_INVALID;
    }
    const char *complaint = parser->problem ? parser->problem : "no YAML";
    char found[224];
    problem_say(found, sizeof found, "what is not YAML (%s%s%s)",
                parser->context ? parser->context : "",
                parser->context ? ", " : "", complaint);
    return refuse(parse, place_of(parser->problem_mark), found,
                  hint_for(complaint));
}

static enum err add_node(struct parse *parse,
                         const yaml_event_t *event,
                         struct document_node **out)
{
    struct problem_place place = place_of(event->start_mark);
    if (++parse->node_count > DOCUMENT_NODE_COUNT_MAX) {
        return refuse(parse, place, "too many values",
                      "at most 65536 keys and values in a file");
    }
    struct document_node *node = calloc(1, sizeof *node);
    if (!node) {
        return ERR_MEMORY;
    }
    node->place = place;
    *out = node;
    return ERR_NONE;
}

/* Anchors and tags do no harm by themselves, so that we go on. */
static void refuse_extras(struct parse *parse,
                          struct document_node *node,
                          const yaml_char_t *anchor,
                          const yaml_char_t *tag)
{
    const yaml_char_t *extra = anchor ? anchor : tag;
    if (!extra) {
        return;
    }
    char quoted[PROBLEM_QUOTE_BYTES];
    char found[224];
    problem_quote(quoted, bytes_of_text((const char *)extra));
    problem_say(found, sizeof found, "the %s %.190s", anchor ? "anchor" : "tag",
                quoted);
    tell(parse, node->place, found,
         anchor ? "values without \"&\": write them out where they are used"
                : "values without \"!\"");
    node->is_refused = true;
}

static bool is_null(const char *text)
{
    return !*text || strcmp(text, "~") == 0 || strcmp(text, "null") == 0 ||
           strcmp(text, "Null") == 0 || strcmp(text, "NULL") == 0;
}

static enum err read_scalar(struct parse *parse,
                            const yaml_event_t *event,
                            struct document_node *node)
{
    const char *value = (const char *)event->data.scalar.value;
    refuse_extras(parse, node, event->data.scalar.anchor,
                  event->data.scalar.tag);
    if (strlen(value) != event->data.scalar.length) {
        /* "\0" within double quotes. */
        tell(parse, node->place, "a zero byte", "text");
        node->is_refused = true;
    }
    node->is_quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (!node->is_quoted && is_null(value)) {
        return ERR_NONE;
    }
    node->kind = DOCUMENT_SCALAR;
    node->text = strdup(value);
    return node->text ? ERR_NONE : ERR_MEMORY;
}

static enum err read_value(struct parse *parse,
                           const yaml_event_t *event,
                           struct document_node **out);

static enum err read_list(struct parse *parse, struct document_node *list)
{
    struct document_node **end = &list->first;
    for (;;) {
        scoped(event_clear) yaml_event_t event = {0};
        enum err err = next_event(parse, &event);
        if (err || event.type == YAML_SEQUENCE_END_EVENT) {
            return err;
        }
        err = read_value(parse, &event, end);
        if (err) {
            return err;
        }
        end = &(*end)->next;
        list->count++;
    }
}

static void free_text(char **text)
{
    free(*text);
    *text = NULL;
}

/* Copy the key of a map from its event. */
static enum err read_key(struct parse *parse,
                         const yaml_event_t *event,
                         char **out)
{
    struct problem_place place = place_of(event->start_mark);
    if (event->type != YAML_SCALAR_EVENT) {
        return refuse(parse, place, "a key that is not text",
                      "names as keys: \"key: value\"");
    }
    const char *value = (const char *)event->data.scalar.value;
    if (strlen(value) != event->data.scalar.length ||
        event->data.scalar.anchor || event->data.scalar.tag) {
        return refuse(parse, place, "a key with an anchor, tag or zero byte",
                      "names as keys: \"key: value\"");
    }
    *out = strdup(value);
    return *out ? ERR_NONE : ERR_MEMORY;
}

/* The pair is dropped, and has been told. */
static void refuse_double(struct parse *parse,
                          const struct document_node *first,
                          const struct document_node *again)
{
    char quoted[PROBLEM_QUOTE_BYTES];
    char found[224];
    problem_quote(quoted, bytes_of_text(again->key));
    problem_say(found, sizeof found, "the key %.150s again, after line %u",
                quoted, first->key_place.line);
    tell(parse, again->key_place, found, "each key once");
}

static enum err read_pair(struct parse *parse,
                          const yaml_event_t *key_event,
                          struct document_node *map,
                          struct document_node **end)
{
    scoped(free_text) char *key = NULL;
    enum err err = read_key(parse, key_event, &key);
    if (err) {
        return err;
    }
    if (map->count == DOCUMENT_KEY_COUNT_MAX) {
        return refuse(parse, place_of(key_event->start_mark), "too many keys",
                      "at most 256 keys in one part");
    }
    scoped(event_clear) yaml_event_t event = {0};
    scoped(document_close) struct document_node *value = NULL;
    err = next_event(parse, &event);
    if (!err) {
        err = read_value(parse, &event, &value);
    }
    if (err) {
        return err;
    }
    value->key = key;
    key = NULL;
    value->key_place = place_of(key_event->start_mark);
    if (strlen(value->key) > DOCUMENT_KEY_BYTES_MAX) {
        tell_long_key(parse, value->key_place); /* and the pair is dropped */
        return ERR_NONE;
    }
    const struct document_node *first = document_get(map, value->key);
    if (first) {
        refuse_double(parse, first, value);
        return ERR_NONE;
    }
    *end = value;
    value = NULL;
    map->count++;
    return ERR_NONE;
}

static enum err read_map(struct parse *parse, struct document_node *map)
{
    struct document_node **end = &map->first;
    for (;;) {
        scoped(event_clear) yaml_event_t event = {0};
        enum err err = next_event(parse, &event);
        if (err || event.type == YAML_MAPPING_END_EVENT) {
            return err;
        }
        err = read_pair(parse, &event, map, end);
        if (err) {
            return err;
        }
        if (*end) {
            end = &(*end)->next;
        }
    }
}

static enum err read_children(struct parse *parse,
                              const yaml_event_t *event,
                              struct document_node *node)
{
    bool is_list = event->type == YAML_SEQUENCE_START_EVENT;
    node->kind = is_list ? DOCUMENT_LIST : DOCUMENT_MAP;
    refuse_extras(parse, node,
                  is_list ? event->data.sequence_start.anchor
                          : event->data.mapping_start.anchor,
                  is_list ? event->data.sequence_start.tag
                          : event->data.mapping_start.tag);
    if (parse->depth == DOCUMENT_DEPTH_MAX) {
        return refuse(parse, node->place, "values nested too deeply",
                      "at most 16 levels");
    }
    parse->depth++;
    enum err err = is_list ? read_list(parse, node) : read_map(parse, node);
    parse->depth--;
    return err;
}

/* `*out` is set on success only. Recursion ends at DOCUMENT_DEPTH_MAX. */
static enum err read_value(struct parse *parse,
                           const yaml_event_t *event,
                           struct document_node **out)
{
    scoped(document_close) struct document_node *node = NULL;
    enum err err = add_node(parse, event, &node);
    if (err) {
        return err;
    }
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        err = read_scalar(parse, event, node);
        break;
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        err = read_children(parse, event, node);
        break;
    default: /* an alias: nothing else can stand here */
        tell(parse, node->place, "an alias (\"*name\")",
             "values: write them out where they are used");
        node->is_refused = true;
        break;
    }
    if (err) {
        return err;
    }
    *out = node;
    node = NULL;
    return ERR_NONE;
}

/*
 * Skip what stands between documents, up to the next one (its place) or the
 * end (a place of zeros).
 */
static enum err next_document(struct parse *parse,
                              struct problem_place *out_place)
{
    for (;;) {
        scoped(event_clear) yaml_event_t event = {0};
        enum err err = next_event(parse, &event);
        if (err) {
            return err;
        }
        if (event.type == YAML_DOCUMENT_START_EVENT ||
            event.type == YAML_STREAM_END_EVENT) {
            bool is_there = event.type == YAML_DOCUMENT_START_EVENT;
            *out_place = is_there ? place_of(event.start_mark)
                                  : (struct problem_place){0};
            return ERR_NONE;
        }
    }
}

static enum err read_document(struct parse *parse, struct document_node **out)
{
    struct problem_place place = {0};
    enum err err = next_document(parse, &place);
    if (err) {
        return err;
    }
    if (place.line == 0) {
        return refuse(parse, place, "an empty file",
                      "the parts node, seeds and cluster; \"troupe config "
                      "default\" prints an example");
    }
    scoped(event_clear) yaml_event_t event = {0};
    scoped(document_close) struct document_node *root = NULL;
    err = next_event(parse, &event);
    if (!err) {
        err = read_value(parse, &event, &root);
    }
    if (!err) {
        err = next_document(parse, &place);
    }
    if (err) {
        return err;
    }
    if (place.line) {
        return refuse(parse, place, "a second document (\"---\")",
                      "one document in a file");
    }
    *out = root;
    root = NULL;
    return ERR_NONE;
}

static struct bytes without_byte_order_mark(struct bytes text)
{
    bool is_marked =
        text.length >= 3 && memcmp(text.data, "\xef\xbb\xbf", 3) == 0;
    return is_marked ? bytes_of(text.data + 3, text.length - 3) : text;
}

enum err document_open(struct document_node **out,
                       struct bytes text,
                       struct problems *problems)
{
    scoped(parser_clear) struct parse parse = {.problems = problems};
    text = text.length ? without_byte_order_mark(text) : bytes_of("", 0);
    if (text.length > DOCUMENT_BYTES_MAX) {
        return refuse(&parse, (struct problem_place){0}, "a larger file",
                      "at most 1 MiB");
    }
    if (!scan_all(text, problems)) {
        return ERR_INVALID;
    }
    if (!yaml_parser_initialize(&parse.parser)) {
        return ERR_MEMORY;
    }
    yaml_parser_set_encoding(&parse.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parse.parser, text.data, text.length);
    return read_document(&parse, out);
}

void document_close(struct document_node **root)
{
    struct document_node *node = *root;
    *root = NULL;
    while (node) {
        struct document_node *next = node->next;
        document_close(&node->first);
        free(node->text);
        free(node->key);
        free(node);
        node = next;
    }
}

const struct document_node *document_get(const struct document_node *map,
                                         const char *key)
{
    if (map->kind != DOCUMENT_MAP) {
        return NULL;
    }
    const struct document_node *child = map->first;
    while (child && strcmp(child->key, key) != 0) {
        child = child->next;
    }
    return child;
}

/* The child that "name..." or "[2]..." at the front of `*path` names. */
static const struct document_node *step_into(const struct document_node *node,
                                             const char **path)
{
    const char *rest = *path + (**path == '.');
    if (*rest == '[') {
        uint64_t index = 0;
        for (rest++; *rest >= '0' && *rest <= '9'; rest++) {
            index = index * 10 + (uint64_t)(*rest - '0');
        }
        *path = rest + (*rest == ']');
        const struct document_node *child =
            node->kind == DOCUMENT_LIST ? node->first : NULL;
        for (; child && index > 0; index--) {
            child = child->next;
        }
        return child;
    }
    size_t length = strcspn(rest, ".[");
    char key[64];
    problem_say(key, sizeof key, "%.*s", (int)length, rest);
    *path = rest + length;
    return document_get(node, key);
}

/* As far as `*path` goes; what is left of it is not there. */
static const struct document_node *follow(const struct document_node *root,
                                          const char **path)
{
    const struct document_node *node = root;
    while (**path) {
        const char *rest = *path;
        const struct document_node *child = step_into(node, &rest);
        if (!child) {
            break;
        }
        node = child;
        *path = rest;
    }
    return node;
}

const struct document_node *document_find(const struct document_node *root,
                                          const char *path)
{
    const struct document_node *node = follow(root, &path);
    return *path ? NULL : node;
}

const struct document_node *document_nearest(const struct document_node *root,
                                             const char *path)
{
    return follow(root, &path);
}

struct problem_place document_place(const struct document_node *node)
{
    return node->key ? node->key_place : node->place;
}
