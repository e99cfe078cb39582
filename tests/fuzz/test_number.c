/* SPDX-License-Identifier: PostgreSQL
 *
 * test_number.c: rv_read_float against strtof, bit for bit, over numbers made from a seed: short and long decimals,
 * exponents, points half way between two floats (where rounding twice would show), and strings that are no numbers.
 * Usage: test_number SEED COUNT
 */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "types/number.h"

static uint64_t state;

/* xorshift64 (Marsaglia 2003) */
static uint64_t
next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static float
any_float(void)
{
	uint32_t	bits = (uint32_t) (next() >> 16);
	float		value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static void
write_number(char *text, size_t size)
{
	static const char alphabet[] = "0123456789..eE+-xinfa,] ";
	double		fraction = (double) (int64_t) next() / 9.3e18;
	float		f;
	size_t		length;

	switch (next() % 8)
	{
		case 0:
			snprintf(text, size, "%.9g", any_float());
			return;
		case 1:
			snprintf(text, size, "%.17g", fraction);
			return;
		case 2:
			snprintf(text, size, "%.*f", (int) (next() % 30), fraction * (double) (next() % 1000));
			return;
		case 3:
			snprintf(text, size, "%.9g,", fraction);
			return;
		case 4:
			snprintf(text, size, "%llu.%llue%d", (unsigned long long) (next() >> (next() % 64)),
					 (unsigned long long) next(), (int) (next() % 60) - 30);
			return;
		case 5:
			f = any_float();
			snprintf(text, size, "%.*g", (int) (15 + next() % 12), ((double) f + (double) nextafterf(f, INFINITY)) / 2);
			return;
		case 6:
			snprintf(text, size, "0.00000000%llu", (unsigned long long) next());
			return;
		default:
			length = next() % 12;
			for (size_t i = 0; i < length; i++)
				text[i] = alphabet[next() % (sizeof(alphabet) - 1)];
			text[length] = '\0';
	}
}

int
main(int argc, char **argv)
{
	long		count = argc == 3 ? strtol(argv[2], NULL, 10) : 0;

	if (count <= 0)
	{
		fprintf(stderr, "usage: %s SEED COUNT\n", argv[0]);
		return 2;
	}
	state = strtoull(argv[1], NULL, 10) | 1;
	for (long i = 0; i < count; i++)
	{
		char		made[160];
		char	   *text;
		char	   *expected_end;
		const char *end;
		float		expected,
					value = 0;
		rv_number_status status,
					expected_status;

		write_number(made, sizeof(made));
		/* Exactly as long as it is, so that a sanitizer sees a read past it */
		text = strdup(made);
		errno = 0;
		expected = strtof(text, &expected_end);
		expected_status = expected_end == text ? RV_NUMBER_NONE :
			errno != ERANGE ? RV_NUMBER_OK :
			isinf(expected) ? RV_NUMBER_LARGE : expected == 0 ? RV_NUMBER_SMALL : RV_NUMBER_OK;
		status = rv_read_float(text, text + strlen(text), &end, &value);
		if (status != expected_status || end != expected_end ||
			(memcmp(&value, &expected, sizeof(value)) != 0 && !(isnan(value) && isnan(expected))))
		{
			fprintf(stderr, "\"%s\": status %d, %.9g; strtof %d, %.9g (seed %s)\n", text, (int) status, (double) value,
					(int) expected_status, (double) expected, argv[1]);
			return 1;
		}
		free(text);
	}
	printf("%ld numbers as strtof reads them, seed %s\n", count, argv[1]);
	return 0;
}
