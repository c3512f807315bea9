#include "admin/shard_plot.h"

#include "admin/answer.h"

#include <inttypes.h>
#include <string.h>

#define NODE_COUNT_MAX 512

/* Pixels. */
#define WIDTH 1000
#define LEFT 20
#define HEAD_HEIGHT 60
#define NODE_HEIGHT 20
#define BAR_LEFT 180
#define BAR_WIDTH 680
#define CELL 22
#define CELLS_PER_ROW 43
#define GAP 30

/* Okabe and Ito's colours, which the colour-blind can tell apart. */
static const char *const colours[] = {
    "#0072b2", "#e69f00", "#009e73", "#cc79a7",
    "#56b4e9", "#d55e00", "#999999", "#8c6d31",
};
#define COLOUR_COUNT (sizeof colours / sizeof *colours)

struct node {
    const char *name;
    uint32_t leads;
    uint32_t replicas;
};

struct plot {
    FILE *out;
    const json_t *map;
    struct node nodes[NODE_COUNT_MAX];
    uint32_t node_count;
    uint32_t most; /* replicas of one node */
};

/* NULL: too many of them. */
static struct node *node_of(struct plot *plot, const char *name)
{
    for (uint32_t i = 0; i < plot->node_count; i++) {
        if (strcmp(plot->nodes[i].name, name) == 0) {
            return &plot->nodes[i];
        }
    }
    if (plot->node_count == NODE_COUNT_MAX) {
        return NULL;
    }
    plot->nodes[plot->node_count].name = name;
    return &plot->nodes[plot->node_count++];
}

static void count_shard(struct plot *plot, const json_t *shard)
{
    const char *leader = answer_text(shard, "leader");
    struct node *node = leader ? node_of(plot, leader) : NULL;
    if (node) {
        node->leads++;
    }
    for (size_t i = 0; i < answer_count(shard, "wanted"); i++) {
        const char *name = json_string_value(answer_item(shard, "wanted", i));
        node = name ? node_of(plot, name) : NULL;
        if (node && ++node->replicas > plot->most) {
            plot->most = node->replicas;
        }
    }
}

/* The names come from a node: nothing of XML gets through. */
static void put_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        (void)fputc(byte < ' ' || strchr("<>&\"'", byte) ? '?' : byte, out);
    }
}

static const char *colour_of(const struct plot *plot, const char *name)
{
    for (uint32_t i = 0; i < plot->node_count; i++) {
        if (strcmp(plot->nodes[i].name, name) == 0) {
            return colours[i % COLOUR_COUNT];
        }
    }
    return "#222222";
}

static void draw_node(const struct plot *plot, uint32_t i)
{
    const struct node *node = &plot->nodes[i];
    unsigned top = HEAD_HEIGHT + i * NODE_HEIGHT;
    unsigned most = plot->most > 0 ? plot->most : 1;
    unsigned replicas_width = BAR_WIDTH * node->replicas / most;
    unsigned leads_width = BAR_WIDTH * node->leads / most;
    fprintf(plot->out, "<text x=\"%d\" y=\"%u\">", LEFT, top + 14);
    put_text(plot->out, node->name);
    fprintf(plot->out,
            "</text>\n<rect x=\"%d\" y=\"%u\" width=\"%u\" height=\"14\" "
            "fill=\"%s\" fill-opacity=\"0.35\"/>\n"
            "<rect x=\"%d\" y=\"%u\" width=\"%u\" height=\"14\" "
            "fill=\"%s\"/>\n"
            "<text x=\"%u\" y=\"%u\">%" PRIu32 " of %" PRIu32 "</text>\n",
            BAR_LEFT, top + 3, replicas_width, colours[i % COLOUR_COUNT],
            BAR_LEFT, top + 3, leads_width, colours[i % COLOUR_COUNT],
            BAR_LEFT + replicas_width + 8, top + 14, node->leads,
            node->replicas);
}

static void draw_shard(const struct plot *plot, const json_t *shard, size_t i)
{
    const char *leader = answer_text(shard, "leader");
    const char *state = answer_name(shard, "state");
    bool is_moving = strcmp(state, "moving") == 0;
    size_t top = HEAD_HEIGHT + plot->node_count * NODE_HEIGHT + GAP +
                 i / CELLS_PER_ROW * CELL;
    size_t left = LEFT + i % CELLS_PER_ROW * CELL;
    fprintf(plot->out, "<g><title>shard %" PRId64 ": ",
            answer_number(shard, "shard"));
    put_text(plot->out, leader ? leader : "no leader");
    fprintf(plot->out, ", ");
    put_text(plot->out, state);
    fprintf(plot->out,
            "</title><rect x=\"%zu\" y=\"%zu\" width=\"%d\" height=\"%d\" "
            "fill=\"%s\" stroke=\"%s\" stroke-width=\"2\"/>"
            "<text x=\"%zu\" y=\"%zu\" font-size=\"8\" fill=\"white\" "
            "text-anchor=\"middle\">%" PRId64 "</text></g>\n",
            left, top, CELL - 3, CELL - 3,
            leader ? colour_of(plot, leader) : "#222222",
            is_moving ? "#000000"
            : leader  ? "none"
                      : "#d00000",
            left + (CELL - 3) / 2, top + 12, answer_number(shard, "shard"));
}

static void draw_head(const struct plot *plot, size_t height)
{
    fprintf(plot->out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" "
            "height=\"%zu\" viewBox=\"0 0 %d %zu\" "
            "font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
            "<text x=\"%d\" y=\"26\" font-size=\"16\" "
            "font-weight=\"bold\">Shard map, version %" PRId64 "</text>\n"
            "<text x=\"%d\" y=\"46\">Shards that a node leads, of those "
            "that it shall hold; framed: moving, or (red) without a "
            "leader</text>\n",
            WIDTH, height, WIDTH, height, LEFT,
            answer_number(plot->map, "map.version"), LEFT);
}

void shard_plot(FILE *out, const json_t *map)
{
    struct plot plot = {.out = out, .map = map};
    size_t count = answer_count(map, "shards");
    for (size_t i = 0; i < count; i++) {
        count_shard(&plot, answer_item(map, "shards", i));
    }
    size_t rows = (count + CELLS_PER_ROW - 1) / CELLS_PER_ROW;
    draw_head(&plot, HEAD_HEIGHT + plot.node_count * NODE_HEIGHT + GAP +
                         rows * CELL + LEFT);
    for (uint32_t i = 0; i < plot.node_count; i++) {
        draw_node(&plot, i);
    }
    for (size_t i = 0; i < count; i++) {
        draw_shard(&plot, answer_item(map, "shards", i), i);
    }
    fputs("</svg>\n", out);
}
