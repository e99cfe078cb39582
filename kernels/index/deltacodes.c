/* SPDX-License-Identifier: PostgreSQL
 *
 * deltacodes.c: compact codes of the delta's rows, for scans that would else read all of their values.
 *
 * A scan needs the distances of few rows of the delta: those that bounds cannot tell from the nearest. So a backend keeps for
 * each row an 8-bit code beside its value, by the centre and rotation of the newest segment, and a scan reads the codes. To
 * make a code costs as much as some tens of distances. So rows are read by their values until that much has been spent on
 * them, and coded then: a session of one query never pays for codes, and no session ever more than twice what the better of
 * both ways had cost. (docs/design/index.md has the figures.)
 *
 * Codes are in the memory of the view. Where they outgrow their room while a scan uses them, it keeps the old ones.
 */
#include "internal.h"

#include "miscadmin.h"
#include "utils/memutils.h"

/* What coding a row costs, in distances. */
#define READS_A_CODE 32
/* Rows. With fewer, bringing the query into the form of the codes costs more than they save. */
#define FEWEST_CODED 256
/* Below, what a distance costs is not its reading. */
#define CODED_MIN_DIMS 64
/* Rows whose mean is the centre when there is no segment. */
#define MOST_SAMPLED 256

typedef struct RvDeltaCodes
{
	rv_coder   *coder;			/* NULL: vectors of this kind are not coded, or not yet */
	MemoryContextCallback callback;
	char	   *records;
	uint32		count;
	uint32		capacity;
	uint64		reads;			/* of rows without a code, by scans */
} RvDeltaCodes;

static Size coder_bytes = 0;

Size
rv_delta_coder_bytes(void)
{
	return coder_bytes;
}

static void
free_coder(void *arg)
{
	RvDeltaCodes *codes = arg;

	if (codes->coder == NULL)
		return;
	coder_bytes -= rv_coder_bytes(codes->coder);
	rv_coder_free(codes->coder);
	codes->coder = NULL;
}

static RvDeltaCodes *
codes_of(RvDelta *delta)
{
	RvDeltaCodes *codes = delta->codes;

	if (codes == NULL)
	{
		codes = MemoryContextAllocZero(delta->context, sizeof(RvDeltaCodes));
		codes->callback.func = free_coder;
		codes->callback.arg = codes;
		MemoryContextRegisterResetCallback(delta->context, &codes->callback);
		delta->codes = codes;
	}
	return codes;
}

static rv_vector
vector_of(Relation index, const RvDelta *delta, uint32 row)
{
	rv_vector	vector;
	uint32		dims;

	rv_opclass(index)->extract(delta->items[row].value, &vector, &dims);
	return vector;
}

static void
make_coder(Relation index, const RvView *view, RvDeltaCodes *codes)
{
	const rv_segment *model = view->n_segments > 0 ? view->segments[view->n_segments - 1].image->segment : NULL;
	rv_vector	sample[MOST_SAMPLED];
	uint32		sampled = model != NULL ? 0 : Min(view->delta->count, MOST_SAMPLED);
	rv_spec		spec;
	rv_error	error;
	rv_status	status;

	rv_spec_from_meta(&view->meta, &spec);
	for (uint32 i = 0; i < sampled; i++)
		sample[i] = vector_of(index, view->delta, i);
	status = rv_coder_new(&spec, model, sample, sampled, &codes->coder, &error);
	if (status != RV_OK)
		rv_report(status, &error, index);
	coder_bytes += rv_coder_bytes(codes->coder);
}

/* Room for a code of every row. What is there may be in use by scans that hold the view beside the caller. */
static void
make_room(RvView *view, RvDeltaCodes *codes, Size record_bytes)
{
	uint32		capacity = Max(codes->capacity, FEWEST_CODED);
	char	   *records;

	while (capacity < view->delta->count)
		capacity *= 2;
	if (capacity == codes->capacity)
		return;
	records = MemoryContextAllocHuge(view->delta->context, record_bytes * capacity);
	if (codes->count > 0)
		memcpy(records, codes->records, record_bytes * codes->count);
	if (codes->records != NULL && view->refs == 1)
		pfree(codes->records);
	codes->records = records;
	codes->capacity = capacity;
}

static void
code_rows(Relation index, RvView *view, RvDeltaCodes *codes)
{
	const RvDelta *delta = view->delta;
	Size		record_bytes;

	if (codes->coder == NULL)
		make_coder(index, view, codes);
	record_bytes = rv_coder_record_bytes(codes->coder);
	make_room(view, codes, record_bytes);
	for (; codes->count < delta->count; codes->count++)
	{
		rv_vector	vector = vector_of(index, delta, codes->count);
		rv_error	error;
		rv_status	status;

		if (codes->count % 64 == 0)
			CHECK_FOR_INTERRUPTS();
		status = rv_coder_encode(codes->coder, &vector, codes->records + record_bytes * codes->count, &error);
		if (status != RV_OK)
			rv_report(status, &error, index);
	}
	codes->reads = 0;
}

static bool
is_coded(const RvMeta *meta)
{
	return meta->dims >= CODED_MIN_DIMS && (meta->element == RV_ELEMENT_F32 || meta->element == RV_ELEMENT_F16) &&
		(meta->metric == RV_METRIC_L2 || meta->metric == RV_METRIC_IP || meta->metric == RV_METRIC_COSINE);
}

rv_coded
rv_delta_coded(Relation index, RvView *view)
{
	RvDelta    *delta = view->delta;
	RvDeltaCodes *codes;
	uint64		uncoded;

	if (delta->count < FEWEST_CODED || !is_coded(&view->meta))
		return (rv_coded) {0};
	codes = codes_of(delta);
	uncoded = delta->count - codes->count;
	if (codes->reads > uncoded * READS_A_CODE)
		code_rows(index, view, codes);
	codes->reads += delta->count - codes->count;
	return (rv_coded) {codes->coder, codes->records, codes->count};
}
