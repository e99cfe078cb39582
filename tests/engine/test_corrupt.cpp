/* SPDX-License-Identifier: PostgreSQL
 *
 * test_corrupt.cpp: a segment whose bytes are damaged is refused or searched, never read past its end, never hangs.
 *
 * Opened with RV_OPEN_VERIFY every single flipped bit is noticed. Without it (an image that was checked before), bits
 * are flipped, and the header's own checksum is repaired, so that what lies behind it is reached: the calls may return
 * anything but must return; ASan watches. RV_TEST_ROUNDS sets the number of rounds.
 */
#include "support.h"

#include "../../kernels/engine/format.h"

static void
use(const rv_segment *segment, rv_element element)
{
	rv_segment_info info;
	const std::vector<float> floats(4096, 0.7f);
	const std::vector<int32_t> indices = {0, 5, 9};
	rv_vector	v = {floats.data(), nullptr, 0};
	rv_search_options options = {};
	rv_hit		hits[64];
	rv_error	error;
	rv_search  *search;
	uint32_t	count;
	bool		batch_end;

	rv_segment_info_get(segment, &info);
	v.count = info.spec.dims;
	if (element == RV_ELEMENT_SPARSE)
		v = {floats.data(), indices.data(), 3};
	options.ef = 20;
	options.probes = 3;
	for (int range = 0; range < 2; range++)
	{
		if ((range != 0 ? rv_range_new(segment, element, &v, 5.0, &options, &search, &error) :
			 rv_search_new(segment, element, &v, &options, &search, &error)) != RV_OK)
			continue;
		for (int i = 0; i < 100; i++)
			if (rv_search_next(search, hits, 64, &count, &batch_end, &error) != RV_OK || count == 0)
				break;
		rv_search_free(search);
	}
	for (uint32_t slot = 0; slot < 5; slot++)
	{
		std::vector<float> out(info.spec.dims);

		(void) rv_segment_key(segment, slot);
		(void) rv_segment_decode(segment, slot, out.data(), &error);
	}
	(void) rv_segment_check(segment, nullptr, &error);
}

static Built *
make(rv_kind kind, rv_element element, rv_quantization quantization, uint32_t dims)
{
	rv_spec		spec = make_spec(kind, element == RV_ELEMENT_BIT ? RV_METRIC_HAMMING : RV_METRIC_L2, dims, quantization);
	Vectors		vectors = clustered(150, dims, test_seed());
	rv_error	error;

	for (int i = 0; i < 20; i++)
		vectors.push_back(vectors[4]);
	spec.element = element;
	spec.m = 4;
	rv_builder *builder = make_builder(spec);

	for (size_t i = 0; i < vectors.size(); i++)
	{
		const std::vector<int32_t> indices = {1, static_cast<int32_t>(2 + i % 20), static_cast<int32_t>(dims - 1)};
		rv_vector	v = view(vectors[i]);

		if (element == RV_ELEMENT_SPARSE)
			v = {vectors[i].data(), indices.data(), 3};
		CHECK(rv_builder_add(builder, &v, i, &error) == RV_OK, "%s", error.message);
	}
	return new Built(builder);
}

static void
repair_header(uint8_t *bytes)
{
	rv::SegmentHeader header;

	memcpy(&header, bytes, sizeof(header));
	const size_t size = sizeof(header) + (header.section_count <= rv::SEGMENT_MAX_SECTIONS ? header.section_count : 0) *
		sizeof(rv::SectionEntry);

	header.header_crc = 0;
	memcpy(bytes, &header, sizeof(header));
	header.header_crc = rv::crc32c(bytes, size);
	memcpy(bytes, &header, sizeof(header));
}

static void
damage(rv_kind kind, rv_element element, rv_quantization quantization, uint32_t dims, int rounds)
{
	std::mt19937_64 random(test_seed() + 7);
	Built	   *built = make(kind, element, quantization, dims);
	std::vector<uint8_t> whole(static_cast<uint8_t *>(built->bytes), static_cast<uint8_t *>(built->bytes) + built->size);
	uint8_t    *bytes = static_cast<uint8_t *>(aligned_alloc(64, whole.size()));
	rv_segment *segment;
	rv_error	error;
	const size_t header = sizeof(rv::SegmentHeader) + 8 * sizeof(rv::SectionEntry);

	for (int round = 0; round < rounds; round++)
	{
		memcpy(bytes, whole.data(), whole.size());
		const int	flips = 1 + static_cast<int>(random() % 4);
		const bool	in_header = round % 2 == 0;

		for (int i = 0; i < flips; i++)
		{
			const size_t at = random() % (in_header ? header : whole.size());

			bytes[at] ^= static_cast<uint8_t>(round % 3 == 0 ? random() % 255 + 1 : 1u << random() % 8);
		}
		repair_header(bytes);
		if (rv_segment_open(bytes, whole.size(), 0, &segment, &error) == RV_OK)
		{
			use(segment, element);
			rv_segment_close(segment);
		}
		else
			CHECK(error.message[0] != '\0' && segment == nullptr);
	}

	/* One bit anywhere that a checksum covers. */
	for (int round = 0; round < rounds; round++)
	{
		std::vector<rv::SectionEntry> table;
		rv::SegmentHeader h;

		rv::read_header(whole.data(), whole.size(), 0, &h, &table);
		const rv::SectionEntry &section = table[random() % table.size()];

		if (section.size == 0)
			continue;
		memcpy(bytes, whole.data(), whole.size());
		bytes[section.offset + random() % section.size] ^= static_cast<uint8_t>(1u << random() % 8);
		CHECK(rv_segment_open(bytes, whole.size(), RV_OPEN_VERIFY, &segment, &error) == RV_CORRUPT);
		CHECK(strstr(error.message, rv::section_name(section.id)) != nullptr, "%s", error.message);
	}
	for (size_t size : {(size_t) 0, (size_t) 10, sizeof(rv::SegmentHeader), whole.size() / 2, whole.size() - 1})
	{
		uint8_t    *part = static_cast<uint8_t *>(aligned_alloc(64, whole.size()));

		memcpy(part, whole.data(), size);
		CHECK(rv_segment_open(part, size, 0, &segment, &error) == RV_CORRUPT, "size %zu", size);
		free(part);
	}
	CHECK(rv_segment_open(bytes + 8, whole.size() - 8, 0, &segment, &error) == RV_INVALID);
	free(bytes);
	delete built;
}

int
main()
{
	const char *given = getenv("RV_TEST_ROUNDS");
	const int	rounds = given != nullptr ? atoi(given) : 300;

	/* RFC 3720, appendix B.4; and the check value of the Castagnoli polynomial. */
	CHECK(rv::crc32c("123456789", 9) == 0xe3069283u);
	CHECK(rv::crc32c(std::string(32, '\0').data(), 32) == 0x8a9136aau);

	for (rv_kind kind : {RV_KIND_FLAT, RV_KIND_HNSW, RV_KIND_IVF})
		for (uint32_t dims : {20, 260})
			for (int q = RV_QUANTIZATION_NONE; q <= RV_QUANTIZATION_BINARY; q++)
				damage(kind, RV_ELEMENT_F32, static_cast<rv_quantization>(q), dims, rounds);
	for (rv_kind kind : {RV_KIND_FLAT, RV_KIND_HNSW})
	{
		damage(kind, RV_ELEMENT_BIT, RV_QUANTIZATION_NONE, 100, rounds);
		damage(kind, RV_ELEMENT_SPARSE, RV_QUANTIZATION_NONE, 100, rounds);
	}
	return 0;
}
