/* SPDX-License-Identifier: PostgreSQL
 *
 * ivf.h: inverted lists: how nodes are divided among centroids, and the 1-bit codes by which a list is scanned.
 *
 * Nodes are numbered list by list, so a list is a range of nodes. A centroid is where a list is looked for; its anchor
 * is what the vectors of the list are coded against. Under L2 and cosine both are the mean of the list in the code
 * space. Under inner product the centroid is the mean direction of the vectors themselves, since the largest inner
 * products lie there, and the anchor the mean. Under Hamming a centroid is the bit string of what most of the list's
 * have, and there is no anchor; such a list is scanned by its vectors themselves.
 *
 * Scan codes: r = u - anchor is coded by its signs s in {-1, 1} (RaBitQ on residuals, arXiv 2405.12497, section 3):
 * <q, r> ~ f <q, s> with f = |r|^2 / sum|r|. So a key is
 *   L2, cosine   |q - u|^2 ~ [|q - a|^2] + (|r|^2 + 2 f <a, s>) - 2 f <q, s>
 *   IP           -<q, x>   ~ [-<q, c> - <Rq, a>]                -   f <q, s>
 * = constant of the list + base - slope <q, s>. Codes of 32 nodes make a block: float base[32], float slope[32], then
 * dims / 4 rows of 16 bytes as distance.h's fastscan reads them.
 */
#ifndef RV_IVF_H
#define RV_IVF_H

#include "engine/kmeans.h"
#include "engine/query.h"
#include "engine/records.h"
#include "engine/segment.h"

namespace rv
{

constexpr uint32_t SCAN_MIN_DIMS = 64;	/* below, a stored code is hardly longer than its scan code */

inline uint32_t
scan_rows(uint32_t dims)
{
	return (dims + 3) / 4;
}

inline size_t
scan_block_size(uint32_t dims)
{
	return 2 * RV_FASTSCAN_BLOCK * sizeof(float) + static_cast<size_t>(scan_rows(dims)) * 16;
}

/* Of a list of so many nodes; the last one may be partly filled. */
inline uint32_t
scan_blocks(uint32_t nodes)
{
	return (nodes + RV_FASTSCAN_BLOCK - 1) / RV_FASTSCAN_BLOCK;
}

bool		has_scan_codes(const rv_spec &spec);

/* Where a list builder writes. */
struct ListSections
{
	uint8_t    *centroids,
			   *offsets,
			   *scan,			/* NULL: no scan codes */
			   *codes;			/* stored records, in the order of the nodes */
};

/* Divides the nodes of a builder into lists. */
class ListBuilder
{
public:
	/* like: NULL, or an IVF segment whose centroids are taken over. */
	ListBuilder(const rv_spec &spec, const Model &model, const rv_segment *like);

	/* Lists taken over that have become stale are made anew, when that turns out to be worth it. */
	void		run(const Records &codes, Jobs *jobs);
	const rv_list_change &change() const { return change_; }
	uint32_t	lists() const { return static_cast<uint32_t>(offsets_.size()) - 1; }

	/* order()[position] = node as it was added; positions()[node] is its inverse. */
	const std::vector<uint32_t> &order() const { return order_; }
	const std::vector<uint32_t> &positions() const { return positions_; }

	size_t		centroids_size() const;
	size_t		offsets_size() const { return offsets_.size() * sizeof(uint32_t); }
	size_t		scan_size() const;
	void		write(const Records &codes, const Records &stored, Jobs *jobs, const ListSections &to);

	static size_t peak_bytes(uint64_t nodes, const rv_spec &spec);

private:
	void		train(const Records &codes, Jobs *jobs);
	void		train_bits(const Records &codes, uint32_t n, const KMeansOptions &options, Jobs *jobs);
	void		nearest(const Records &codes, uint32_t first, uint32_t n, uint32_t *list, float *apart) const;
	uint32_t	centroid_count() const { return is_bits_ ? bit_centroids_.count() : centroids_.count(); }
	std::vector<uint32_t> assign(const Records &codes, Jobs *jobs, ListFit *fit) const;
	bool		is_stale(const ListFit &now) const;
	void		reconsider(const Records &codes, Jobs *jobs, std::vector<uint32_t> *list, ListFit *fit);
	void		arrange(const std::vector<uint32_t> &list);
	void		set_bit_radius(const Records &codes, Jobs *jobs);
	void		set_anchors(const Records &codes, Jobs *jobs);
	void		point(const Records &codes, uint32_t node, float *out) const;
	void		write_list(const Records &codes, const Records &stored, uint32_t list, uint8_t *out, uint8_t *block);
	void		encode_scan(const float *r, float square, float sum, float along, uint32_t j, uint8_t *block) const;

	const rv_spec spec_,
				primary_;		/* of the records that it is given */
	const Model &model_;
	const bool	is_bits_;
	Centroids	centroids_;
	BitCentroids bit_centroids_;	/* instead, of bit strings */
	bool		trained_ = false;
	ListFit		fit_;			/* when they were trained */
	rv_list_change change_ = {};
	std::vector<float> anchors_;	/* as centroids_.values; IP only */
	std::vector<float> radius_;	/* >= |u - anchor| of every vector of the list */
	std::vector<uint32_t> offsets_,
				order_,
				positions_;
};

/* The lists of a query, nearest first, and keys by scan codes. */
class ListScanner
{
public:
	ListScanner(const rv_segment *segment, const DenseQuery &query);
	ListScanner(const rv_segment *segment, const std::vector<uint8_t> &bits);

	struct Range
	{
		uint32_t	begin,
					end;
	};

	uint32_t	lists() const { return static_cast<uint32_t>(order_.size()); }
	uint32_t	nearest(uint32_t rank) const { return order_[rank]; }
	Range		nodes(uint32_t list) const { return {view_.offsets[list], view_.offsets[list + 1]}; }
	bool		has_codes() const { return !luts_.empty(); }

	/* out: float[end - begin] of the list's nodes, as Scorer::keys estimates. */
	void		keys(uint32_t list, std::vector<float> *out) const;

	/* No vector of the list is within the radius, whatever the SQL function rounds. */
	bool		beyond(uint32_t list, double radius) const;

private:
	void		order_by(const std::vector<float> &key);
	void		make_tables();

	const rv_segment *segment_;
	const DenseQuery *query_;	/* NULL: bit strings */
	const ListsView &view_;
	std::vector<float> probe_,	/* <q, centroid>, by list; the Hamming distance of bit strings */
				anchor_;		/* <q, anchor> */
	std::vector<uint32_t> order_;
	std::vector<uint8_t> luts_;
	float		lut_step_ = 0,
				lut_base_ = 0;
};

}								/* namespace rv */

#endif							/* RV_IVF_H */
