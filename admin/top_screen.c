#include "admin/top_screen.h"

#include <ncurses.h>
#include <stdlib.h>
#include <string.h>

#define CTRL_C 3

struct top_screen {
    SCREEN *screen;
};

enum err top_screen_open(struct top_screen **out, FILE *to, FILE *from)
{
    struct top_screen *own = calloc(1, sizeof *own);
    if (!own) {
        return ERR_MEMORY;
    }
    own->screen = newterm(NULL, to, from); /* initscr() would exit */
    if (!own->screen) {
        free(own);
        return ERR_INVALID;
    }
    (void)set_term(own->screen);
    (void)raw();
    (void)noecho();
    (void)curs_set(0);
    (void)keypad(stdscr, true);
    *out = own;
    return ERR_NONE;
}

void top_screen_close(struct top_screen **screen)
{
    if (*screen) {
        (void)endwin();
        delscreen((*screen)->screen);
        free(*screen);
        *screen = NULL;
    }
}

/* Titles are the lines behind an empty one. */
void top_screen_draw(struct top_screen *screen,
                     const char *text,
                     const char *bottom)
{
    (void)screen;
    int height = getmaxy(stdscr);
    int width = getmaxx(stdscr);
    bool is_title = true;
    (void)erase();
    for (int y = 0; *text && y < height - 1; y++) {
        int length = (int)strcspn(text, "\n");
        (void)attrset(is_title ? A_BOLD : A_NORMAL);
        (void)mvaddnstr(y, 0, text, length < width ? length : width);
        is_title = length == 0;
        text += length + (text[length] == '\n');
    }
    (void)attrset(A_REVERSE);
    (void)mvaddnstr(height - 1, 0, bottom, width);
    (void)attrset(A_NORMAL);
    (void)refresh();
}

bool top_screen_wait(struct top_screen *screen, uint32_t ms)
{
    (void)screen;
    timeout((int)ms);
    int key = getch();
    return key != 'q' && key != 'Q' && key != CTRL_C;
}
