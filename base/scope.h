/*
 * Run a closer when a variable goes out of scope.
 *
 * The closer takes the variable's address, accepts NULL and half-built
 * objects, and nulls the pointer; so the same function serves by hand.
 */

#ifndef BASE_SCOPE_H
#define BASE_SCOPE_H

#define scoped(closer) __attribute__((cleanup(closer)))

#endif
