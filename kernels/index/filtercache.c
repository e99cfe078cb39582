/* SPDX-License-Identifier: PostgreSQL
 *
 * filtercache.c: WHERE condition ORDER BY column <operator> query LIMIT k, again and again with the same condition and another
 * query, and no other index that knows the condition's rows.
 *
 * Behind a condition that few rows pass a scan walks past many that do not. Knowing which rows pass, it would rank just
 * these (filter.c). So the session learns it, little by little: every scan reads on in the table, the farther the more rows
 * the ones before it walked past in vain. What was read of a page counts while its bit in the visibility map says that it is
 * as it was (knownrows.c). Rows of all other pages may pass: the scan looks at them in the table, as it does at those that pass.
 *
 * docs/design/filters.md has the figures.
 */
#include "filtercache.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "lib/ilist.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "condition.h"
#include "knownrows.h"

#define MOST_CONDITIONS 1024
/* A row walked past costs 3 us, so many of the table, or so many pages of it, 2 us. */
#define ROWS_LEARNED_A_DROPPED 8
#define PAGES_LEARNED_A_DROPPED 2
/* In one scan: 30 ms, more where they must be read from disk. */
#define MOST_PAGES_A_SCAN 20000
/* Reading the code of a row that passes costs 0.25 us. */
#define ADMITTED_A_DROPPED 12
/* Of the table, the part of which nothing need be known: as many of its rows are walked past as without a filter. */
#define MOST_OTHERS 4

typedef struct Cached
{
	dlist_node	link;
	MemoryContext context;
	Size		bytes;			/* with the rows */
	uint64		id;
	Oid			heap;
	Oid			number;			/* of its file */
	List	   *condition;
	uint32		hash;
	bool		given_up;		/* it raises an error for some row, or more rows pass than there is memory for */
	uint64		scans;			/* without the filter */
	uint64		found;			/* by these */
	uint64		dropped;
	uint64		credit;			/* rows dropped, or ranked in vain, since the table was last read */
	RvKnownRows rows;
} Cached;

int			rv_filter_cache_kb = 8192;

static dlist_head cached = DLIST_STATIC_INIT(cached);	/* the last one used comes first */
static int	n_cached = 0;
static Size cached_bytes = 0;
static int	size_kb = 0;			/* that it was begun with */
static uint64 last_id = 0;
static bool functions_changed = false;
static bool learning = false;

Size
rv_filter_cache_bytes(void)
{
	return cached_bytes;
}

static void
count_bytes(Cached *entry)
{
	cached_bytes -= entry->bytes;
	entry->bytes = MemoryContextMemAllocated(entry->context, true);
	cached_bytes += entry->bytes;
}

static void
forget(Cached *entry)
{
	dlist_delete(&entry->link);
	n_cached--;
	cached_bytes -= entry->bytes;
	MemoryContextDelete(entry->context);
}

static void
forget_all(void)
{
	functions_changed = false;
	size_kb = rv_filter_cache_kb;
	while (!dlist_is_empty(&cached))
		forget(dlist_head_element(Cached, link, &cached));
}

static void
give_up(Cached *entry)
{
	entry->given_up = true;
	MemoryContextReset(entry->rows.context);
	entry->rows.parts = NULL;
	entry->rows.n_parts = 0;
	count_bytes(entry);
}

static void
make_room(const Cached *keep)
{
	while (n_cached > MOST_CONDITIONS || cached_bytes > (Size) size_kb * 1024)
	{
		Cached	   *last = dlist_tail_element(Cached, link, &cached);

		if (last == keep)
			break;
		forget(last);
	}
}

static Cached *
look_up(Relation heap, List *condition, uint32 hash)
{
	dlist_iter	iter;

	dlist_foreach(iter, &cached)
	{
		Cached	   *entry = dlist_container(Cached, link, iter.cur);

		if (entry->hash == hash && entry->heap == RelationGetRelid(heap) && entry->number == RV_RELNUMBER(heap) &&
			equal(entry->condition, condition))
		{
			dlist_move_head(&cached, &entry->link);
			return entry;
		}
	}
	return NULL;
}

static Cached *
add(Relation heap, List *condition, uint32 hash)
{
	MemoryContext context;
	MemoryContext old;
	Cached	   *entry;

	context = AllocSetContextCreate(CacheMemoryContext, "ruvector filter", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	entry = palloc0(sizeof(Cached));
	entry->context = context;
	entry->rows.context = AllocSetContextCreate(context, "ruvector filter rows", ALLOCSET_SMALL_SIZES);
	entry->id = ++last_id;
	entry->heap = RelationGetRelid(heap);
	entry->number = RV_RELNUMBER(heap);
	entry->condition = copyObject(condition);
	entry->hash = hash;
	MemoryContextSwitchTo(old);
	dlist_push_head(&cached, &entry->link);
	n_cached++;
	count_bytes(entry);
	make_room(entry);
	return entry;
}

/* Whether ranking so many rows takes less than walking past those that a scan has to drop. */
static bool
is_less_work(const Cached *entry, double admitted)
{
	return entry->scans > 0 && admitted <= ADMITTED_A_DROPPED * ((double) entry->dropped / entry->scans);
}

/* Whether an error is the condition's own, about a row that no scan might have looked at. */
static bool
is_of_a_row(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_TO_CATEGORY(ERRCODE_TRANSACTION_ROLLBACK):
		case ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION):
		case ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES):
		case ERRCODE_TO_CATEGORY(ERRCODE_SYSTEM_ERROR):
		case ERRCODE_TO_CATEGORY(ERRCODE_INTERNAL_ERROR):
			return false;
		default:
			return true;
	}
}

/* In a transaction of its own, since a condition may raise an error for a row that the query would never have met. */
static void
learn(Cached *entry, RvFetch *fetch, BlockNumber blocks)
{
	MemoryContext old = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	uint64		credit = entry->credit;

	entry->credit = 0;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(old);
	PG_TRY();
	{
		learning = true;
		rv_known_rows_read(&entry->rows, fetch, blocks, credit * ROWS_LEARNED_A_DROPPED,
						   Min(credit * PAGES_LEARNED_A_DROPPED, MOST_PAGES_A_SCAN));
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(old);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old);
		CurrentResourceOwner = owner;
		learning = false;
		if (!is_of_a_row(error))
		{
			forget(entry);
			ReThrowError(error);
		}
		FreeErrorData(error);
		give_up(entry);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	CurrentResourceOwner = owner;
	learning = false;
	count_bytes(entry);
	if (entry->bytes > (Size) size_kb * 1024)
		give_up(entry);
	make_room(entry);
}

/* NULL: there would be too many rows in it. */
static RvFilter *
make_filter(Cached *entry, Relation heap, BlockNumber blocks)
{
	RvKnownNow	now = rv_known_rows_now(&entry->rows, heap, blocks);
	double		others = now.others * rv_known_rows_a_page(&entry->rows);

	if (now.others > blocks / MOST_OTHERS || !is_less_work(entry, now.most_keys - now.others + others))
		return NULL;
	entry->credit += others / ADMITTED_A_DROPPED;
	return rv_known_rows_filter(&entry->rows, &now);
}

/* From how many rows the scans so far have found and dropped. */
static bool
is_promising(const Cached *entry, Relation heap, BlockNumber blocks)
{
	double		rows = entry->rows.pages_read > 0 ? rv_known_rows_a_page(&entry->rows) * blocks :
		Max(heap->rd_rel->reltuples, (double) blocks);

	return entry->dropped > 0 && is_less_work(entry, rows * entry->found / (entry->found + entry->dropped));
}

/* A serializable transaction must look at the rows that do not pass, too, in order to be told when they change. */
static bool
is_for_cache(const RvFetch *fetch)
{
	return rv_filter_cache_kb > 0 && fetch->node != NULL && fetch->node->context != NULL &&
		rv_visible_tells(fetch->heap) && IsMVCCSnapshot(fetch->snapshot) && !IsolationIsSerializable() && !IsParallelWorker();
}

RvFilter *
rv_filter_cache_find(RvFetch *fetch, RvFilterUse *use)
{
	List	   *condition;
	uint32		hash;
	Cached	   *entry;
	BlockNumber blocks;
	RvFilter   *filter = NULL;

	memset(use, 0, sizeof(*use));
	if (learning)
		return NULL;
	if (functions_changed || size_kb != rv_filter_cache_kb)
		forget_all();
	if (!is_for_cache(fetch))
		return NULL;
	condition = rv_condition_of(fetch->node);
	if (condition == NIL)
		return NULL;
	hash = rv_condition_hash(condition);
	entry = look_up(fetch->heap, condition, hash);
	if (entry == NULL)
		entry = add(fetch->heap, condition, hash);
	use->id = entry->id;
	if (entry->given_up || entry->scans == 0)
		return NULL;
	blocks = RelationGetNumberOfBlocks(fetch->heap);
	if (!is_promising(entry, fetch->heap, blocks))
		return NULL;
	if (entry->credit > 0 && !rv_known_rows_complete(&entry->rows, blocks) && !IsInParallelMode())
		learn(entry, fetch, blocks);
	if (!entry->given_up)
		filter = make_filter(entry, fetch->heap, blocks);
	use->filtered = filter != NULL;
	return filter;
}

void
rv_filter_cache_note(const RvFilterUse *use, uint64 found, uint64 dropped)
{
	dlist_iter	iter;

	if (use->id == 0 || use->filtered)
		return;
	dlist_foreach(iter, &cached)
	{
		Cached	   *entry = dlist_container(Cached, link, iter.cur);

		if (entry->id == use->id)
		{
			entry->scans++;
			entry->found += found;
			entry->dropped += dropped;
			entry->credit += dropped;
			return;
		}
	}
}

static void
function_changed(Datum arg, int cache, uint32 hash)
{
	functions_changed = true;
}

void
rv_filter_cache_init(void)
{
	CacheRegisterSyscacheCallback(PROCOID, function_changed, (Datum) 0);
}
