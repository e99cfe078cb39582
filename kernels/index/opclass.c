/* SPDX-License-Identifier: PostgreSQL
 *
 * opclass.c: what an operator class tells the access method: metric, element, limits, and how a value is read.
 *
 * An operator class has one support function, which returns a static description. The exact distance is not part of it:
 * a scan computes it with the function of the very operator that the query names. pgvector's types have the same bytes,
 * so operator classes over them name the same support functions.
 */
#include "internal.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "utils/syscache.h"
#include "utils/varbit.h"

#include "types/halfvec.h"
#include "types/ruvector.h"
#include "types/sparsevec.h"

#define RV_MAX_DIMS 16000
#define RV_MAX_BITS 64000
#define RV_MAX_NNZ 16000

static void
extract_ruvector(const struct varlena *value, rv_vector *out, uint32 *dims)
{
	const RuVector *v = (const RuVector *) value;

	out->values = v->x;
	out->indices = NULL;
	out->count = (uint16) v->dim;
	*dims = out->count;
}

static void
extract_halfvec(const struct varlena *value, rv_vector *out, uint32 *dims)
{
	const HalfVec *v = (const HalfVec *) value;

	out->values = v->x;
	out->indices = NULL;
	out->count = (uint16) v->dim;
	*dims = out->count;
}

static void
extract_sparsevec(const struct varlena *value, rv_vector *out, uint32 *dims)
{
	const SparseVec *v = (const SparseVec *) value;

	out->values = SPARSEVEC_VALUES(v);
	out->indices = v->indices;
	out->count = (uint32) v->nnz;
	*dims = (uint32) v->dim;
}

static void
extract_bit(const struct varlena *value, rv_vector *out, uint32 *dims)
{
	const VarBit *v = (const VarBit *) value;

	out->values = VARBITS(v);
	out->indices = NULL;
	out->count = (uint32) VARBITLEN(v);
	*dims = out->count;
}

#define RV_DESCRIBE(function, metric_, element_, max_, extract_) \
	RV_FUNCTION(function); \
	Datum \
	function(PG_FUNCTION_ARGS) \
	{ \
		static const RvOpclass description = { \
			metric_, element_, max_, extract_, (metric_) == RV_METRIC_COSINE \
		}; \
		PG_RETURN_POINTER(&description); \
	} \
	extern int	rv_needs_semicolon_##function

RV_DESCRIBE(ruvector_index_l2, RV_METRIC_L2, RV_ELEMENT_F32, RV_MAX_DIMS, extract_ruvector);
RV_DESCRIBE(ruvector_index_ip, RV_METRIC_IP, RV_ELEMENT_F32, RV_MAX_DIMS, extract_ruvector);
RV_DESCRIBE(ruvector_index_cosine, RV_METRIC_COSINE, RV_ELEMENT_F32, RV_MAX_DIMS, extract_ruvector);
RV_DESCRIBE(ruvector_index_l1, RV_METRIC_L1, RV_ELEMENT_F32, RV_MAX_DIMS, extract_ruvector);
RV_DESCRIBE(ruvector_index_halfvec_l2, RV_METRIC_L2, RV_ELEMENT_F16, RV_MAX_DIMS, extract_halfvec);
RV_DESCRIBE(ruvector_index_halfvec_ip, RV_METRIC_IP, RV_ELEMENT_F16, RV_MAX_DIMS, extract_halfvec);
RV_DESCRIBE(ruvector_index_halfvec_cosine, RV_METRIC_COSINE, RV_ELEMENT_F16, RV_MAX_DIMS, extract_halfvec);
RV_DESCRIBE(ruvector_index_halfvec_l1, RV_METRIC_L1, RV_ELEMENT_F16, RV_MAX_DIMS, extract_halfvec);
RV_DESCRIBE(ruvector_index_sparsevec_l2, RV_METRIC_L2, RV_ELEMENT_SPARSE, SPARSEVEC_MAX_DIM, extract_sparsevec);
RV_DESCRIBE(ruvector_index_sparsevec_ip, RV_METRIC_IP, RV_ELEMENT_SPARSE, SPARSEVEC_MAX_DIM, extract_sparsevec);
RV_DESCRIBE(ruvector_index_sparsevec_cosine, RV_METRIC_COSINE, RV_ELEMENT_SPARSE, SPARSEVEC_MAX_DIM, extract_sparsevec);
RV_DESCRIBE(ruvector_index_sparsevec_l1, RV_METRIC_L1, RV_ELEMENT_SPARSE, SPARSEVEC_MAX_DIM, extract_sparsevec);
RV_DESCRIBE(ruvector_index_bit_hamming, RV_METRIC_HAMMING, RV_ELEMENT_BIT, RV_MAX_BITS, extract_bit);
RV_DESCRIBE(ruvector_index_bit_jaccard, RV_METRIC_JACCARD, RV_ELEMENT_BIT, RV_MAX_BITS, extract_bit);

const RvOpclass *
rv_opclass(Relation index)
{
	FmgrInfo   *function = index_getprocinfo(index, 1, RV_SUPPORT_DESCRIPTION);

	return (const RvOpclass *) DatumGetPointer(FunctionCall1(function, PointerGetDatum(NULL)));
}

bool
rv_vector_is_zero(rv_element element, const rv_vector *vector)
{
	if (element == RV_ELEMENT_F16)
	{
		const rv_half *x = vector->values;

		for (uint32 i = 0; i < vector->count; i++)
			if ((x[i] & 0x7FFF) != 0)
				return false;
		return true;
	}
	if (element == RV_ELEMENT_BIT)
		return false;
	for (uint32 i = 0; i < vector->count; i++)
		if (((const float *) vector->values)[i] != 0)
			return false;
	return true;
}

bool
rv_vector_indexable(const RvOpclass *opclass, const rv_vector *vector)
{
	if (opclass->element == RV_ELEMENT_SPARSE && vector->count > RV_MAX_NNZ)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("sparsevec cannot have more than %d non-zero elements for ruhnsw index", RV_MAX_NNZ)));
	return !(opclass->zero_has_no_distance && rv_vector_is_zero(opclass->element, vector));
}

const char *
rv_type_name(Oid type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	const char *name = HeapTupleIsValid(tuple) ? pstrdup(NameStr(((Form_pg_type) GETSTRUCT(tuple))->typname)) : "vector";

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return name;
}
