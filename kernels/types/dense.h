/* SPDX-License-Identifier: PostgreSQL
 *
 * dense.h: the text and array forms that ruvector and halfvec share: both are a list of float32 there.
 */
#ifndef RV_DENSE_H
#define RV_DENSE_H

#include <math.h>

#include "fmgr.h"
#include "nodes/nodes.h"
#include "utils/array.h"

#include "distance/distance.h"

#define RV_DENSE_MAX_DIM	16000

/* Elements at or past this in magnitude round to an infinite binary16: half way from the largest, 65504, to 65536. */
#define RV_HALF_OVERFLOW	65520.0f

/* What the forms have to know of a type. */
typedef struct RvDenseType
{
	const char *name;
	int			max_dim;
	float		out_of_range;	/* elements of this magnitude or more are, unless infinite */
} RvDenseType;

/* What the dense types' send functions return, with dim and unused written and room for dim elements of size bytes, where
 * the result points to. */
extern char *rv_send_start(bytea **sent, int16 dim, int16 unused, Size size);

/* Read "[1,2,3]". x: out, RV_DENSE_MAX_DIM floats. Returns the number of dimensions, at least 1; -1 after a soft error. */
extern int	rv_dense_read(const RvDenseType *type, const char *text, float *x, Node *escontext);

/* Write "[1,2,3]", the shortest digits that read back as the same float32. */
extern char *rv_dense_write(const float *x, int dim);

/* The elements of an integer[], real[], double precision[] or numeric[], palloc'd: as many as type and typmod allow, not
 * yet checked for NaN and infinity. */
extern float *rv_floats_from_array(ArrayType *array, const RvDenseType *type, int32 typmod, int *n);

/* Raises when a finite x is out of range. */
extern void rv_check_range(const RvDenseType *type, float x);

/* The Euclidean norm, summed in double: a norm beyond float32's range is still one. */
static inline double
rv_norm(const float *x, int n)
{
	return sqrt(rv_kernels()->norm_squared_f32(x, (size_t) n));
}

/* real[] of these values */
extern ArrayType *rv_array_from_floats(const float *x, int n);

#endif							/* RV_DENSE_H */
