/* SPDX-License-Identifier: PostgreSQL
 *
 * internal.h: what every engine file shares: failures, the wall to C, small numeric helpers.
 *
 * Inside the engine an error is thrown as a Failure (or std::bad_alloc); `guarded` at each C entry point turns it
 * into a status and a message. Nothing else catches, except the workers of a builder, which hand the first failure
 * to the thread that polls.
 */
#ifndef RV_INTERNAL_H
#define RV_INTERNAL_H

#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>
#include <vector>

#include "distance/distance.h"
#include "engine/engine.h"

namespace rv
{

struct Failure
{
	rv_status	status;
	char		message[256];
};

[[noreturn]] void fail(rv_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The message of the exception being handled, and its status. */
rv_status	describe_exception(rv_error *error) noexcept;

/* The caller's flag, for what takes long and need not go on from where it was. */
class Interrupts
{
public:
	explicit Interrupts(const volatile sig_atomic_t *flag) : flag_(flag) {}

	void
	look() const
	{
		if (flag_ != nullptr && *flag_ != 0)
			fail(RV_INTERRUPTED, "interrupted");
	}

	/* At every so many of a count: at most a few milliseconds, where each of a node's links is a cache miss. */
	void
	look_at(uint32_t count) const
	{
		if (count % 4096 == 0)
			look();
	}

private:
	const volatile sig_atomic_t *flag_;
};

/* Runs body, which returns a status, and lets nothing out. */
template <typename Body>
rv_status
guarded(rv_error *error, Body &&body) noexcept
{
	if (error != nullptr)
		error->message[0] = '\0';
	try
	{
		return body();
	}
	catch (...)
	{
		return describe_exception(error);
	}
}

constexpr uint32_t NO_ID = UINT32_MAX;
constexpr double FLOAT_EPSILON = 1.0 / (1 << 24);	/* half an ulp of 1: relative error of one float operation */
constexpr double FLOAT_SAFE = 1e37;	/* sums below it cannot overflow float32 at 16000 dims when it bounds the sum */
constexpr float INF = std::numeric_limits<float>::infinity();

/* Nearest floats that are not above, not below. */
inline float
float_down(double x)
{
	float		f = static_cast<float>(x);

	return static_cast<double>(f) > x ? std::nextafterf(f, -INF) : f;
}

inline float
float_up(double x)
{
	float		f = static_cast<float>(x);

	return static_cast<double>(f) < x ? std::nextafterf(f, INF) : f;
}

inline size_t
round_up(size_t n, size_t unit)
{
	return (n + unit - 1) / unit * unit;
}

/* A well mixed 64-bit function of its argument. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number
 * generators", 2014 (splitmix64). */
inline uint64_t
mix64(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/* Reads of fields at any alignment. */
template <typename T>
inline T
load(const void *from)
{
	T			value;

	memcpy(&value, from, sizeof(T));
	return value;
}

}								/* namespace rv */

#endif							/* RV_INTERNAL_H */
