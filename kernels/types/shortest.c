/* SPDX-License-Identifier: PostgreSQL
 *
 * shortest.c: a float32 as text, in the fewest digits that read back as the same float32.
 *
 * The text is the server's own (float4out with extra_float_digits = 1), byte for byte: a number whose first digit stands at
 * 10^-4 to 10^5 is written with a point, others with an exponent. The digits come in blocks from the kernels
 * (distance/decimal.h); the text of a number is put together by stores of eight bytes of which only some count, and its
 * length is calculated: there is no loop over digits. tests/fuzz/test_number.c compares it with the C library.
 */
#include "types/number.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "distance/distance.h"

#define FRACTION_BITS	23
#define FIXED_MIN		(-4)	/* decimal exponents written without "e" */
#define FIXED_END		6

static inline void
store(char *out, uint64_t bytes)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	bytes = __builtin_bswap64(bytes);
#endif
	memcpy(out, &bytes, sizeof(bytes));
}

static char *
write_special(char *out, uint32_t bits)
{
	const char *word = (bits & ((UINT32_C(1) << FRACTION_BITS) - 1)) != 0 ? "NaN" : "Infinity";
	int			negative = bits >> 31 != 0 && word[0] != 'N';

	*out = '-';
	out += negative;
	memcpy(out, word, strlen(word));
	return out + strlen(word);
}

/* first.rest x 10^exponent, of n digits */
static char *
write_with_exponent(char *out, char first, uint64_t rest, int n, int exponent)
{
	int			size = exponent < 0 ? -exponent : exponent;

	*out++ = first;
	if (n > 1)
	{
		*out++ = '.';
		store(out, rest);
		out += n - 1;
	}
	*out++ = 'e';
	*out++ = exponent < 0 ? '-' : '+';
	*out++ = (char) ('0' + size / 10);
	*out++ = (char) ('0' + size % 10);
	return out;
}

/* A number of these digits: 1 to 9 of them, of which rest has a byte each. */
static inline char *
write_digits(char *out, char first, uint64_t rest, int exponent)
{
	int			n = rest == 0 ? 1 : 9 - __builtin_clzll(rest) / 8;

	rest |= UINT64_C(0x3030303030303030);
	if (exponent < FIXED_MIN || exponent >= FIXED_END)
		return write_with_exponent(out, first, rest, n, exponent);
	if (exponent < 0)
	{
		memcpy(out, "0.000000", 8);
		out += 1 - exponent;
		*out = first;
		store(out + 1, rest);
		return out + n;
	}
	/* Whole digits, or zeros, up to the point; what is left after it */
	*out = first;
	store(out + 1, rest);
	if (n <= exponent + 1)
		return out + exponent + 1;
	out[exponent + 1] = '.';
	store(out + exponent + 2, rest >> (8 * exponent));
	return out + n + 1;
}

/* What the kernels leave out; the scalar one does subnormal numbers. */
static char *
write_rare(char *out, float value)
{
	float		block[RV_DECIMAL_BLOCK] = {value};
	rv_decimals decimals;
	uint32_t	bits;

	memcpy(&bits, &value, sizeof(bits));
	if ((bits << 1) >> 24 != 0)
		return write_special(out, bits);
	*out = '-';
	out += bits >> 31;
	if (bits << 1 == 0)
	{
		*out = '0';
		return out + 1;
	}
	rv_kernels_at(RV_SIMD_SCALAR)->decimal_f32(block, &decimals);
	return write_digits(out, (char) ('0' + decimals.first[0]), decimals.rest[0], (int) decimals.exponent[0] - RV_DECIMAL_ZERO);
}

static inline char *
write_index(char *out, uint32_t index)
{
	char		digits[10];
	int			n = 0;

	do
		digits[n++] = (char) ('0' + index % 10);
	while ((index /= 10) > 0);
	while (n > 0)
		*out++ = digits[--n];
	return out;
}

/* With indices: each counted from 0 there and from 1 in the text, with a colon before its value. */
static inline __attribute__((always_inline)) char *
write_all(const int32_t *indices, const float *x, int n, char *out)
{
	const rv_kernel_table *kernels = rv_kernels();
	rv_decimals decimals;
	float		block[RV_DECIMAL_BLOCK] = {0};

	for (int start = 0; start < n; start += RV_DECIMAL_BLOCK)
	{
		int			count = n - start < RV_DECIMAL_BLOCK ? n - start : RV_DECIMAL_BLOCK;

		memcpy(block, x + start, sizeof(float) * (size_t) count);
		kernels->decimal_f32(block, &decimals);
		for (int i = 0; i < count; i++)
		{
			uint32_t	bits;
			uint32_t	biased;

			if (indices != NULL)
			{
				out = write_index(out, (uint32_t) indices[start + i] + 1);
				*out++ = ':';
			}
			memcpy(&bits, &block[i], sizeof(bits));
			biased = (bits << 1) >> 24;
			if (__builtin_expect(biased == 0 || biased == 255, 0))
				out = write_rare(out, block[i]);
			else
			{
				*out = '-';
				out += bits >> 31;
				out = write_digits(out, (char) ('0' + decimals.first[i]), decimals.rest[i],
								   (int) decimals.exponent[i] - RV_DECIMAL_ZERO);
			}
			*out++ = ',';
		}
	}
	return out;
}

char *
rv_write_floats(const float *x, int n, char *out)
{
	return write_all(NULL, x, n, out);
}

char *
rv_write_pairs(const int32_t *indices, const float *x, int n, char *out)
{
	return write_all(indices, x, n, out);
}
