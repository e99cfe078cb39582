/* SPDX-License-Identifier: PostgreSQL
 *
 * failure.cpp: how a failure inside the engine becomes a status and a message for C.
 */
#include "engine/internal.h"

#include <system_error>

namespace rv
{

void
fail(rv_status status, const char *format, ...)
{
	Failure		failure;
	va_list		args;

	failure.status = status;
	va_start(args, format);
	vsnprintf(failure.message, sizeof(failure.message), format, args);
	va_end(args);
	throw failure;
}

rv_status
describe_exception(rv_error *error) noexcept
{
	rv_status	status = RV_INVALID;
	const char *text = "unexpected failure in the engine";
	Failure		copy;

	try
	{
		throw;
	}
	catch (const Failure &failure)
	{
		copy = failure;
		status = copy.status;
		text = copy.message;
	}
	catch (const std::bad_alloc &)
	{
		status = RV_NO_MEMORY;
		text = "out of memory";
	}
	catch (const std::length_error &)
	{
		status = RV_NO_MEMORY;
		text = "out of memory";
	}
	catch (const std::system_error &)
	{
		status = RV_NO_MEMORY;
		text = "could not start a thread";
	}
	catch (...)
	{
	}
	if (error != nullptr)
		snprintf(error->message, sizeof(error->message), "%s", text);
	return status;
}

}								/* namespace rv */
