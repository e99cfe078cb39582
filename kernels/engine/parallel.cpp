/* SPDX-License-Identifier: PostgreSQL
 *
 * parallel.cpp: spreading the steps of a phase over threads.
 *
 * Threads inherit the signal mask of the one that starts them; the builder's coordinator runs with all signals
 * blocked, hence so do these.
 */
#include "engine/parallel.h"

#include <exception>
#include <pthread.h>
#include <thread>

namespace rv
{

SignalsBlocked::SignalsBlocked()
{
	sigset_t	all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before_);
}

SignalsBlocked::~SignalsBlocked()
{
	pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void
Jobs::begin_phase(rv_phase phase, uint64_t total)
{
	done_.store(0, std::memory_order_relaxed);
	total_.store(total, std::memory_order_relaxed);
	phase_.store(phase, std::memory_order_relaxed);
}

void
Jobs::progress(rv_progress *out) const
{
	out->phase = static_cast<rv_phase>(phase_.load(std::memory_order_relaxed));
	out->total = total_.load(std::memory_order_relaxed);
	out->done = done_.load(std::memory_order_relaxed);
	if (out->done > out->total)
		out->done = out->total;
}

void
Jobs::check_cancelled() const
{
	if (cancelled())
		fail(RV_CANCELLED, "build was cancelled");
}

void
Jobs::for_each(uint32_t n, const std::function<void(int worker, uint32_t i)> &body)
{
	std::atomic<uint32_t> next{0};
	std::atomic<bool> stop{false};
	std::mutex	mutex;
	std::exception_ptr failure;
	std::vector<std::thread> others;

	auto work = [&](int worker) {
		try
		{
			while (!stop.load(std::memory_order_relaxed) && !cancelled())
			{
				const uint32_t i = next.fetch_add(1, std::memory_order_relaxed);

				if (i >= n)
					break;
				body(worker, i);
			}
		}
		catch (...)
		{
			std::lock_guard<std::mutex> guard(mutex);

			stop.store(true, std::memory_order_relaxed);
			if (!failure)
				failure = std::current_exception();
		}
	};

	/* Fewer threads than asked for is no failure: the work is shared by those that could be started. */
	for (int i = 1; i < threads_ && static_cast<uint32_t>(i) < n; i++)
	{
		try
		{
			others.emplace_back(work, i);
		}
		catch (...)
		{
			break;
		}
	}
	work(0);
	for (std::thread &thread : others)
		thread.join();
	if (failure)
		std::rethrow_exception(failure);
	check_cancelled();
}

}								/* namespace rv */
