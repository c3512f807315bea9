/*
 * Real numbers as text that machines read.
 */

#ifndef BASE_DECIMAL_H
#define BASE_DECIMAL_H

#define DECIMAL_TEXT_BYTES 40 /* with the terminating zero */

/*
 * As few digits as give `real` back (15 or 17), with a decimal point whatever
 * the locale of the program. `real` is finite.
 */
void decimal_text(char text[static DECIMAL_TEXT_BYTES], double real);

#endif
