/* SPDX-License-Identifier: PostgreSQL
 *
 * pq.cpp: training, coding and decoding of product quantization.
 *
 * A codebook is stored by coordinate, float[4][256], so that the distances of one group to all 256 centroids are
 * four streams; the last group of dims that are no multiple of 4 has zeros in the missing coordinates.
 */
#include "engine/pq.h"

namespace rv
{

namespace
{

constexpr int ITERATIONS = 8;
constexpr size_t BOOK = static_cast<size_t>(PQ_CENTROIDS) * PQ_SUB_DIMS;

void
read_group(const float *u, uint32_t dims, uint32_t sub, float out[PQ_SUB_DIMS])
{
	for (uint32_t d = 0; d < PQ_SUB_DIMS; d++)
		out[d] = sub * PQ_SUB_DIMS + d < dims ? u[sub * PQ_SUB_DIMS + d] : 0;
}

/* half: |c|^2 / 2 */
uint32_t
nearest(const float *book, const float *half, const float x[PQ_SUB_DIMS])
{
	float		score[PQ_CENTROIDS];
	uint32_t	best = 0;

	for (uint32_t c = 0; c < PQ_CENTROIDS; c++)
		score[c] = half[c] - x[0] * book[c] - x[1] * book[PQ_CENTROIDS + c] - x[2] * book[2 * PQ_CENTROIDS + c] -
			x[3] * book[3 * PQ_CENTROIDS + c];
	for (uint32_t c = 1; c < PQ_CENTROIDS; c++)
		best = score[c] < score[best] ? c : best;
	return best;
}

void
half_squares(const float *book, float *half)
{
	for (uint32_t c = 0; c < PQ_CENTROIDS; c++)
	{
		half[c] = 0;
		for (uint32_t d = 0; d < PQ_SUB_DIMS; d++)
			half[c] += book[d * PQ_CENTROIDS + c] * book[d * PQ_CENTROIDS + c] / 2;
	}
}

/* Lloyd's iterations from points of the sample; a centroid that loses all its points takes another of them. */
void
train_group(const std::vector<float> &sample, uint32_t dims, uint32_t sub, uint64_t seed, float *book)
{
	const uint32_t n = static_cast<uint32_t>(sample.size() / dims);
	float		half[PQ_CENTROIDS];
	float		x[PQ_SUB_DIMS];

	auto take = [&](uint32_t c, uint64_t salt) {
		read_group(sample.data() + static_cast<size_t>(mix64(seed + salt) % n) * dims, dims, sub, x);
		for (uint32_t d = 0; d < PQ_SUB_DIMS; d++)
			book[d * PQ_CENTROIDS + c] = x[d];
	};

	for (uint32_t c = 0; c < PQ_CENTROIDS; c++)
		take(c, c);
	for (int iteration = 0; iteration < ITERATIONS; iteration++)
	{
		std::vector<double> sums(BOOK);
		std::vector<uint32_t> counts(PQ_CENTROIDS);

		half_squares(book, half);
		for (uint32_t i = 0; i < n; i++)
		{
			read_group(sample.data() + static_cast<size_t>(i) * dims, dims, sub, x);

			const uint32_t c = nearest(book, half, x);

			counts[c]++;
			for (uint32_t d = 0; d < PQ_SUB_DIMS; d++)
				sums[d * PQ_CENTROIDS + c] += x[d];
		}
		for (uint32_t c = 0; c < PQ_CENTROIDS; c++)
			if (counts[c] == 0)
				take(c, 1000 + static_cast<uint64_t>(iteration) * PQ_CENTROIDS + c);
			else
				for (uint32_t d = 0; d < PQ_SUB_DIMS; d++)
					book[d * PQ_CENTROIDS + c] = static_cast<float>(sums[d * PQ_CENTROIDS + c] / counts[c]);
	}
}

}								/* namespace */

void
train_pq(Model *model, const std::vector<float> &sample, Jobs *jobs)
{
	const uint32_t subs = model->pq_subs();

	model->codebooks.assign(subs * BOOK, 0);
	if (sample.empty())
		return;
	jobs->begin_phase(RV_PHASE_TRAINING, subs);
	jobs->for_each(subs, [&](int, uint32_t sub) {
		train_group(sample, model->dims, sub, mix64(model->rotation_seed + sub), model->codebooks.data() + sub * BOOK);
		jobs->advance(1);
	});
}

std::vector<float>
pq_halves(const Model &model)
{
	std::vector<float> halves(static_cast<size_t>(model.pq_subs()) * PQ_CENTROIDS);

	for (uint32_t sub = 0; sub < model.pq_subs(); sub++)
		half_squares(model.codebooks.data() + sub * BOOK, halves.data() + static_cast<size_t>(sub) * PQ_CENTROIDS);
	return halves;
}

void
encode_pq(const float *u, const Model &model, const std::vector<float> &halves, double slack, double norm, uint8_t *record)
{
	const uint32_t subs = model.pq_subs();
	CodeHead	head;
	double		error2 = 0,
				square = 0;

	memset(&head, 0, sizeof(head));
	memset(record, 0, sizeof(head) + round_up(subs, 16));
	head.norm = float_up(norm);
	for (uint32_t sub = 0; sub < subs; sub++)
	{
		const float *book = model.codebooks.data() + sub * BOOK;
		float		x[PQ_SUB_DIMS];

		read_group(u, model.dims, sub, x);
		const uint32_t c = nearest(book, halves.data() + static_cast<size_t>(sub) * PQ_CENTROIDS, x);

		record[sizeof(head) + sub] = static_cast<uint8_t>(c);
		for (uint32_t d = 0; d < PQ_SUB_DIMS; d++)
		{
			const double y = book[d * PQ_CENTROIDS + c];

			error2 += (x[d] - y) * (x[d] - y);
			square += y * y;
		}
	}

	const double error = std::sqrt(error2) * (1 + 1e-11) + slack;

	head.error = error < FLOAT_SAFE ? float_up(error) : INF;
	head.square_f = static_cast<float>(square);
	memcpy(record, &head, sizeof(head));
}

void
decode_pq(const uint8_t *record, const Model &model, float *u)
{
	for (uint32_t i = 0; i < model.dims; i++)
		u[i] = model.codebooks[i / PQ_SUB_DIMS * BOOK + i % PQ_SUB_DIMS * PQ_CENTROIDS +
							   record[sizeof(CodeHead) + i / PQ_SUB_DIMS]];
}

}								/* namespace rv */
