/* SPDX-License-Identifier: PostgreSQL
 *
 * fdw.h: what the parts of ruvector_fdw share. No Python here: py.h has what the py_*.c files share among themselves.
 *
 * A scan travels in one form, RvRequest: the planner builds it (pushdown.c), the plan carries it (plan.c), the executor
 * fills in the values (scan.c), and py_request.c shows it to Python.
 *
 * Errors: every rv_py_* function may ereport(ERROR) to its caller, and does so with the GIL released and no Python
 * frame on the stack. Memory: results are palloc'd in the caller's memory context.
 */
#ifndef RV_FDW_H
#define RV_FDW_H

#include "access/attnum.h"
#include "commands/explain.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "foreign/fdwapi.h"
#include "nodes/bitmapset.h"
#include "nodes/pathnodes.h"
#include "nodes/pg_list.h"
#include "nodes/primnodes.h"
#include "utils/relcache.h"

#include "compat.h"
#if PG_VERSION_NUM >= 180000
#include "commands/explain_state.h"
#endif

/* ---- requests --------------------------------------------------------------------------------------------- */

/* A value that a condition compares with. While planning it is bound only when it is a constant. */
typedef struct RvOperand
{
	Expr	   *expr;
	Oid			type;
	bool		bound;
	bool		isnull;
	Datum		datum;
} RvOperand;

typedef enum RvQualKind
{
	RV_QUAL_OP,					/* column op value; op ANY / ALL (values) */
	RV_QUAL_NULL,				/* column IS [NOT] NULL */
	RV_QUAL_DISTANCE,			/* column <-> value < threshold */
	RV_QUAL_AND,
	RV_QUAL_OR
} RvQualKind;

typedef enum RvListUse { RV_LIST_NONE, RV_LIST_ANY, RV_LIST_ALL } RvListUse;

typedef struct RvQual
{
	RvQualKind	kind;
	AttrNumber	attnum;
	char	   *operator;		/* OP: its name; DISTANCE: that of the distance */
	char	   *comparison;		/* DISTANCE: < or <= */
	RvListUse	list;			/* OP */
	bool		is_null;		/* NULL */
	bool		strict;			/* OP: a NULL value makes it unknown */
	RvOperand	value;			/* OP; DISTANCE: the query */
	RvOperand	threshold;		/* DISTANCE */
	List	   *args;			/* AND, OR: RvQual */
} RvQual;

typedef struct RvKey
{
	AttrNumber	attnum;
	bool		reversed;
	bool		nulls_first;
	char	   *collation;		/* NULL: not collatable */
	char	   *operator;		/* a distance: its operator; NULL: the column itself */
	RvOperand	query;
} RvKey;

typedef struct RvRequest
{
	List	   *quals;			/* RvQual: all of them pushed, EXACT or not */
	List	   *keys;			/* RvKey */
	Bitmapset  *attrs;			/* needed columns, by attnum */
	bool		need_rowids;
	bool		has_limit;		/* limit and offset are pushed; an expr may still be NULL */
	RvOperand	limit;			/* int8; isnull: all */
	RvOperand	offset;
} RvRequest;

typedef struct RvEstimate
{
	double		rows;
	int			width;
	double		startup_cost;
	double		per_row_cost;
} RvEstimate;

typedef enum RvPush { RV_PUSH_NONE = 0, RV_PUSH_HINT = 1, RV_PUSH_EXACT = 2 } RvPush;

/* ---- instances of wrapper classes (py_instance.c) ----------------------------------------------------------- */

typedef struct RvInstance RvInstance;
typedef struct RvCursor RvCursor;

/* The instance for this table and user, made if need be, and in this transaction. Held until the memory context that
 * is current now is reset. */
extern RvInstance *rv_instance_get(Oid relid, Oid userid);

/* Whether it derives from VectorForeignDataWrapper. */
extern bool rv_instance_extended(RvInstance *instance);

/* Transaction ends, for xact.c. `quiet` ones report a Python exception as WARNING. */
typedef enum RvXactCall { RV_XACT_PRE_COMMIT, RV_XACT_COMMIT, RV_XACT_ROLLBACK } RvXactCall;
extern bool rv_instances_in_xact(void);
extern void rv_instances_xact(RvXactCall call);
extern void rv_instances_subxact(bool commit, int level);

/* ---- calls (py_plan.c, py_cursor.c, py_modify.c, py_import.c) ------------------------------------------------- */

extern void rv_py_rel_size(RvInstance *instance, TupleDesc desc, RvRequest *request, RvEstimate *estimate);
extern void rv_py_estimate(RvInstance *instance, TupleDesc desc, RvRequest *request, RvEstimate *estimate);
extern RvPush rv_py_can_push(RvInstance *instance, TupleDesc desc, RvQual *qual);
/* How many of the keys, from the first on, the wrapper keeps. */
extern int	rv_py_can_sort(RvInstance *instance, TupleDesc desc, List *keys);
extern bool rv_py_can_limit(RvInstance *instance, TupleDesc desc, RvRequest *request);

typedef struct RvPathKey
{
	List	   *attnums;		/* integers */
	double		rows;
} RvPathKey;

extern List *rv_py_path_keys(RvInstance *instance, TupleDesc desc);
/* A list of char *: label, text, label, text, ... */
extern List *rv_py_explain(RvInstance *instance, TupleDesc desc, RvRequest *request, bool verbose);

/* The cursor lives until rv_py_cursor_close or the reset of the memory context that is current now. */
extern RvCursor *rv_py_execute(RvInstance *instance, TupleDesc desc, RvRequest *request);
/* Stores the next row in a virtual slot, its values in the current memory context; false at the end. */
extern bool rv_py_next(RvCursor *cursor, TupleTableSlot *slot);
extern void rv_py_cursor_close(RvCursor *cursor);
extern void rv_py_end_scan(RvInstance *instance);

typedef struct RvModify RvModify;	/* py_modify.c */

/* update_attrs: the columns an UPDATE sets, as attnums; NULL for all of them. Lives in the current memory context. */
extern RvModify *rv_py_modify_begin(RvInstance *instance, TupleDesc desc, Bitmapset *update_attrs);
extern AttrNumber rv_py_rowid_attnum(RvInstance *instance, TupleDesc desc);
extern int	rv_py_batch_size(RvInstance *instance);
/* The slots take over what the wrapper returns. */
extern void rv_py_insert(RvModify *modify, TupleTableSlot **slots, int count, bool bulk);

/* What became of a row: passed over (update_row or delete_row returned False: this statement has already changed it),
 * done, or done and the wrapper returned it, now in slot. */
typedef enum RvOutcome { RV_PASSED_OVER, RV_DONE, RV_RETURNED } RvOutcome;
extern RvOutcome rv_py_update(RvModify *modify, Datum rowid, TupleTableSlot *slot);
extern RvOutcome rv_py_delete(RvModify *modify, Datum rowid, TupleTableSlot *slot);
extern void rv_py_modify_end(RvModify *modify);
extern void rv_py_truncate(RvInstance *instance);

/* CREATE FOREIGN TABLE statements. restriction: "limit", "except" or NULL. */
extern List *rv_py_import(const char *wrapper, List *server_options, ImportForeignSchemaStmt *stmt,
						  const char *server_name, const char *restriction);
/* Raises when the class cannot be imported. */
extern void rv_py_check_class(const char *wrapper);
/* Lets Python judge the options of a kind; catalog is "server", "user mapping", "table" or "column". */
extern void rv_py_check_options(const char *catalog, List *options);

/* ---- option.c --------------------------------------------------------------------------------------------- */

/* Every option that reaches the wrapper, in Multicorn's order: table, server, user mapping; the later wins. */
extern List *rv_options(Oid relid, Oid userid);
extern List *rv_server_options(Oid serverid, Oid userid);
extern bool rv_is_path_option(const char *name);
extern void rv_check_path_option(const char *name);
extern void rv_check_may_write(Oid relid, Oid owner, Oid userid);
/* The dotted class: option wrapper, or our own for a kind. */
extern const char *rv_options_wrapper(List *options);
/* Whether they are those of one of our stores. */
extern bool rv_options_kind(List *options);

/* ---- pushdown.c ------------------------------------------------------------------------------------------- */

/* Operands of these conditions are in no order that matters; NULL when the clause cannot be shown to Python. */
extern RvQual *rv_qual_from_clause(RelOptInfo *rel, Expr *clause, bool extended);
extern RvKey *rv_key_from_expr(RelOptInfo *rel, Expr *expr, bool reversed, bool nulls_first, bool extended);
/* The RvOperands of a request, in a fixed order. */
extern List *rv_request_operands(RvRequest *request);
extern bool rv_quals_have_unknown(List *quals);
/* The name of a distance operator of ours or pgvector's, else NULL. */
extern const char *rv_distance_operator(Oid opno);

/* ---- plan.c, scan.c, modify.c, explain.c, analyze.c, import.c, xact.c ------------------------------------------ */

extern void rv_get_rel_size(PlannerInfo *root, RelOptInfo *rel, Oid relid);
extern void rv_get_paths(PlannerInfo *root, RelOptInfo *rel, Oid relid);
extern ForeignScan *rv_get_plan(PlannerInfo *root, RelOptInfo *rel, Oid relid, ForeignPath *path, List *tlist,
								List *clauses, Plan *outer_plan);
extern void rv_get_upper_paths(PlannerInfo *root, UpperRelationKind stage, RelOptInfo *input, RelOptInfo *output,
							   void *extra);

/* plan_private.c: the request in a plan tree. */
extern List *rv_request_to_private(RvRequest *request, List **exprs);
extern RvRequest *rv_request_from_private(List *fdw_private, List *exprs);

typedef struct RvScan
{
	RvInstance *instance;
	RvRequest  *request;
	List	   *states;			/* ExprState of the operands, in rv_request_operands' order */
	RvCursor   *cursor;			/* NULL: not started */
	bool		done;
	int64		left;			/* rows until the limit */
	MemoryContext context;		/* what the cursor lives in */
} RvScan;

extern void rv_begin_scan(ForeignScanState *node, int eflags);
extern TupleTableSlot *rv_iterate_scan(ForeignScanState *node);
extern void rv_rescan(ForeignScanState *node);
extern void rv_end_scan(ForeignScanState *node);
extern void rv_explain_scan(ForeignScanState *node, ExplainState *es);

extern void rv_modify_callbacks(FdwRoutine *routine);
extern bool rv_analyze_table(Relation rel, AcquireSampleRowsFunc *func, BlockNumber *totalpages);
extern List *rv_import_schema(ImportForeignSchemaStmt *stmt, Oid serverid);
extern void rv_xact_init(void);

/* GUCs (module.c). */
extern char *rv_python;
extern char *rv_python_path;

#endif							/* RV_FDW_H */
