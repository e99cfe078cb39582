/* SPDX-License-Identifier: PostgreSQL
 *
 * format.cpp: reading and writing header and section table, and CRC-32C.
 *
 * What is read here may be anything: every number is checked before it is used, and nothing outside
 * [bytes, bytes + size) is touched.
 */
#include "engine/format.h"

#include <algorithm>
#include <cstdlib>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace rv
{

namespace
{

constexpr uint64_t VERIFIED_AT_ONCE = 4u << 20;	/* bytes: a millisecond with the instruction, ten without */

/* Slicing by one is enough where the instruction is missing. */
struct CrcTable
{
	uint32_t	value[256];

	constexpr CrcTable() : value()
	{
		for (uint32_t i = 0; i < 256; i++)
		{
			uint32_t	c = i;

			for (int bit = 0; bit < 8; bit++)
				c = (c >> 1) ^ ((c & 1) != 0 ? 0x82f63b78u : 0);
			value[i] = c;
		}
	}
};

constexpr CrcTable crc_table;

uint32_t
crc32c_table(const uint8_t *p, size_t size, uint32_t crc)
{
	for (size_t i = 0; i < size; i++)
		crc = (crc >> 8) ^ crc_table.value[(crc ^ p[i]) & 0xff];
	return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t
crc32c_sse42(const uint8_t *p, size_t size, uint32_t crc)
{
	uint64_t	c = crc;

	for (; size >= 8; size -= 8, p += 8)
		c = _mm_crc32_u64(c, load<uint64_t>(p));
	for (; size > 0; size--, p++)
		c = _mm_crc32_u8(static_cast<uint32_t>(c), *p);
	return static_cast<uint32_t>(c);
}
#endif

}								/* namespace */

uint32_t
crc32c(const void *data, size_t size, uint32_t crc)
{
	const uint8_t *p = static_cast<const uint8_t *>(data);

	crc = ~crc;
#if defined(__x86_64__)
	static const bool has_instruction = __builtin_cpu_supports("sse4.2");

	if (has_instruction)
		return ~crc32c_sse42(p, size, crc);
#endif
	return ~crc32c_table(p, size, crc);
}

const char *
section_name(uint32_t id)
{
	switch (static_cast<SectionId>(id))
	{
		case SectionId::model: return "model";
		case SectionId::traversal: return "traversal";
		case SectionId::codes: return "codes";
		case SectionId::graph: return "graph";
		case SectionId::upper: return "upper";
		case SectionId::key_offsets: return "key_offsets";
		case SectionId::keys: return "keys";
		case SectionId::code_offsets: return "code_offsets";
		case SectionId::hashes: return "hashes";
		case SectionId::centroids: return "centroids";
		case SectionId::list_offsets: return "list_offsets";
		case SectionId::lists: return "lists";
	}
	return "unknown";
}

void
verify_section(const uint8_t *bytes, const SectionEntry &entry, const Interrupts &interrupts)
{
	uint32_t	crc = 0;

	for (uint64_t done = 0; done < entry.size; done += VERIFIED_AT_ONCE)
	{
		interrupts.look();
		crc = crc32c(bytes + entry.offset + done, std::min<uint64_t>(VERIFIED_AT_ONCE, entry.size - done), crc);
	}
	if (crc != entry.crc)
		fail(RV_CORRUPT, "checksum mismatch in section \"%s\"", section_name(entry.id));
}

void
read_header(const uint8_t *bytes, size_t size, int flags, SegmentHeader *header, std::vector<SectionEntry> *table)
{
	if (size < sizeof(SegmentHeader) || memcmp(bytes, SEGMENT_MAGIC, sizeof(SEGMENT_MAGIC)) != 0)
		fail(RV_CORRUPT, "section \"header\" is not that of a segment");
	memcpy(header, bytes, sizeof(*header));
	if (header->byte_order != SEGMENT_BYTE_ORDER)
		fail(RV_UNSUPPORTED, "segment was written with another byte order");
	if (header->version != SEGMENT_VERSION)
		fail(RV_UNSUPPORTED, "segment format %u is not supported", header->version);
	if (header->section_count > SEGMENT_MAX_SECTIONS ||
		header->header_size != sizeof(SegmentHeader) + header->section_count * sizeof(SectionEntry) ||
		header->header_size > size)
		fail(RV_CORRUPT, "section \"header\" has an invalid size");
	if (header->total_size > size)
		fail(RV_CORRUPT, "segment is truncated: %zu of %llu bytes", size, static_cast<unsigned long long>(header->total_size));

	std::vector<uint8_t> copy(bytes, bytes + header->header_size);

	memset(copy.data() + offsetof(SegmentHeader, header_crc), 0, sizeof(uint32_t));
	if (crc32c(copy.data(), copy.size()) != header->header_crc)
		fail(RV_CORRUPT, "checksum mismatch in section \"header\"");

	table->resize(header->section_count);
	if (header->section_count > 0)
		memcpy(table->data(), bytes + sizeof(SegmentHeader), header->section_count * sizeof(SectionEntry));
	for (const SectionEntry &entry : *table)
	{
		if (entry.offset % SECTION_ALIGN != 0 || entry.offset > header->total_size ||
			entry.size > header->total_size - entry.offset)
			fail(RV_CORRUPT, "section \"%s\" is out of bounds", section_name(entry.id));
		if ((flags & RV_OPEN_VERIFY) != 0)
			verify_section(bytes, entry, Interrupts(nullptr));
	}
}

BlobWriter::~BlobWriter()
{
	free(data_);
}

void
BlobWriter::reserve(SectionId id, size_t size)
{
	table_.push_back({static_cast<uint32_t>(id), 0, 0, size});
}

void
BlobWriter::allocate()
{
	size_t		at = sizeof(SegmentHeader) + table_.size() * sizeof(SectionEntry);

	for (SectionEntry &entry : table_)
	{
		at = round_up(at, SECTION_ALIGN);
		entry.offset = at;
		at += entry.size;
	}
	total_ = round_up(at, SECTION_ALIGN);
	data_ = static_cast<uint8_t *>(aligned_alloc(SECTION_ALIGN, total_));
	if (data_ == nullptr)
		throw std::bad_alloc();

	/* Gaps are zero, so that equal content gives equal bytes; the sections themselves are filled by their owners. */
	size_t		end = 0;

	for (const SectionEntry &entry : table_)
	{
		memset(data_ + end, 0, entry.offset - end);
		end = entry.offset + entry.size;
	}
	memset(data_ + end, 0, total_ - end);
}

uint8_t *
BlobWriter::section(SectionId id)
{
	for (const SectionEntry &entry : table_)
		if (entry.id == static_cast<uint32_t>(id))
			return data_ + entry.offset;
	return nullptr;
}

void
BlobWriter::seal(SegmentHeader header)
{
	memcpy(header.magic, SEGMENT_MAGIC, sizeof(SEGMENT_MAGIC));
	header.byte_order = SEGMENT_BYTE_ORDER;
	header.version = SEGMENT_VERSION;
	header.section_count = static_cast<uint32_t>(table_.size());
	header.header_size = static_cast<uint32_t>(sizeof(SegmentHeader) + table_.size() * sizeof(SectionEntry));
	header.header_crc = 0;
	header.total_size = total_;
	for (SectionEntry &entry : table_)
		entry.crc = crc32c(data_ + entry.offset, entry.size);
	memcpy(data_, &header, sizeof(header));
	memcpy(data_ + sizeof(header), table_.data(), table_.size() * sizeof(SectionEntry));
	header.header_crc = crc32c(data_, header.header_size);
	memcpy(data_, &header, sizeof(header));
}

}								/* namespace rv */
