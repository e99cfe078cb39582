/* SPDX-License-Identifier: PostgreSQL
 *
 * format.h: the bytes of a segment: header, section table, checksums. docs/formats.md describes the same in prose.
 *
 * A segment is little-endian and position-independent. Header and table come first, sections follow at offsets that
 * are multiples of 64. The header's CRC covers header and table, each section has its own.
 */
#ifndef RV_FORMAT_H
#define RV_FORMAT_H

#include "engine/internal.h"

namespace rv
{

constexpr char SEGMENT_MAGIC[8] = {'R', 'V', 'S', 'E', 'G', 'M', 'N', 'T'};
constexpr uint32_t SEGMENT_VERSION = 1;
constexpr uint32_t SEGMENT_BYTE_ORDER = 0x01020304;
constexpr uint32_t SEGMENT_MAX_SECTIONS = 32;
constexpr size_t SECTION_ALIGN = 64;

/* The numbers are stored: never renumber. */
enum class SectionId : uint32_t
{
	model = 1,					/* trained parameters, see model.h */
	traversal = 2,				/* 1-bit codes with factors */
	codes = 3,					/* stored codes with factors; SPARSE: the packed vectors */
	graph = 4,					/* level 0: nodes * 2m ids, unused NO_ID */
	upper = 5,					/* levels above 0, see graph.h */
	key_offsets = 6,			/* uint32[nodes + 1]; absent when every node has one key */
	keys = 7,					/* uint64[slots] */
	code_offsets = 8,			/* SPARSE: uint64[nodes + 1] into codes */
	hashes = 9,					/* dense: uint32[nodes], of the vector that was coded: all keys of a node have that one */
	centroids = 16,				/* IVF */
	list_offsets = 17,			/* IVF */
	lists = 18					/* IVF */
};

struct SectionEntry
{
	uint32_t	id;
	uint32_t	crc;
	uint64_t	offset;
	uint64_t	size;
};

struct SegmentHeader
{
	char		magic[8];
	uint32_t	byte_order;
	uint32_t	version;
	uint32_t	header_size;	/* header and table */
	uint32_t	header_crc;		/* over header and table with this field zero */
	uint64_t	total_size;
	uint32_t	kind;
	uint32_t	metric;
	uint32_t	element;
	uint32_t	quantization;
	uint32_t	dims;
	uint32_t	m;
	uint32_t	ef_construction;
	uint32_t	lists;
	uint64_t	seed;
	uint32_t	nodes;
	uint32_t	slots;
	uint32_t	max_level;		/* HNSW */
	uint32_t	entry;			/* HNSW: where search begins, a position on max_level */
	uint32_t	traversal_stride;	/* bytes a record; 0: none */
	uint32_t	code_stride;	/* bytes a record; 0: SPARSE */
	uint32_t	section_count;
	uint32_t	reserved;
};

static_assert(sizeof(SectionEntry) == 24, "stored layout");
static_assert(sizeof(SegmentHeader) == 104, "stored layout");

/* A section as found in an opened segment; data is NULL when there is none. */
struct Section
{
	const uint8_t *data = nullptr;
	size_t		size = 0;
};

/* CRC-32C (Castagnoli), as in RFC 3720; crc32c("123456789") = 0xE3069283. */
uint32_t	crc32c(const void *data, size_t size, uint32_t crc = 0);

const char *section_name(uint32_t id);

/* Checks header and table; copies them. flags as rv_segment_open. */
void		read_header(const uint8_t *bytes, size_t size, int flags, SegmentHeader *header, std::vector<SectionEntry> *table);

/* Fails with RV_CORRUPT unless the section's bytes match their checksum. */
void		verify_section(const uint8_t *bytes, const SectionEntry &entry, const Interrupts &interrupts);

/* Lays out and fills one blob: reserve every section, allocate, fill, seal. */
class BlobWriter
{
public:
	~BlobWriter();
	void		reserve(SectionId id, size_t size);
	size_t		total() const { return total_; }
	void		allocate();
	uint8_t    *section(SectionId id);
	void		seal(SegmentHeader header);	/* fills the checksums and the sizes */
	const uint8_t *data() const { return data_; }

private:
	std::vector<SectionEntry> table_;
	uint8_t    *data_ = nullptr;
	size_t		total_ = 0;
};

}								/* namespace rv */

#endif							/* RV_FORMAT_H */
