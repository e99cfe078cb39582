/* SPDX-License-Identifier: PostgreSQL
 *
 * search.h: the state of a search between calls.
 *
 * Everything of a size that depends on the data lives in the scratch, which a caller may keep from one search to the
 * next. A search that is interrupted stays as it was before the step that it was about to take.
 */
#ifndef RV_SEARCH_H
#define RV_SEARCH_H

#include "engine/frontier.h"
#include "engine/ivf.h"
#include "engine/scorer.h"

namespace rv
{

/* A walk through the graph meets about so many nodes for each of ef: with no more there is nothing to walk for, and
 * reading them all in order misses none. */
constexpr uint32_t MET_PER_EF = 16;

/* So many admitted nodes of lists are read one by one rather than list by list. */
constexpr uint32_t FEW_ADMITTED = 16384;

struct Entry
{
	float		key;
	uint32_t	node;
};

/* A node of a batch: hit.slot is the next of its keys to be handed out. */
struct Found
{
	rv_hit		hit;
	uint32_t	end;
};

/* An object, not a function: what is given to an algorithm of the library is then part of its loop. */
struct Nearer
{
	bool
	operator()(const Entry &a, const Entry &b) const
	{
		return a.key != b.key ? a.key < b.key : a.node < b.node;
	}
};

constexpr Nearer nearer;

}								/* namespace rv */

struct rv_scratch
{
	std::vector<uint8_t> seen;	/* by node, == stamp: seen in this search */
	uint8_t		stamp = 0;
	rv::Frontier frontier;		/* seen, not expanded */
	std::vector<rv::Rank> reached;	/* expanded; rv_search::nearest_reached of them are a heap, farthest first */
	std::vector<rv::Entry> ranking;	/* lists: by scan codes, to be refined; of records in no segment the lowest */
	std::vector<rv::Entry> pool;	/* by stored codes; from emitted on: not yet returned */
	std::vector<rv::Entry> fences;	/* of the probed lists: earlier batches refined what is up to there */
	std::vector<float> keys;	/* of one list, or of all records in no segment */
	std::vector<rv::Found> found;	/* the current batch */

	void		begin(uint32_t nodes);
	void		next_stamp();
	size_t		bytes() const;
};

struct rv_search
{
	enum class Mode { graph, lists, flat, lowest, range };

	const rv_segment *segment = nullptr;
	rv_segment	rows;			/* records that are in no segment, as one */
	rv_search_options options = {};
	std::unique_ptr<rv::DenseQuery> query;
	std::unique_ptr<rv::Scorer> stored,
				traversal;		/* traversal may be NULL */
	std::unique_ptr<rv_scratch> own_scratch;
	rv_scratch *scratch = nullptr;
	rv_search_stats stats = {};
	Mode		mode = Mode::flat;
	double		radius = 0;

	/* graph */
	bool		entered = false;
	uint32_t	width = 0;		/* so many of the nearest seen are expanded */
	size_t		nearest_reached = 0;	/* 0, or width: the nearest of scratch->reached come first */
	size_t		refined = 0;	/* of the pool, entries before it have keys from the stored codes */

	/* lists; also range over lists */
	std::unique_ptr<rv::ListScanner> lists;
	uint32_t	probed = 0,		/* the list to be scanned next, by its rank; range: by its number */
				group_end = 0;	/* ranks of the lists in use */
	rv::Entry	ranked_end = {};	/* what is from here on in these lists is left for later batches */
	bool		ranking_cut = false;	/* there is something left for later ones */

	/* flat and range */
	uint32_t	next_node = 0;
	uint32_t	next_slot = 0;	/* where only some are admitted */
	bool		walked = false;	/* flat: what a walk has returned is marked as seen */

	/* batches */
	size_t		emitted = 0;	/* of the pool */
	size_t		goal = 0;		/* nodes returned at the end of the batch being made; of records: in it */
	size_t		found_at = 0;	/* of scratch->found: handed out before it */
	double		floor = -std::numeric_limits<double>::infinity();	/* no later hit has a lower distance */
	bool		in_batch = false;	/* being made, after an interrupt */

	void		begin(rv_element element, const rv_vector *vector, const rv::Model *model);
	void		prepare_dense(rv_element element, const rv_vector *vector, const rv::Model *model);
	rv_status	next(rv_hit *out, uint32_t capacity, uint32_t *count, bool *batch_end);

	bool		interrupted() const { return options.interrupt != nullptr && *options.interrupt != 0; }
	void		emit_node(uint32_t node);
	uint32_t	next_live(uint32_t slot, uint32_t end) const;
	uint32_t	hand_out(rv_hit *out, uint32_t capacity);

	/* Each makes one batch in scratch->found; *more: there may be another. False: interrupted. */
	bool		graph_batch(bool *more);
	bool		lists_batch(bool *more);
	bool		flat_batch(bool *more);
	bool		range_batch(bool *more);

private:
	struct UpperBeam;

	void		enter();
	void		walk_level(const rv::GraphLevel &level, UpperBeam *beam);
	bool		expanded_enough();
	void		note_reached(rv::Rank rank);
	bool		expand();
	void		leave_graph();
	void		trim_ranking(size_t room);
	size_t		few_nodes() const;
	void		scan_list(uint32_t list, const rv::Entry &fence, size_t room);
	void		refine_ranking();
	void		emit_best(size_t want);
	void		sort_found();
	void		read_stored(rv::Entry *entries, size_t n);
	void		emit_surely(size_t want);
	uint32_t	admitted_nodes(uint32_t *nodes, uint32_t room);
	void		read_nodes(const uint32_t *nodes, uint32_t n);
	bool		read_lowest();
	void		pool_the_rest();
	bool		lowest_batch(bool *more);
	bool		done_ = false;
};

#endif							/* RV_SEARCH_H */
