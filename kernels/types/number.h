/* SPDX-License-Identifier: PostgreSQL
 *
 * number.h: reading one float32 from text (number.c) and writing it (shortest.c). No PostgreSQL, so that it can be tested
 * and fuzzed alone.
 */
#ifndef RV_NUMBER_H
#define RV_NUMBER_H

#include <stdint.h>

typedef enum rv_number_status
{
	RV_NUMBER_OK,
	RV_NUMBER_NONE,				/* no number begins here */
	RV_NUMBER_LARGE,			/* too large to represent: *value is infinite */
	RV_NUMBER_SMALL				/* not zero, but too small to represent: *value is zero */
} rv_number_status;

/* Read the number that begins at text, as strtof does in the C locale: the same syntax (hexadecimal, inf and nan
 * included), the same value to the last bit. text ends with NUL at limit. *end is set past the number, also when it is
 * out of range; then *value is what strtof gives. */
extern rv_number_status rv_read_float(const char *text, const char *limit, const char **end, float *value);

/* Write n values at out as the server writes a real, each with a comma after it; returns the end. NaN and infinity have
 * their words. A value takes at most 15 characters, but more may be written than count: RV_FLOAT_ROOM for each is enough. */
#define RV_FLOAT_ROOM	24
extern char *rv_write_floats(const float *x, int n, char *out);

/* The same with an index (not negative, written plus one) and a colon before each value: RV_PAIR_ROOM for each. */
#define RV_PAIR_ROOM	36
extern char *rv_write_pairs(const int32_t *indices, const float *x, int n, char *out);

#endif							/* RV_NUMBER_H */
