/* SPDX-License-Identifier: PostgreSQL
 *
 * number.c: a correctly rounded float32 reader for the common decimal forms; strtof for the rest.
 *
 * The digits become an integer of at most 19 digits, that integer a double, and the double is scaled once by a power of
 * ten that a double holds exactly (10^0 .. 10^22). Relative error of the result: half a unit for the conversion of the
 * integer, half a unit for the scaling, and less than 10^-18 (1/100 unit) for digits after the 19th, so the true value
 * is within 3 units in the last place of the double. Rounding that double to float32 is rounding the true value unless a
 * point half way between two float32 lies as near, which its low 29 bits show; those cases, and exponents out of the
 * table, go to strtof. (W. D. Clinger, "How to read floating point numbers accurately", 1990, is the idea of the fast
 * path; taking a double as the wider format makes it fail for about one number in 60 million.)
 */
#include "types/number.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FOR_ONE	UINT64_C(1000000000000000000)	/* 10^18: one more digit stays below 10^19 < 2^64 */
#define ROOM_FOR_EIGHT	UINT64_C(100000000000)			/* 10^11 */
#define MAX_POWER		22		/* 5^22 < 2^53 */
#define LOW_BITS		29		/* 52 bits of a double's fraction less 23 of a float's */
#define TIE_MARGIN		4		/* units in the last place of the double */

static const double powers[MAX_POWER + 1] = {
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22
};

static inline bool
is_digit(char c)
{
	return (unsigned char) (c - '0') <= 9;
}

/* What may follow a decimal number that was read whole. Anything else (x of hexadecimal, a second point, junk) is left
 * for strtof to judge. */
static inline bool
ends_number(char c)
{
	switch (c)
	{
		case ',':
		case ']':
		case '}':
		case ' ':
		case '\0':
			return true;
		default:
			return false;
	}
}

/* Eight digits at once, when all eight characters are digits: each byte less '0', then pairs, fours and eights are
 * joined by multiplications. Little-endian machines only; others take one digit at a time. */
static inline bool
eight_digits(const char *text, uint32_t *value)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	uint64_t	word;

	memcpy(&word, text, sizeof(word));
	if (((word & UINT64_C(0xF0F0F0F0F0F0F0F0)) |
		 (((word + UINT64_C(0x0606060606060606)) & UINT64_C(0xF0F0F0F0F0F0F0F0)) >> 4)) !=
		UINT64_C(0x3333333333333333))
		return false;
	word -= UINT64_C(0x3030303030303030);
	word = word * 10 + (word >> 8);
	word = (((word & UINT64_C(0x000000FF000000FF)) * UINT64_C(0x000F424000000064)) +
			(((word >> 16) & UINT64_C(0x000000FF000000FF)) * UINT64_C(0x0000271000000001))) >> 32;
	*value = (uint32_t) word;
	return true;
#else
	return false;
#endif
}

/* A run of digits: appended to *mantissa while there is room, past that counted in *dropped. Returns how many were
 * appended; *p is set past them all. */
static inline int
read_digits(const char **p, const char *limit, uint64_t *mantissa, int *dropped)
{
	const char *c = *p;
	int			taken = 0;
	uint32_t	eight;

	while (limit - c >= 8 && *mantissa < ROOM_FOR_EIGHT && eight_digits(c, &eight))
	{
		*mantissa = *mantissa * 100000000 + eight;
		taken += 8;
		c += 8;
	}
	for (; is_digit(*c); c++)
	{
		if (*mantissa < ROOM_FOR_ONE)
		{
			*mantissa = *mantissa * 10 + (uint64_t) (*c - '0');
			taken++;
		}
		else
			(*dropped)++;
	}
	*p = c;
	return taken;
}

static rv_number_status
read_slowly(const char *text, const char **end, float *value)
{
	char	   *stop;

	errno = 0;
	*value = strtof(text, &stop);
	*end = stop;
	if (stop == text)
		return RV_NUMBER_NONE;
	if (errno == ERANGE && isinf(*value))
		return RV_NUMBER_LARGE;
	if (errno == ERANGE && *value == 0)
		return RV_NUMBER_SMALL;
	return RV_NUMBER_OK;
}

rv_number_status
rv_read_float(const char *text, const char *limit, const char **end, float *value)
{
	const char *p = text;
	const char *digits;
	bool		negative = *p == '-';
	uint64_t	mantissa = 0;
	int			dropped = 0,
				fraction = 0,
				exponent = 0;
	double		wide;
	uint64_t	bits;

	if (negative || *p == '+')
		p++;
	digits = p;
	read_digits(&p, limit, &mantissa, &dropped);
	exponent = dropped;
	if (*p == '.')
	{
		p++;
		digits++;				/* the point is no digit */
		fraction = read_digits(&p, limit, &mantissa, &dropped);
	}
	if (p == digits)
		return read_slowly(text, end, value);
	if (*p == 'e' || *p == 'E')
	{
		bool		down = p[1] == '-';
		int			power = 0;

		p += (down || p[1] == '+') ? 2 : 1;
		if (!is_digit(*p))
			return read_slowly(text, end, value);
		for (; is_digit(*p); p++)
			power = power < 10000 ? power * 10 + (*p - '0') : power;
		exponent += down ? -power : power;
	}
	exponent -= fraction;
	if (!ends_number(*p))
		return read_slowly(text, end, value);

	*end = p;
	if (mantissa == 0)
	{
		*value = negative ? -0.0f : 0.0f;
		return RV_NUMBER_OK;
	}
	if (exponent < -MAX_POWER || exponent > MAX_POWER)
		return read_slowly(text, end, value);
	wide = exponent < 0 ? (double) mantissa / powers[-exponent] : (double) mantissa * powers[exponent];
	memcpy(&bits, &wide, sizeof(bits));
	bits &= (UINT64_C(1) << LOW_BITS) - 1;
	/* wide is at least 10^-22: no subnormal; near the top of float32's range strtof decides */
	if (bits - ((UINT64_C(1) << (LOW_BITS - 1)) - TIE_MARGIN) <= 2 * TIE_MARGIN || wide > 3e38)
		return read_slowly(text, end, value);
	*value = negative ? -(float) wide : (float) wide;
	return RV_NUMBER_OK;
}
