/* SPDX-License-Identifier: PostgreSQL
 *
 * detoast.h: an argument of a type as its struct, without a call of the server's where none is needed.
 *
 * A value of up to 126 bytes lies in its row with a header of one byte, so its struct is not where a struct may be. The
 * server's detoasting copies it into allocated memory; a function that only looks at it opens it on its stack instead, which
 * is most of the time of a distance between short vectors.
 */
#ifndef RV_DETOAST_H
#define RV_DETOAST_H

#include "fmgr.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* A plain copy where the value must be detoasted, else the value itself. */
static inline struct varlena *
rv_detoast(Datum datum)
{
	struct varlena *value = (struct varlena *) DatumGetPointer(datum);

	return likely(!VARATT_IS_EXTENDED(value)) ? value : pg_detoast_datum(value);
}

/* Room for a value of the short header, with the long one. */
typedef union RvRoom
{
	int32		aligned;
	char		bytes[VARHDRSZ + VARATT_SHORT_MAX];
} RvRoom;

/* As rv_detoast, but what has a short header is copied to room. rv_close gives back what was allocated. */
static inline struct varlena *
rv_open(Datum datum, RvRoom *room)
{
	struct varlena *value = (struct varlena *) DatumGetPointer(datum);

	if (likely(!VARATT_IS_EXTENDED(value)))
		return value;
	if (VARATT_IS_SHORT(value) && !VARATT_IS_EXTERNAL(value))
	{
		Size		size = VARSIZE_SHORT(value) - VARHDRSZ_SHORT;

		SET_VARSIZE(room->bytes, size + VARHDRSZ);
		memcpy(room->bytes + VARHDRSZ, VARDATA_SHORT(value), size);
		return (struct varlena *) room->bytes;
	}
	return pg_detoast_datum(value);
}

static inline void
rv_close(struct varlena *opened, Datum datum, const RvRoom *room)
{
	if (unlikely((char *) opened != DatumGetPointer(datum) && (char *) opened != room->bytes))
		pfree(opened);
}

#endif							/* RV_DETOAST_H */
