/* SPDX-License-Identifier: PostgreSQL
 *
 * bits_avx2.c: AVX2 kernels over bits. AVX2 counts no bits itself: nibbles are looked up with VPSHUFB.
 *
 * dot_bits is the kernel that orders the beam of a search. The four query planes weigh 1, 2, 4 and 8, and the weight is
 * put into the look-up table (popcount times weight), so that all planes of 32 bytes add up in one vector of bytes: at most
 * (1 + 2 + 4 + 8) * 8 = 120 a byte, before VPSADBW widens them. The code's nibbles are separated once for all planes.
 *
 * Source: Mula, Kurz, Lemire, "Faster population counts using AVX2 instructions", arXiv 1611.07612, section 3.
 */
#include "distance/avx2.h"
#include "distance/levels.h"

#include <string.h>

INLINED __m256i
load256(const void *p)
{
	return _mm256_loadu_si256((const __m256i *) p);
}

/* popcount of a nibble, times weight */
INLINED __m256i
nibble_counts(char weight)
{
	const char	w = weight,
				w2 = (char) (2 * w),
				w3 = (char) (3 * w),
				w4 = (char) (4 * w);

	return _mm256_broadcastsi128_si256(_mm_setr_epi8(0, w, w, w2, w, w2, w2, w3, w, w2, w2, w3, w2, w3, w3, w4));
}

/* Bits set in each byte. */
INLINED __m256i
count_bytes(__m256i v)
{
	const __m256i nibble = _mm256_set1_epi8(15);
	const __m256i counts = nibble_counts(1);

	return _mm256_add_epi8(_mm256_shuffle_epi8(counts, _mm256_and_si256(v, nibble)),
						   _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble)));
}

INLINED __m256i
widen_bytes(__m256i v)
{
	return _mm256_sad_epu8(v, _mm256_setzero_si256());
}

INLINED uint64_t
load_word(const void *p)
{
	uint64_t	word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/* The last n < 8 bytes as a word padded with zeros. */
INLINED uint64_t
load_tail(const uint8_t *p, size_t n)
{
	uint64_t	word = 0;

	for (size_t i = 0; i < n; i++)
		word |= (uint64_t) p[i] << 8 * i;
	return word;
}

/* The bytes from i to n with POPCNT: faster than look-ups for short bits and remainders. */
INLINED uint64_t
hamming_words(const uint8_t *a, const uint8_t *b, size_t i, size_t n)
{
	uint64_t	count = 0;

	for (; i + 8 <= n; i += 8)
		count += (uint64_t) _mm_popcnt_u64(load_word(a + i) ^ load_word(b + i));
	if (i < n)
		count += (uint64_t) _mm_popcnt_u64(load_tail(a + i, n - i) ^ load_tail(b + i, n - i));
	return count;
}

static uint64_t
hamming(const uint8_t *a, const uint8_t *b, size_t n)
{
	__m256i		sum = _mm256_setzero_si256();
	size_t		i = 0;

	if (n < 128)
		return hamming_words(a, b, 0, n);
	/* 8 a byte and vector: 4 vectors are 32 */
	for (; i + 128 <= n; i += 128)
	{
		__m256i		s0 = count_bytes(_mm256_xor_si256(load256(a + i), load256(b + i)));
		__m256i		s1 = count_bytes(_mm256_xor_si256(load256(a + i + 32), load256(b + i + 32)));
		__m256i		s2 = count_bytes(_mm256_xor_si256(load256(a + i + 64), load256(b + i + 64)));
		__m256i		s3 = count_bytes(_mm256_xor_si256(load256(a + i + 96), load256(b + i + 96)));

		sum = _mm256_add_epi64(sum, widen_bytes(_mm256_add_epi8(_mm256_add_epi8(s0, s1), _mm256_add_epi8(s2, s3))));
	}
	return rv_sum_u64(sum) + hamming_words(a, b, i, n);
}

static void
jaccard(const uint8_t *a, const uint8_t *b, size_t n, uint64_t *both, uint64_t *either)
{
	__m256i		sum_and = _mm256_setzero_si256(),
				sum_or = sum_and;
	uint64_t	count_and = 0,
				count_or = 0;
	size_t		i = 0;

	for (; i + 32 <= n; i += 32)
	{
		__m256i		x = load256(a + i),
					y = load256(b + i);

		sum_and = _mm256_add_epi64(sum_and, widen_bytes(count_bytes(_mm256_and_si256(x, y))));
		sum_or = _mm256_add_epi64(sum_or, widen_bytes(count_bytes(_mm256_or_si256(x, y))));
	}
	for (; i < n; i += 8)
	{
		uint64_t	x = i + 8 <= n ? load_word(a + i) : load_tail(a + i, n - i);
		uint64_t	y = i + 8 <= n ? load_word(b + i) : load_tail(b + i, n - i);

		count_and += (uint64_t) _mm_popcnt_u64(x & y);
		count_or += (uint64_t) _mm_popcnt_u64(x | y);
	}
	*both = count_and + rv_sum_u64(sum_and);
	*either = count_or + rv_sum_u64(sum_or);
}

/* Four words of a code, its nibbles apart: in the low half of the bytes of low and of high. */
typedef struct nibbles
{
	__m256i		low,
				high;
} nibbles;

INLINED nibbles
split(__m256i bits)
{
	const __m256i nibble = _mm256_set1_epi8(15);

	return (nibbles) {_mm256_and_si256(bits, nibble), _mm256_and_si256(_mm256_srli_epi16(bits, 4), nibble)};
}

/* Adds the weighted counts of what a code has of one plane. One sum after the other and not a tree: a tree has more
 * values alive than there are registers, and its spills cost more than the chain. */
INLINED __m256i
add_plane(__m256i sum, nibbles code, __m256i plane, __m256i counts)
{
	sum = _mm256_add_epi8(sum, _mm256_shuffle_epi8(counts, _mm256_and_si256(plane, code.low)));
	return _mm256_add_epi8(sum, _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(plane, 4), code.high)));
}

/* The weighted sum over the words from i to n, one at a time: their counts run beside the vector instructions. */
INLINED uint32_t
dot_last_words(const uint64_t *planes, const uint64_t *bits, size_t i, size_t n)
{
	uint64_t	s0 = 0,
				s1 = 0,
				s2 = 0,
				s3 = 0;

	for (; i < n; i++)
	{
		uint64_t	code = load_word(bits + i);

		s0 += (uint64_t) _mm_popcnt_u64(code & load_word(planes + i));
		s1 += (uint64_t) _mm_popcnt_u64(code & load_word(planes + n + i));
		s2 += (uint64_t) _mm_popcnt_u64(code & load_word(planes + 2 * n + i));
		s3 += (uint64_t) _mm_popcnt_u64(code & load_word(planes + 3 * n + i));
	}
	return (uint32_t) (s0 + 2 * s1 + 4 * s2 + 8 * s3);
}

static uint32_t
dot_bits(const uint64_t *planes, const uint64_t *bits, size_t n)
{
	__m256i		sum = _mm256_setzero_si256();
	size_t		i = 0;

	if (n < 4)
		return dot_last_words(planes, bits, 0, n);
	for (; i + 4 <= n; i += 4)
	{
		nibbles		code = split(load256(bits + i));
		__m256i		bytes = _mm256_setzero_si256();

		for (size_t p = 0; p < RV_QUERY_BITS; p++)
		{
			__m256i		plane = load256(planes + p * n + i);

			bytes = add_plane(bytes, code, plane, nibble_counts((char) (1 << p)));
		}
		sum = _mm256_add_epi64(sum, widen_bytes(bytes));
	}
	return (uint32_t) rv_sum_u64(sum) + dot_last_words(planes, bits, i, n);
}

/* Sharing the loads and shifts of the planes among codes was tried: the state does not fit the registers, and the
 * spills take what is saved. */
static void
dot_bits4(const uint64_t *planes, const uint64_t *const rows[4], size_t n, uint32_t out[4])
{
	for (int r = 0; r < 4; r++)
		out[r] = dot_bits(planes, rows[r], n);
}

void
rv_avx2_bits(rv_kernel_table *t)
{
	t->hamming = hamming;
	t->jaccard = jaccard;
	t->dot_bits = dot_bits;
	t->dot_bits4 = dot_bits4;
}
