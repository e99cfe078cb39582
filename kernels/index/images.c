/* SPDX-License-Identifier: PostgreSQL
 *
 * images.c: segments as flat memory. Each segment's bytes are copied once from its pages to a file under the data
 * directory and mapped read-only by every backend that searches it.
 *
 * An image is a cache and never trusted further than it can be checked. Its name and header carry the segment's random
 * uid, so an image of another index, segment or timeline is not taken for this one. The header also carries when the
 * postmaster that checked it was started, and the file's time of modification is set to that moment: under the same
 * postmaster, with the same time, the file is as it was written, since it only gets its name when complete. Under a
 * later one (there may have been a crash of the machine, files are not synced), or when anyone wrote to it since, its
 * CRC32C is computed first. A wrong image is deleted and made again.
 *
 * The directory's name begins with pgsql_tmp: base backups, pg_rewind and pg_checksums leave such directories out.
 * An image is deleted when its segment goes; one that was left behind (a dropped index, a crash, an aborted build, a merge
 * that a standby replayed) is found by sweep.c.
 *
 * Images of temporary indexes are anonymous memory. References are counted per backend.
 */
#include "internal.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define IMAGE_MAGIC UINT64CONST(0x52564D4147453031)
#define IMAGE_OFFSET 4096		/* of the bytes: a page, so that they are aligned to 64 */
#define COMPARED_AT_ONCE ((size_t) 4 * 1024 * 1024)	/* bytes between two looks for interrupts: milliseconds */

typedef struct ImageHeader
{
	uint64		magic;
	uint64		uid;
	uint64		bytes;
	TimestampTz checked_under;	/* PgStartTime of the postmaster under which the CRC was last known to hold */
	uint32		crc;			/* of the bytes */
	uint32		header_crc;		/* of uid, bytes and crc */
} ImageHeader;

static HTAB *images = NULL;		/* uid → ImageSlot */

typedef struct ImageSlot
{
	uint64		uid;
	RvImage    *image;
} ImageSlot;

static uint32
header_crc(const ImageHeader *header)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, &header->uid, sizeof(header->uid));
	COMP_CRC32C(crc, &header->bytes, sizeof(header->bytes));
	COMP_CRC32C(crc, &header->crc, sizeof(header->crc));
	FIN_CRC32C(crc);
	return crc;
}

uint32
rv_bytes_crc(const void *bytes, size_t size)
{
	pg_crc32c	crc;
	const char *at = bytes;

	INIT_CRC32C(crc);
	while (size > 0)
	{
		size_t		part = Min(size, (size_t) 16 * 1024 * 1024);

		CHECK_FOR_INTERRUPTS();
		COMP_CRC32C(crc, at, part);
		at += part;
		size -= part;
	}
	FIN_CRC32C(crc);
	return crc;
}

static void
image_path(char path[MAXPGPATH], Relation index, uint64 uid)
{
	snprintf(path, MAXPGPATH, "%s/%u/%u_%u_%016llx", RV_IMAGE_DIRECTORY, RV_DBOID(index), RV_SPCOID(index),
			 (unsigned) RV_RELNUMBER(index), (unsigned long long) uid);
}

static void
make_directories(Relation index)
{
	char		path[MAXPGPATH];

	if (MakePGDirectory(RV_IMAGE_DIRECTORY) != 0 && errno != EEXIST)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not create directory \"%s\": %m", RV_IMAGE_DIRECTORY)));
	snprintf(path, MAXPGPATH, "%s/%u", RV_IMAGE_DIRECTORY, RV_DBOID(index));
	if (MakePGDirectory(path) != 0 && errno != EEXIST)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not create directory \"%s\": %m", path)));
}

static void
write_all(int fd, const char *bytes, size_t size, off_t offset, const char *path)
{
	while (size > 0)
	{
		ssize_t		done;

		CHECK_FOR_INTERRUPTS();
		errno = 0;
		done = pwrite(fd, bytes, Min(size, (size_t) 8 * 1024 * 1024), offset);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
		{
			if (errno == 0)
				errno = ENOSPC;
			ereport(ERROR, (errcode_for_file_access(), errmsg("could not write to file \"%s\": %m", path)));
		}
		bytes += done;
		offset += done;
		size -= done;
	}
}

/* Marks an open image as checked under this postmaster; after this, any other write to it shows in its time. */
static bool
mark_checked(int fd)
{
	const struct timespec time = {.tv_sec = PgStartTime / USECS_PER_SEC, .tv_nsec = PgStartTime % USECS_PER_SEC * 1000};
	const struct timespec times[2] = {time, time};

	return futimens(fd, times) == 0;
}

static bool
is_marked(const struct stat *st)
{
	return st->st_mtim.tv_sec == PgStartTime / USECS_PER_SEC &&
		st->st_mtim.tv_nsec == PgStartTime % USECS_PER_SEC * 1000;
}

/* Writes the file under a temporary name and gives it its own when complete. */
static void
write_image(Relation index, const RvSegmentEntry *entry, const void *bytes)
{
	char		path[MAXPGPATH];
	char		temporary[MAXPGPATH + 32];
	ImageHeader header;
	int			fd;

	make_directories(index);
	image_path(path, index, entry->uid);
	snprintf(temporary, sizeof(temporary), "%s.%d.tmp", path, MyProcPid);
	memset(&header, 0, sizeof(header));
	header.magic = IMAGE_MAGIC;
	header.uid = entry->uid;
	header.bytes = entry->bytes;
	header.checked_under = PgStartTime;
	header.crc = entry->crc;
	header.header_crc = header_crc(&header);

	fd = OpenTransientFile(temporary, O_RDWR | O_CREAT | O_TRUNC | PG_BINARY);
	if (fd < 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not create file \"%s\": %m", temporary)));
	PG_TRY();
	{
		write_all(fd, (const char *) &header, sizeof(header), 0, temporary);
		write_all(fd, bytes, entry->bytes, IMAGE_OFFSET, temporary);
		if (!mark_checked(fd))
			ereport(ERROR, (errcode_for_file_access(), errmsg("could not set the time of file \"%s\": %m", temporary)));
		if (CloseTransientFile(fd) != 0)
			ereport(ERROR, (errcode_for_file_access(), errmsg("could not close file \"%s\": %m", temporary)));
		if (rename(temporary, path) != 0)
			ereport(ERROR,
					(errcode_for_file_access(), errmsg("could not rename file \"%s\" to \"%s\": %m", temporary, path)));
	}
	PG_CATCH();
	{
		unlink(temporary);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/* Whether a mapped file is the image of this segment. Unmaps it when interrupted. */
static bool
is_image_of(void *map, size_t map_size, const RvSegmentEntry *entry, bool checked)
{
	const ImageHeader *header = map;
	volatile bool right = false;

	if (header->magic != IMAGE_MAGIC || header->uid != entry->uid || header->bytes != entry->bytes ||
		header->crc != entry->crc || header->header_crc != header_crc(header))
		return false;
	if (checked)
		return true;
	PG_TRY();
	{
		right = rv_bytes_crc((char *) map + IMAGE_OFFSET, entry->bytes) == entry->crc;
	}
	PG_CATCH();
	{
		munmap(map, map_size);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return right;
}

/* Maps the file when it is there and right. *map_size: of the mapping. */
static void *
map_image(Relation index, const RvSegmentEntry *entry, size_t *map_size)
{
	char		path[MAXPGPATH];
	struct stat st;
	void	   *map;
	bool		checked;
	int			fd;

	image_path(path, index, entry->uid);
	fd = OpenTransientFile(path, O_RDWR | PG_BINARY);
	if (fd < 0)
	{
		if (errno != ENOENT)
			ereport(ERROR, (errcode_for_file_access(), errmsg("could not open file \"%s\": %m", path)));
		return NULL;
	}
	*map_size = IMAGE_OFFSET + entry->bytes;
	if (fstat(fd, &st) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not stat file \"%s\": %m", path)));
	if ((uint64) st.st_size != *map_size)
	{
		CloseTransientFile(fd);
		goto wrong;
	}
	map = mmap(NULL, *map_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not map file \"%s\": %m", path)));
	checked = ((ImageHeader *) map)->checked_under == PgStartTime && is_marked(&st);
	if (!is_image_of(map, *map_size, entry, checked))
	{
		CloseTransientFile(fd);
		munmap(map, *map_size);
		goto wrong;
	}
	/* a mark that cannot be made costs the next who maps the file a check, no more */
	if (!checked &&
		(pwrite(fd, &PgStartTime, sizeof(PgStartTime), offsetof(ImageHeader, checked_under)) != sizeof(PgStartTime) ||
		 !mark_checked(fd)))
		ereport(LOG, (errcode_for_file_access(), errmsg("could not mark file \"%s\" as checked: %m", path)));
	CloseTransientFile(fd);
	return map;

wrong:
	ereport(LOG, (errmsg("image \"%s\" of index \"%s\" is not valid and will be made again", path,
						 RelationGetRelationName(index))));
	unlink(path);
	return NULL;
}

/* Anonymous memory with the layout of an image. */
static void *
allocate_map(const RvSegmentEntry *entry, size_t *map_size)
{
	void	   *map;

	*map_size = IMAGE_OFFSET + entry->bytes;
	map = mmap(NULL, *map_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory"),
				 errdetail("Failed on a request of %zu bytes for the image of a segment.", *map_size)));
	return map;
}

/* The bytes from the pages, in anonymous memory. NULL: the pages are not the segment's (any more). */
static void *
read_segment(Relation index, const RvSegmentEntry *entry, size_t *map_size)
{
	void	   *volatile map = allocate_map(entry, map_size);
	volatile bool right = false;
	BlockNumber bad;

	PG_TRY();
	{
		right = rv_run_read(index, RV_PAGE_SEGMENT, entry->uid, entry->run, (char *) map + IMAGE_OFFSET, entry->bytes,
							&bad) &&
			rv_bytes_crc((char *) map + IMAGE_OFFSET, entry->bytes) == entry->crc;
	}
	PG_CATCH();
	{
		munmap(map, *map_size);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (right)
		return map;
	munmap(map, *map_size);
	return NULL;
}

static void *
materialise(Relation index, const RvSegmentEntry *entry, const void *bytes, size_t *map_size, bool *in_memory)
{
	void	   *volatile map = NULL;

	*in_memory = RelationUsesLocalBuffers(index);
	if (!*in_memory && bytes == NULL)
		map = map_image(index, entry, map_size);
	if (map != NULL)
		return map;
	if (bytes != NULL && *in_memory)
	{
		map = allocate_map(entry, map_size);
		memcpy((char *) map + IMAGE_OFFSET, bytes, entry->bytes);
		return map;
	}
	if (bytes == NULL)
	{
		map = read_segment(index, entry, map_size);
		if (map == NULL || *in_memory)
			return map;
	}
	PG_TRY();
	{
		rv_image_sweep(index);
		write_image(index, entry, bytes != NULL ? bytes : (char *) map + IMAGE_OFFSET);
	}
	PG_FINALLY();
	{
		if (map != NULL)
			munmap(map, *map_size);
	}
	PG_END_TRY();
	map = map_image(index, entry, map_size);
	if (map == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_IO_ERROR),
				 errmsg("could not read back the image of a segment of index \"%s\"", RelationGetRelationName(index))));
	return map;
}

RvImage *
rv_image_open(Relation index, const RvSegmentEntry *entry, const void *bytes)
{
	ImageSlot  *slot;
	RvImage    *image;
	void	   *map;
	size_t		map_size = 0;
	bool		in_memory;
	bool		found;
	rv_error	error;
	rv_segment *segment;
	rv_status	status;

	if (images == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(uint64), .entrysize = sizeof(ImageSlot)};

		images = hash_create("ruvector images", 64, &control, HASH_ELEM | HASH_BLOBS);
	}
	slot = hash_search(images, &entry->uid, HASH_FIND, NULL);
	if (slot != NULL)
	{
		slot->image->refs++;
		return slot->image;
	}
	map = materialise(index, entry, bytes, &map_size, &in_memory);
	if (map == NULL)
		return NULL;
	status = rv_segment_open((char *) map + IMAGE_OFFSET, entry->bytes, 0, &segment, &error);
	if (status != RV_OK)
	{
		munmap(map, map_size);
		rv_report(status, &error, index);
	}
	image = MemoryContextAllocExtended(TopMemoryContext, sizeof(RvImage), MCXT_ALLOC_NO_OOM | MCXT_ALLOC_ZERO);
	slot = image == NULL ? NULL : hash_search(images, &entry->uid, HASH_ENTER_NULL, &found);
	if (slot == NULL)
	{
		if (image != NULL)
			pfree(image);
		rv_segment_close(segment);
		munmap(map, map_size);
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
	image->uid = entry->uid;
	image->refs = 1;
	image->map = map;
	image->map_size = map_size;
	image->segment = segment;
	image->in_memory = in_memory;
	rv_segment_info_get(segment, &image->info);
	slot->image = image;
	return image;
}

/* Unmaps the image when interrupted. */
static bool
differs(void *map, size_t map_size, const void *bytes)
{
	volatile bool differ = false;

	PG_TRY();
	{
		for (size_t done = IMAGE_OFFSET; done < map_size && !differ; done += COMPARED_AT_ONCE)
		{
			CHECK_FOR_INTERRUPTS();
			differ = memcmp((char *) map + done, (const char *) bytes + done - IMAGE_OFFSET,
							Min(map_size - done, COMPARED_AT_ONCE)) != 0;
		}
	}
	PG_CATCH();
	{
		munmap(map, map_size);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return differ;
}

const char *
rv_image_check(Relation index, const RvSegmentEntry *entry, const void *bytes)
{
	char		path[MAXPGPATH];
	struct stat st;
	const char *problem = NULL;
	void	   *map;
	int			fd;

	image_path(path, index, entry->uid);
	fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	if (fd < 0)
		return errno == ENOENT ? NULL : "the image cannot be opened";
	if (fstat(fd, &st) != 0 || (uint64) st.st_size != IMAGE_OFFSET + entry->bytes)
		problem = "the image has the wrong size";
	else if ((map = mmap(NULL, st.st_size, PROT_READ, MAP_SHARED, fd, 0)) == MAP_FAILED)
		problem = "the image cannot be mapped";
	else
	{
		const ImageHeader *header = map;

		if (header->magic != IMAGE_MAGIC || header->uid != entry->uid || header->crc != entry->crc ||
			header->header_crc != header_crc(header))
			problem = "the image has the wrong header";
		else if (differs(map, st.st_size, bytes))
			problem = "the image differs from the pages";
		munmap(map, st.st_size);
	}
	CloseTransientFile(fd);
	return problem;
}

void
rv_image_release(RvImage *image)
{
	if (--image->refs > 0)
		return;
	hash_search(images, &image->uid, HASH_REMOVE, NULL);
	rv_segment_close(image->segment);
	munmap(image->map, image->map_size);
	pfree(image);
}

void
rv_image_unlink(Relation index, uint64 uid)
{
	char		path[MAXPGPATH];

	if (RelationUsesLocalBuffers(index))
		return;
	image_path(path, index, uid);
	if (unlink(path) != 0 && errno != ENOENT)
		ereport(LOG, (errcode_for_file_access(), errmsg("could not remove file \"%s\": %m", path)));
}

Size
rv_image_mapped_bytes(int *count)
{
	HASH_SEQ_STATUS status;
	ImageSlot  *slot;
	Size		total = 0;

	*count = 0;
	if (images == NULL)
		return 0;
	hash_seq_init(&status, images);
	while ((slot = hash_seq_search(&status)) != NULL)
	{
		total += slot->image->map_size;
		(*count)++;
	}
	return total;
}
