/* SPDX-License-Identifier: PostgreSQL
 *
 * types.c: which type is which, and what the library says of itself.
 */
#include "postgres.h"

#include "catalog/dependency.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "compat.h"
#include "distance/distance.h"
#include "types/types.h"

RV_FUNCTION(ruvector_version);
RV_FUNCTION(ruvector_simd_info);
RV_FUNCTION(ruvector_typmod_support);

typedef struct KindEntry
{
	Oid			type;			/* hash key */
	RvTypeKind	kind;
} KindEntry;

/* Types of ours and of pgvector seen by this backend; NULL until one is. Emptied when any type changes. */
static HTAB *kinds = NULL;

static void
forget_kinds(Datum arg, int cacheid, uint32 hashvalue)
{
	if (kinds != NULL)
	{
		hash_destroy(kinds);
		kinds = NULL;
	}
}

static RvTypeKind
kind_by_name(const char *extension, const char *type)
{
	if (extension == NULL)
		return RV_TYPE_NONE;
	if (strcmp(extension, "ruvector") != 0 && strcmp(extension, "vector") != 0)
		return RV_TYPE_NONE;
	if (strcmp(type, extension) == 0)
		return RV_TYPE_RUVECTOR;
	if (strcmp(type, "halfvec") == 0)
		return RV_TYPE_HALFVEC;
	if (strcmp(type, "sparsevec") == 0)
		return RV_TYPE_SPARSEVEC;
	return RV_TYPE_NONE;
}

static RvTypeKind
look_up_kind(Oid type)
{
	HeapTuple	tuple;
	Form_pg_type form;
	RvTypeKind	kind = RV_TYPE_NONE;

	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	if (!HeapTupleIsValid(tuple))
		return RV_TYPE_NONE;
	form = (Form_pg_type) GETSTRUCT(tuple);
	if (form->typtype == TYPTYPE_BASE && form->typlen == -1)
	{
		char	   *name = pstrdup(NameStr(form->typname));
		Oid			extension = getExtensionOfObject(TypeRelationId, type);

		if (OidIsValid(extension))
			kind = kind_by_name(get_extension_name(extension), name);
	}
	ReleaseSysCache(tuple);
	return kind;
}

RvTypeKind
rv_type_kind(Oid type)
{
	KindEntry  *entry;
	RvTypeKind	kind;

	if (type == BITOID || type == VARBITOID)
		return RV_TYPE_BIT;
	if (type < FirstNormalObjectId)
		return RV_TYPE_NONE;
	if (kinds != NULL)
	{
		entry = hash_search(kinds, &type, HASH_FIND, NULL);
		if (entry != NULL)
			return entry->kind;
	}

	kind = look_up_kind(type);
	/* Others are not remembered: a type may join an extension without a change of its own row */
	if (kind == RV_TYPE_NONE)
		return kind;
	if (kinds == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(Oid),.entrysize = sizeof(KindEntry)};

		kinds = hash_create("ruvector type kinds", 16, &control, HASH_ELEM | HASH_BLOBS);
	}
	entry = hash_search(kinds, &type, HASH_ENTER, NULL);
	entry->kind = kind;
	return kind;
}

/* Planner support of the length coercions (value, typmod, is_explicit): the call goes away where the value is known to
 * have as many dimensions already. It looks through the relabelling of a cast between pgvector's type and ours: the
 * typmods of the two mean the same. So ALTER TABLE ... TYPE ruvector(n) from vector(n) plans to a bare column, and
 * PostgreSQL does not rewrite the table. */
Datum
ruvector_typmod_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);
	Node	   *result = NULL;

	if (IsA(request, SupportRequestSimplify))
	{
		List	   *args = ((SupportRequestSimplify *) request)->fcall->args;
		Node	   *source = linitial(args);
		Node	   *typmod = lsecond(args);

		if (IsA(typmod, Const) && !((Const *) typmod)->constisnull)
		{
			int32		wanted = DatumGetInt32(((Const *) typmod)->constvalue);
			Node	   *bottom = source;

			while (IsA(bottom, RelabelType) && exprTypmod(bottom) < 0)
				bottom = (Node *) ((RelabelType *) bottom)->arg;
			if (wanted < 0 ||
				(exprTypmod(bottom) == wanted &&
				 rv_type_kind(exprType(bottom)) == rv_type_kind(exprType(source)) &&
				 rv_type_kind(exprType(source)) != RV_TYPE_NONE))
				result = relabel_to_typmod(source, wanted);
		}
	}
	PG_RETURN_POINTER(result);
}

Datum
ruvector_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(RV_VERSION));
}

/* What the distance kernels use, then what the machine has: "AVX2 (avx2 fma f16c)". */
Datum
ruvector_simd_info(PG_FUNCTION_ARGS)
{
	const char *features = rv_simd_features();
	const char *level = rv_simd_level_name(rv_kernels()->level);

	if (features[0] == '\0')
		PG_RETURN_TEXT_P(cstring_to_text(level));
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%s (%s)", level, features)));
}

void
rv_types_init(void)
{
	CacheRegisterSyscacheCallback(TYPEOID, forget_kinds, (Datum) 0);
}
