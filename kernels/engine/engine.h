/* SPDX-License-Identifier: PostgreSQL
 *
 * engine.h: the whole interface of the search engine. C, so that PostgreSQL code can include it.
 *
 * The engine builds immutable segments from vectors and searches segments given only a pointer and a length.
 * It knows neither PostgreSQL nor Python, never calls back, never prints or exits, and nothing is thrown
 * through this header (bad_alloc becomes RV_NO_MEMORY).
 *
 * Ownership: every rv_*_new / rv_*_open has its rv_*_free / rv_*_close, which accept NULL. Bytes given to
 * rv_segment_open stay the caller's and must outlive the segment. Everything else is copied.
 *
 * Threads: a segment is immutable and may be used by any number of threads. A builder, a search and a scratch
 * belong to one thread at a time. Worker threads of a builder block every signal and are joined by
 * rv_builder_free, or when rv_builder_poll reports an end.
 *
 * Distances are in the unit of the SQL operator: L2 is the root, inner product is negative, cosine is
 * 1 - similarity, Hamming counts bits. A zero vector under cosine has distance NaN in SQL; the engine refuses it
 * (RV_INVALID), the caller leaves it out as pgvector does.
 */
#ifndef RV_ENGINE_H
#define RV_ENGINE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum rv_status
{
	RV_OK = 0,
	RV_BUSY,					/* rv_builder_poll: still running */
	RV_INTERRUPTED,				/* the caller's flag was set; the state is kept, call again to go on */
	RV_CANCELLED,				/* rv_builder_free while it was running */
	RV_NO_MEMORY,
	RV_CORRUPT,					/* the message names the section */
	RV_INVALID,					/* a parameter or a vector that cannot be used */
	RV_UNSUPPORTED				/* a combination of kind, metric, element and quantization, or a newer format */
} rv_status;

typedef struct rv_error
{
	char		message[256];		/* lower case, no period, "" when the status is RV_OK */
} rv_error;

/* The numbers are stored in segments: never renumber. */
typedef enum rv_kind { RV_KIND_FLAT = 0, RV_KIND_HNSW = 1, RV_KIND_IVF = 2 } rv_kind;
typedef enum rv_metric
{
	RV_METRIC_L2 = 1, RV_METRIC_IP = 2, RV_METRIC_COSINE = 3, RV_METRIC_L1 = 4, RV_METRIC_HAMMING = 5, RV_METRIC_JACCARD = 6
} rv_metric;
typedef enum rv_element { RV_ELEMENT_F32 = 1, RV_ELEMENT_F16 = 2, RV_ELEMENT_BIT = 3, RV_ELEMENT_SPARSE = 4 } rv_element;
typedef enum rv_quantization
{
	RV_QUANTIZATION_NONE = 1, RV_QUANTIZATION_F16 = 2, RV_QUANTIZATION_SQ8 = 3, RV_QUANTIZATION_PQ16 = 4, RV_QUANTIZATION_BINARY = 5
} rv_quantization;

/* A vector as the caller holds it. Alignment: none is needed.
 *  F32: float[count]; F16: IEEE half[count]; BIT: count bits, most significant first, in (count + 7) / 8 bytes;
 *  SPARSE: float[count] values at ascending 0-based indices[count]. */
typedef struct rv_vector
{
	const void *values;
	const int32_t *indices;		/* SPARSE only, else NULL */
	uint32_t	count;			/* dims, bits, or non-zeros */
} rv_vector;

typedef struct rv_spec
{
	rv_kind		kind;
	rv_metric	metric;
	rv_element	element;
	rv_quantization quantization;	/* BIT and SPARSE: NONE. L1: not PQ16 nor BINARY */
	uint32_t	dims;			/* of every vector; SPARSE: the dimension, BIT: the bits */
	uint32_t	m;				/* HNSW: neighbours a level, 2*m on level 0; [2, 100] */
	uint32_t	ef_construction;	/* HNSW: [4, 1000] */
	uint32_t	lists;			/* IVF: [1, 32768]; lowered to the number of distinct vectors */
	uint64_t	seed;			/* rotation, levels, k-means: the same seed and one thread give the same bytes */
} rv_spec;

/* ---- building ------------------------------------------------------------------------------------------- */

typedef struct rv_builder rv_builder;
typedef struct rv_segment rv_segment;

typedef enum rv_phase { RV_PHASE_LOADING, RV_PHASE_TRAINING, RV_PHASE_ENCODING, RV_PHASE_ASSIGNING, RV_PHASE_LINKING, RV_PHASE_WRITING } rv_phase;

typedef struct rv_progress
{
	rv_phase	phase;
	uint64_t	done;			/* vectors finished in this phase */
	uint64_t	total;
} rv_progress;

/* model: NULL, or a segment of equal metric, element, quantization and dims whose trained parameters (centre,
 * rotation, scales, codebooks, and for IVF the centroids) the new segment takes over, so that codes can be moved
 * between the two as they are. It is only read during this call. */
rv_status	rv_builder_new(const rv_spec *spec, const rv_segment *model, rv_builder **out, rv_error *error);

/* Lets rv_builder_add code dense vectors in batches on this many threads, its own among them; the others are joined before
 * it returns. Without this call it is one. The segment is the same. */
rv_status	rv_builder_add_threads(rv_builder *builder, int threads, rv_error *error);

/* Vectors whose stored record comes out equal share a node; their keys all stay. Not while running. */
rv_status	rv_builder_add(rv_builder *builder, const rv_vector *vector, uint64_t key, rv_error *error);

/* Adds what is live in a segment, from its codes (verbatim when the models are equal, else decoded and coded
 * again with the errors added). tombstones: as in rv_search_options. */
rv_status	rv_builder_add_segment(rv_builder *builder, const rv_segment *segment, const uint64_t *tombstones, rv_error *error);

/* From now on rv_builder_add_segment polls this, at least every 10 ms. Once it has returned RV_INTERRUPTED it must be called
 * again with the same arguments, and goes on where it stopped. */
void		rv_builder_interrupt(rv_builder *builder, const volatile sig_atomic_t *interrupt);

uint64_t	rv_builder_count(const rv_builder *builder);

/* Bytes that finishing with this content will have taken at its peak, the blob included. Vectors that wait to be coded count
 * as if none were equal to another. */
size_t		rv_builder_peak_bytes(const rv_builder *builder);

/* Whether that is no more than `bytes`. Where it depends on how many of those that wait are equal, they are coded first, on as
 * many threads as rv_builder_add uses. */
rv_status	rv_builder_fits(rv_builder *builder, size_t bytes, bool *fits, rv_error *error);

/* rv_builder_peak_bytes before there is one: for a segment of so many distinct vectors and keys, SPARSE: of so many bytes. */
size_t		rv_peak_bytes(const rv_spec *spec, uint64_t vectors, uint64_t keys, uint64_t sparse_bytes);

/* Starts `threads` workers and returns at once. */
rv_status	rv_builder_start(rv_builder *builder, int threads, rv_error *error);

/* Waits at most timeout_ms. RV_BUSY: still running; RV_OK: the blob is ready; else why it failed. */
rv_status	rv_builder_poll(rv_builder *builder, int timeout_ms, rv_progress *progress, rv_error *error);

/* The finished segment; valid until rv_builder_free. */
rv_status	rv_builder_blob(const rv_builder *builder, const void **bytes, size_t *size, rv_error *error);

/* What became of the lists of a model (IVF): they are taken over unless vectors have come that they do not fit, and
 * clustering anew makes them fit measurably better. */
typedef struct rv_list_change
{
	bool		anew;
	double		spread_before,	/* mean squared distance of a vector from its centroid */
				spread_after;
	double		share_before,	/* of all vectors in the list of a vector: what a probe reads */
				share_after;
} rv_list_change;

/* Once the blob is ready. */
void		rv_builder_list_change(const rv_builder *builder, rv_list_change *change);

/* Cancels what runs, joins (within 100 ms), frees. */
void		rv_builder_free(rv_builder *builder);

/* ---- segments ------------------------------------------------------------------------------------------- */

#define RV_MAX_LISTS 32768
#define RV_OPEN_VERIFY 1		/* check every section's CRC32C */

/* Header, section table and bounds are always checked, and no later call reads outside [bytes, bytes + size)
 * whatever the bytes say. bytes: aligned to 64. */
rv_status	rv_segment_open(const void *bytes, size_t size, int flags, rv_segment **out, rv_error *error);
void		rv_segment_close(rv_segment *segment);

typedef struct rv_segment_info
{
	rv_spec		spec;
	uint32_t	nodes;			/* distinct records */
	uint32_t	slots;			/* keys; slot numbers are 0 .. slots - 1 */
	uint32_t	max_level;		/* HNSW */
	uint64_t	bytes_total;
	uint64_t	bytes_vectors;	/* stored codes alone: what quantization shrinks */
	uint64_t	bytes_traversal;	/* 1-bit codes and factors */
	uint64_t	bytes_graph;	/* or lists */
	uint64_t	bytes_keys;
} rv_segment_info;

void		rv_segment_info_get(const rv_segment *segment, rv_segment_info *info);
uint64_t	rv_segment_key(const rv_segment *segment, uint32_t slot);

/* All of them, by slot. */
const uint64_t *rv_segment_keys(const rv_segment *segment);

/* Slow and complete: checksums, every link in range, every node reachable, key tables consistent. interrupt: NULL, or polled
 * at least every 10 ms; non-zero: RV_INTERRUPTED, and the next call begins again. */
rv_status	rv_segment_check(const rv_segment *segment, const volatile sig_atomic_t *interrupt, rv_error *error);

/* The stored approximation of a vector, in the caller's space. out: float[dims] (F32, F16, SPARSE). */
rv_status	rv_segment_decode(const rv_segment *segment, uint32_t slot, float *out, rv_error *error);

/* ---- vectors that are in no segment yet ------------------------------------------------------------------- */

/* How dense vectors become records of eight bits a dimension, whatever their index's quantization: for a caller who keeps in
 * memory what came since the segments were made, and searches it (rv_coded_search_new). Immutable. */
typedef struct rv_coder rv_coder;

/* Of spec: metric (L2, IP, COSINE), element (F32, F16), dims and seed. model: a segment of the same, whose centre and rotation are taken over; NULL:
 * the centre is the mean of the sample. Both are only read during this call. */
rv_status	rv_coder_new(const rv_spec *spec, const rv_segment *model, const rv_vector *sample, uint32_t sampled, rv_coder **out,
						 rv_error *error);
size_t		rv_coder_bytes(const rv_coder *coder);
size_t		rv_coder_record_bytes(const rv_coder *coder);

/* record: rv_coder_record_bytes of any alignment. What builders refuse is RV_INVALID here, too. */
rv_status	rv_coder_encode(const rv_coder *coder, const rv_vector *vector, void *record, rv_error *error);
void		rv_coder_free(rv_coder *coder);

/* Records one behind the other. They and the coder stay the caller's, as they are, until the searches are freed. */
typedef struct rv_coded
{
	const rv_coder *coder;
	const void *records;
	uint32_t	count;
} rv_coded;

/* ---- searching ------------------------------------------------------------------------------------------ */

typedef struct rv_search rv_search;
typedef struct rv_scratch rv_scratch;	/* memory kept between searches, one search at a time */

rv_scratch *rv_scratch_new(void);	/* NULL: no memory */
void		rv_scratch_free(rv_scratch *scratch);
size_t		rv_scratch_bytes(const rv_scratch *scratch);

typedef struct rv_search_options
{
	uint32_t	ef;				/* HNSW: candidates kept; also the size of the first batch of IVF and FLAT */
	uint32_t	probes;			/* IVF: lists of the first batch */
	uint32_t	max_probes;		/* IVF: lists at the most over all batches; 0: all */
	const uint64_t *tombstones; /* NULL, or one bit a slot, set: not returned. Read during every call. */
	const volatile sig_atomic_t *interrupt;	/* NULL, or polled at least every 10 ms; non-zero: RV_INTERRUPTED */
	rv_scratch *scratch;		/* NULL: the search has its own */
	int			by_vector;		/* non-zero: one hit for all rows of equal vectors, see rv_hit */
	uint32_t	admitted;		/* 0: nothing is known. Else that few slots are not in tombstones: where it is cheaper they are read one
								 * by one, without graph or lists */
	uint32_t	whole;			/* HNSW: once walking on costs as much as reading the nodes that are left, these are read, and
								 * when they are no more than this they are the last batch: nothing turns up late. 0: never */
} rv_search_options;

typedef struct rv_hit
{
	uint64_t	key;
	uint32_t	slot;
	uint32_t	end;			/* by_vector: the live slots from slot up to here have the same vector; else slot + 1 */
	float		estimate;		/* of the distance */
	float		lower;			/* the true distance, as the SQL function computes it, is in [lower, upper]: */
	float		upper;			/* rounding of both sides is included */
} rv_hit;

/* Nearest first, in batches. query: as the spec's element (a SPARSE, BIT or F16 segment takes its own element, an
 * F16 segment also F32 when `element` says so). */
rv_status	rv_search_new(const rv_segment *segment, rv_element element, const rv_vector *query,
						  const rv_search_options *options, rv_search **out, rv_error *error);

/* Everything whose lower bound is <= radius, in no order, exactly: nothing that belongs is missing. NaN is above
 * everything, as float8 orders it. */
rv_status	rv_range_new(const rv_segment *segment, rv_element element, const rv_vector *query, double radius,
						 const rv_search_options *options, rv_search **out, rv_error *error);

/* The same over records, whose numbers are keys and slots of the hits. Batches of the first, ef and doubling, are such that
 * rv_search_floor tells of each what cannot come any more. Of options: ef, interrupt, scratch. */
rv_status	rv_coded_search_new(const rv_coded *rows, rv_element element, const rv_vector *query,
								const rv_search_options *options, rv_search **out, rv_error *error);
rv_status	rv_coded_range_new(const rv_coded *rows, rv_element element, const rv_vector *query, double radius,
							   const rv_search_options *options, rv_search **out, rv_error *error);

/* The next hits of the current batch, or of the next one: HNSW resumes the traversal where it stopped (each batch
 * doubles ef), IVF takes the next lists, FLAT the next nearest. A batch is sorted by estimate; no slot comes twice.
 * *count = 0: nothing is left. *batch_end: the last hit of a batch is among these. */
rv_status	rv_search_next(rv_search *search, rv_hit *hits, uint32_t capacity, uint32_t *count, bool *batch_end, rv_error *error);

typedef struct rv_search_stats
{
	uint64_t	visited;		/* nodes estimated by traversal codes */
	uint64_t	refined;		/* nodes estimated by stored codes */
	uint64_t	hops;			/* nodes expanded, or lists probed */
} rv_search_stats;

/* Bytes that the search holds and that grow with its batches: not what is fixed by the size of the segment. */
size_t		rv_search_bytes(const rv_search *search);

/* No hit of a later batch has a distance, as the SQL function computes it, that is below this. -inf: nothing is known. */
double		rv_search_floor(const rv_search *search);

void		rv_search_stats_get(const rv_search *search, rv_search_stats *stats);
void		rv_search_free(rv_search *search);

#ifdef __cplusplus
}
#endif

#endif							/* RV_ENGINE_H */
