/*
 * A terminal that is drawn upon as a whole, over ncurses.
 *
 * One thread, one at a time.
 */

#ifndef ADMIN_TOP_SCREEN_H
#define ADMIN_TOP_SCREEN_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct top_screen;

/* ERR_INVALID: it is no terminal that can be drawn upon. ERR_MEMORY */
FALLIBLE top_screen_open(struct top_screen **out, FILE *to, FILE *from);
/* The terminal is as it was. */
void top_screen_close(struct top_screen **screen);

/* Show a text in place of what is there, and a line for people at the bottom.
 * What does not fit is left out. */
void top_screen_draw(struct top_screen *screen,
                     const char *text,
                     const char *bottom);

/* False: somebody pressed q or Ctrl-C, within `ms`. */
bool top_screen_wait(struct top_screen *screen, uint32_t ms);

#endif
