/* SPDX-License-Identifier: PostgreSQL
 *
 * insert.c: a new row goes to the delta as it is; when that has grown past its limit, maintenance is asked for.
 */
#include "internal.h"

#include "utils/memutils.h"

bool
rv_insert(Relation index, Datum *values, bool *isnull, ItemPointer tid, Relation heap, IndexUniqueCheck unique,
		  bool unchanged, struct IndexInfo *info)
{
	const RvOpclass *opclass;
	MemoryContext context;
	MemoryContext old;
	struct varlena *value;
	rv_vector	vector;
	uint32		dims;
	bool		seal = false;

	if (isnull[0])
		return false;
	opclass = rv_opclass(index);
	context = AllocSetContextCreate(CurrentMemoryContext, "ruvector insert", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	value = PG_DETOAST_DATUM(values[0]);
	opclass->extract(value, &vector, &dims);
	if (rv_vector_indexable(opclass, &vector))
		seal = rv_delta_append(index, tid, value);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	if (seal)
		rv_request_maintenance(heap, index);
	return false;
}
