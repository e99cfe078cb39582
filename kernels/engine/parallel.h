/* SPDX-License-Identifier: PostgreSQL
 *
 * parallel.h: worker threads of a builder: started per phase, cancelled by a flag, failures carried to the caller.
 */
#ifndef RV_PARALLEL_H
#define RV_PARALLEL_H

#include <atomic>
#include <csignal>
#include <functional>
#include <mutex>

#include "engine/internal.h"

namespace rv
{

/* Signals belong to the caller's thread, and threads inherit its mask: while they are started, everything is blocked. */
class SignalsBlocked
{
public:
	SignalsBlocked();
	~SignalsBlocked();
	SignalsBlocked(const SignalsBlocked &) = delete;
	SignalsBlocked &operator=(const SignalsBlocked &) = delete;

private:
	sigset_t	before_;
};

class Jobs
{
public:
	explicit Jobs(int threads) : threads_(threads < 1 ? 1 : threads) {}

	int			threads() const { return threads_; }
	void		cancel() { cancelled_.store(true, std::memory_order_relaxed); }
	bool		cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

	/* What the poller sees. */
	void		begin_phase(rv_phase phase, uint64_t total);
	void		advance(uint64_t n) { done_.fetch_add(n, std::memory_order_relaxed); }
	void		progress(rv_progress *out) const;

	/* Calls body(worker, i) once for every i in [0, n), spread over the threads (this one among them); i are handed
	 * out in order. Returns when all are done or one failed (rethrown) or the jobs are cancelled (RV_CANCELLED). */
	void		for_each(uint32_t n, const std::function<void(int worker, uint32_t i)> &body);

	void		check_cancelled() const;

private:
	const int	threads_;
	std::atomic<bool> cancelled_{false};
	std::atomic<int> phase_{RV_PHASE_LOADING};
	std::atomic<uint64_t> done_{0},
				total_{0};
};

}								/* namespace rv */

#endif							/* RV_PARALLEL_H */
