/* SPDX-License-Identifier: PostgreSQL
 *
 * number.h: reading one float32 from text. No PostgreSQL, so that it can be tested and fuzzed alone.
 */
#ifndef RV_NUMBER_H
#define RV_NUMBER_H

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

#endif							/* RV_NUMBER_H */
