/* SPDX-License-Identifier: PostgreSQL
 *
 * test_number.c: rv_read_float against strtof, bit for bit, over numbers made from a seed: short and long decimals,
 * exponents, points half way between two floats (where rounding twice would show), and strings that are no numbers.
 * Then rv_write_floats against the shortest %.*e that strtof reads back as the same number.
 * Usage: test_number SEED COUNT
 */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "distance/levels.h"
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

/* The fewest digits by trying them, in the form in which the server writes a real. False for what trying does not decide:
 * powers of two, whose neighbour below is nearer, and a decimal half way to a neighbour, which strtof may read back. */
static bool
try_digits(float value, char *text, size_t size)
{
	uint32_t	bits;
	int			digits = 0;
	int			exponent;

	memcpy(&bits, &value, sizeof(bits));
	if (isnan(value) || isinf(value) || value == 0)
	{
		snprintf(text, size, "%s,", isnan(value) ? "NaN" : isinf(value) ? (value > 0 ? "Infinity" : "-Infinity") :
				 signbit(value) ? "-0" : "0");
		return true;
	}
	if ((bits & 0x7fffff) == 0)
		return false;
	for (;; digits++)
	{
		double		read;

		snprintf(text, size, "%.*e", digits, (double) value);
		read = strtod(text, NULL);
		if (2 * read == (double) value + (double) nextafterf(value, INFINITY) ||
			2 * read == (double) value + (double) nextafterf(value, -INFINITY))
			return false;
		if (strtof(text, NULL) == value)
			break;
	}
	exponent = atoi(strchr(text, 'e') + 1);
	if (exponent >= -4 && exponent < 6)
		snprintf(text, size, "%.*f", digits > exponent ? digits - exponent : 0, (double) value);
	strcat(text, ",");
	return true;
}

static float
number_to_write(void)
{
	double		fraction = (double) (int64_t) next() / 9.3e18;

	switch (next() % 5)
	{
		case 0:
			return (float) fraction;
		case 1:
			return (float) (fraction * 0.05);
		case 2:
			return (float) (int64_t) (next() % 3000000) / (float) (next() % 3 == 0 ? 1 : 1000);
		case 3:
			return next() % 50 == 0 ? (next() % 2 ? INFINITY : NAN) : -0.0f;
		default:
			return any_float();
	}
}

/* The scalar kernels; tests/distance compares the others with them. */
const rv_kernel_table *
rv_kernels(void)
{
	static rv_kernel_table table;

	rv_scalar_decimal(&table);
	return &table;
}

const rv_kernel_table *
rv_kernels_at(rv_simd_level level)
{
	return rv_kernels();
}

/* Returns how many numbers differ. */
static int
check_writing(long count)
{
	int			wrong = 0;

	for (long done = 0; done < count;)
	{
		float		x[40];
		int			n = (int) (next() % 40) + 1;
		char		text[40 * 40];
		char	   *out = malloc((size_t) n * RV_FLOAT_ROOM);
		char	   *p = out;

		for (int i = 0; i < n; i++)
			x[i] = number_to_write();
		*rv_write_floats(x, n, out) = '\0';
		for (int i = 0; i < n; i++)
		{
			if (try_digits(x[i], text, sizeof(text)) && strncmp(p, text, strlen(text)) != 0)
			{
				fprintf(stderr, "%.9g is written %.20s, not %s\n", (double) x[i], p, text);
				wrong++;
			}
			p = strchr(p, ',') + 1;
		}
		if (*p != '\0')
			abort();
		free(out);
		done += n;
	}
	return wrong;
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
	if (check_writing(count / 4) > 0)
		return 1;
	printf("%ld numbers as strtof reads them, seed %s\n", count, argv[1]);
	return 0;
}
