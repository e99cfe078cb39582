/* SPDX-License-Identifier: PostgreSQL
 *
 * hadamard_avx2.c: the fast Walsh-Hadamard transform with AVX2.
 *
 * Stages 1, 2 and 4 happen inside a register; the others two at a time (radix 4), which halves the passes over memory.
 * The additions and their order within a stage are those of the scalar one, so the result is the same bit for bit.
 */
#include "distance/avx2.h"
#include "distance/levels.h"

/* One stage in a register: x holds the pairs (a, b), swapped the pairs (b, a); signs are set where a - b goes. */
INLINED __m256
butterfly(__m256 x, __m256 swapped, __m256 signs)
{
	/* lower lane: a + b; upper lane: a - b, formed as a + (-b), which rounds alike */
	return _mm256_add_ps(swapped, _mm256_xor_ps(x, signs));
}

/* The first three stages over eight values. */
INLINED __m256
stages_1_2_4(__m256 x)
{
	const __m256 n1 = _mm256_setr_ps(0.0f, -0.0f, 0.0f, -0.0f, 0.0f, -0.0f, 0.0f, -0.0f);
	const __m256 n2 = _mm256_setr_ps(0.0f, 0.0f, -0.0f, -0.0f, 0.0f, 0.0f, -0.0f, -0.0f);
	const __m256 n4 = _mm256_setr_ps(0.0f, 0.0f, 0.0f, 0.0f, -0.0f, -0.0f, -0.0f, -0.0f);

	x = butterfly(x, _mm256_permute_ps(x, _MM_SHUFFLE(2, 3, 0, 1)), n1);
	x = butterfly(x, _mm256_permute_ps(x, _MM_SHUFFLE(1, 0, 3, 2)), n2);
	return butterfly(x, _mm256_permute2f128_ps(x, x, 1), n4);
}

static void
hadamard(float *x, size_t n)
{
	size_t		half = 8;

	if (n < 8)
	{
		rv_f32_any *v = x;

		for (half = 1; half < n; half *= 2)
			for (size_t i = 0; i < n; i += 2 * half)
				for (size_t j = i; j < i + half; j++)
				{
					float		a = v[j],
								b = v[j + half];

					v[j] = a + b;
					v[j + half] = a - b;
				}
		return;
	}
	for (size_t i = 0; i < n; i += 8)
		_mm256_storeu_ps(x + i, stages_1_2_4(_mm256_loadu_ps(x + i)));
	for (; 4 * half <= n; half *= 4)
		for (size_t i = 0; i < n; i += 4 * half)
			for (float *p = x + i; p < x + i + half; p += 8)
			{
				__m256		a = _mm256_loadu_ps(p),
							b = _mm256_loadu_ps(p + half),
							c = _mm256_loadu_ps(p + 2 * half),
							d = _mm256_loadu_ps(p + 3 * half);
				__m256		a1 = _mm256_add_ps(a, b),
							b1 = _mm256_sub_ps(a, b),
							c1 = _mm256_add_ps(c, d),
							d1 = _mm256_sub_ps(c, d);

				_mm256_storeu_ps(p, _mm256_add_ps(a1, c1));
				_mm256_storeu_ps(p + half, _mm256_add_ps(b1, d1));
				_mm256_storeu_ps(p + 2 * half, _mm256_sub_ps(a1, c1));
				_mm256_storeu_ps(p + 3 * half, _mm256_sub_ps(b1, d1));
			}
	if (half < n)
		for (float *p = x; p < x + half; p += 8)
		{
			__m256		a = _mm256_loadu_ps(p),
						b = _mm256_loadu_ps(p + half);

			_mm256_storeu_ps(p, _mm256_add_ps(a, b));
			_mm256_storeu_ps(p + half, _mm256_sub_ps(a, b));
		}
}

void
rv_avx2_hadamard(rv_kernel_table *t)
{
	t->hadamard = hadamard;
}
