#include "bench/plot.h"

#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define UNIT_MAX 16
#define GROUP_MAX 32
#define PEER_MAX 16

/* Pixels. */
#define WIDTH 1000.0
#define PANEL_HEIGHT 300.0
#define HEAD_HEIGHT 64.0
#define LEFT 90.0
#define RIGHT 20.0
#define TOP 40.0    /* of a panel, above its bars */
#define BOTTOM 45.0 /* of a panel, below them */
#define CHARACTER_WIDTH 7.5
#define BARS_HEIGHT (PANEL_HEIGHT - TOP - BOTTOM)

/* Okabe and Ito's colours, which the colour-blind can tell apart. */
static const char *const colours[PEER_MAX] = {
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00",
    "#999999", "#8c6d31", "#0072b2", "#e69f00", "#009e73", "#cc79a7",
    "#56b4e9", "#d55e00", "#999999", "#8c6d31",
};

/* Distinct names in order of appearance. */
struct names {
    const char *names[GROUP_MAX];
    size_t count;
};

struct panel {
    FILE *file;
    const struct bench_results *results;
    const struct names *peers;
    const char *unit;
    struct names groups; /* cases with this unit */
    double top;
    bool is_cost;
    bool is_logarithmic;
    double low;  /* of the axis */
    double high; /* of the axis */
};

static size_t names_index(struct names *names, const char *name, size_t max)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->names[i], name) == 0) {
            return i;
        }
    }
    if (names->count == max) {
        return max - 1; /* too many: the last ones share a place */
    }
    names->names[names->count] = name;
    return names->count++;
}

static size_t peer_index(const struct panel *panel, const char *name)
{
    for (size_t i = 0; i < panel->peers->count; i++) {
        if (strcmp(panel->peers->names[i], name) == 0) {
            return i;
        }
    }
    return 0;
}

/* Names are ours and hold nothing that XML must escape. */
static void text_at(
    FILE *file, double x, double y, const char *style, const char *text)
{
    fprintf(file, "<text x=\"%.1f\" y=\"%.1f\" %s>%s</text>\n", x, y, style,
            text);
}

/* 1, 2 or 5 times a power of ten, at least `least`. */
static double round_step(double least)
{
    double power = pow(10, floor(log10(least)));
    double digit = least / power;
    return power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
}

static void panel_scale(struct panel *panel)
{
    double least = INFINITY;
    double most = 0;
    for (size_t i = 0; i < panel->results->row_count; i++) {
        const struct bench_row *row = &panel->results->rows[i];
        if (strcmp(row->about->unit, panel->unit) == 0) {
            double max = row->values[row->value_count - 1];
            double min = row->values[0];
            least = min > 0 && min < least ? min : least;
            most = max > most ? max : most;
            panel->is_cost = row->about->is_cost;
        }
    }
    most = most > 0 ? most : 1;
    least = least < most ? least : most;
    panel->is_logarithmic = most > 20 * least;
    if (panel->is_logarithmic) {
        panel->low = pow(10, floor(log10(least)));
        panel->high = most * 1.5;
    } else {
        panel->low = 0;
        panel->high = most * 1.15;
    }
}

static double y_of(const struct panel *panel, double value)
{
    double bottom = panel->top + TOP + BARS_HEIGHT;
    double share = 0;
    if (!panel->is_logarithmic) {
        share = value / panel->high;
    } else if (value > panel->low) {
        share = log(value / panel->low) / log(panel->high / panel->low);
    }
    return bottom - BARS_HEIGHT * fmax(0, fmin(1, share));
}

static void draw_tick(const struct panel *panel, double value)
{
    char text[16];
    double y = y_of(panel, value);
    bench_number_text(text, value);
    fprintf(panel->file,
            "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" "
            "stroke=\"#ddd\"/>\n",
            LEFT, WIDTH - RIGHT, y, y);
    text_at(panel->file, LEFT - 6, y + 4, "text-anchor=\"end\"", text);
}

static void draw_axis(const struct panel *panel)
{
    if (panel->is_logarithmic) {
        for (double tick = panel->low; tick <= panel->high; tick *= 10) {
            draw_tick(panel, tick);
        }
    } else {
        double step = round_step(panel->high / 6);
        for (double tick = 0; tick <= panel->high; tick += step) {
            draw_tick(panel, tick);
        }
    }
    char title[96];
    snprintf(title, sizeof title, "%s%s: %s is better", panel->unit,
             panel->is_logarithmic ? ", logarithmic" : "",
             panel->is_cost ? "less" : "more");
    text_at(panel->file, LEFT, panel->top + 22, "font-weight=\"bold\"", title);
    fprintf(panel->file,
            "<text transform=\"translate(22 %.1f) rotate(-90)\" "
            "text-anchor=\"middle\">%s</text>\n",
            panel->top + TOP + BARS_HEIGHT / 2, panel->unit);
}

static void draw_bar(const struct panel *panel,
                     const struct bench_row *row,
                     double x,
                     double width)
{
    double value = bench_row_median(row);
    double y = y_of(panel, value);
    double middle = x + width / 2;
    double y_min = y_of(panel, row->values[0]);
    double y_max = y_of(panel, row->values[row->value_count - 1]);
    char text[16];
    bench_number_text(text, value);
    fprintf(panel->file,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
            "fill=\"%s\"/>\n",
            x, y, width, panel->top + TOP + BARS_HEIGHT - y,
            colours[peer_index(panel, row->peer)]);
    fprintf(panel->file,
            "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" "
            "stroke=\"#333\"/>\n",
            middle, middle, y_min, y_max);
    text_at(panel->file, middle, fmin(y, y_max) - 3,
            "text-anchor=\"middle\" font-size=\"9\"", text);
}

/* Whether names must stand on two lines in turn. */
static bool has_long_name(const struct panel *panel, double width)
{
    for (size_t i = 0; i < panel->groups.count; i++) {
        const char *name = panel->groups.names[i];
        if (CHARACTER_WIDTH * (double)strlen(name) > width) {
            return true;
        }
    }
    return false;
}

static void draw_bars(const struct panel *panel)
{
    double group_width = (WIDTH - LEFT - RIGHT) / (double)panel->groups.count;
    bool has_two_lines = has_long_name(panel, group_width);
    for (size_t group = 0; group < panel->groups.count; group++) {
        const char *name = panel->groups.names[group];
        double left = LEFT + (double)group * group_width;
        size_t count = 0;
        size_t done = 0;
        for (size_t i = 0; i < panel->results->row_count; i++) {
            const struct bench_row *row = &panel->results->rows[i];
            count += strcmp(row->about->name, name) == 0;
        }
        double width = fmin(44, group_width * 0.9 / (double)count);
        double start = left + (group_width - width * (double)count) / 2;
        for (size_t i = 0; i < panel->results->row_count; i++) {
            const struct bench_row *row = &panel->results->rows[i];
            if (strcmp(row->about->name, name) == 0) {
                draw_bar(panel, row, start + width * (double)done++ + 1,
                         width - 2);
            }
        }
        double line = has_two_lines && group % 2 == 1 ? 33 : 18;
        text_at(panel->file, left + group_width / 2,
                panel->top + TOP + BARS_HEIGHT + line, "text-anchor=\"middle\"",
                name);
    }
}

static void draw_panel(struct panel *panel)
{
    for (size_t i = 0; i < panel->results->row_count; i++) {
        const struct bench_case *about = panel->results->rows[i].about;
        if (strcmp(about->unit, panel->unit) == 0) {
            names_index(&panel->groups, about->name, GROUP_MAX);
        }
    }
    panel_scale(panel);
    draw_axis(panel);
    draw_bars(panel);
}

static void draw_head(FILE *file,
                      const struct bench_results *results,
                      const struct names *peers)
{
    char title[96];
    snprintf(title, sizeof title,
             "troupe-bench %s: medians, with the range of all runs",
             results->rows[0].suite);
    text_at(file, LEFT, 26, "font-size=\"16\" font-weight=\"bold\"", title);
    double x = LEFT;
    for (size_t i = 0; i < peers->count; i++) {
        fprintf(file,
                "<rect x=\"%.1f\" y=\"42\" width=\"12\" height=\"12\" "
                "fill=\"%s\"/>\n",
                x, colours[i]);
        text_at(file, x + 17, 52, "", peers->names[i]);
        x += 40 + CHARACTER_WIDTH * (double)strlen(peers->names[i]);
    }
}

static void draw(FILE *file, const struct bench_results *results)
{
    struct names peers = {.count = 0};
    struct names units = {.count = 0};
    for (size_t i = 0; i < results->row_count; i++) {
        names_index(&peers, results->rows[i].peer, PEER_MAX);
        names_index(&units, results->rows[i].about->unit, UNIT_MAX);
    }
    double height = HEAD_HEIGHT + PANEL_HEIGHT * (double)units.count;
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" "
            "height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" "
            "font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
            WIDTH, height, WIDTH, height);
    draw_head(file, results, &peers);
    for (size_t i = 0; i < units.count; i++) {
        struct panel panel = {.file = file,
                              .results = results,
                              .peers = &peers,
                              .unit = units.names[i],
                              .top = HEAD_HEIGHT + PANEL_HEIGHT * (double)i};
        draw_panel(&panel);
    }
    fputs("</svg>\n", file);
}

enum err plot_check(const char *path)
{
    bool is_new = access(path, F_OK) != 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0666);
    if (fd < 0) {
        return ERR_IO;
    }
    (void)close(fd);
    if (is_new) {
        (void)unlink(path);
    }
    return ERR_NONE;
}

enum err plot_write(const struct bench_results *results, const char *path)
{
    FILE *file = fopen(path, "w");
    if (!file) {
        return ERR_IO;
    }
    draw(file, results);
    int failed = ferror(file);
    failed |= fclose(file);
    if (failed) {
        remove(path);
        return ERR_IO;
    }
    return ERR_NONE;
}
