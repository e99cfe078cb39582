/* SPDX-License-Identifier: PostgreSQL
 *
 * fuzz_main.c: runs fuzz_types.c without a fuzzer: every file of a corpus directory, and then mutations of them from a
 * seed. Usage: fuzz_types DIRECTORY SEED MUTATIONS
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_FILES	2000
#define MAX_SIZE	4096

static uint8_t files[MAX_FILES][MAX_SIZE];
static size_t sizes[MAX_FILES];

static uint64_t state;

/* xorshift64 (Marsaglia 2003) */
static uint32_t
below(uint32_t limit)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t) ((state >> 16) % limit);
}

static int
read_corpus(const char *directory)
{
	DIR		   *folder = opendir(directory);
	struct dirent *entry;
	int			n = 0;

	if (folder == NULL)
		return 0;
	while ((entry = readdir(folder)) != NULL && n < MAX_FILES)
	{
		char		path[1024];
		FILE	   *file;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		file = fopen(path, "rb");
		if (file == NULL)
			continue;
		sizes[n] = fread(files[n], 1, MAX_SIZE, file);
		fclose(file);
		n++;
	}
	closedir(folder);
	return n;
}

/* Change a few bytes, cut, repeat a part, or take a part of another file. */
static size_t
mutate(int n, uint8_t *out)
{
	static const char pool[] = "[]{},:/.eE+-0123456789 \t\0naifx";
	int			chosen = (int) below((uint32_t) n);
	size_t		size = sizes[chosen];

	memcpy(out, files[chosen], size);
	for (uint32_t k = below(4) + 1; k > 0; k--)
	{
		size_t		at = size > 0 ? below((uint32_t) size) : 0;
		int			other = (int) below((uint32_t) n);

		switch (below(5))
		{
			case 0:
				if (size > 0)
					out[at] = (uint8_t) below(256);
				break;
			case 1:
				if (size > 0)
					out[at] = (uint8_t) pool[below(sizeof(pool) - 1)];
				break;
			case 2:
				size = at;
				break;
			case 3:
				if (size > 0 && size * 2 <= MAX_SIZE)
				{
					memmove(out + size, out + at, size - at);
					size += size - at;
				}
				break;
			default:
				if (sizes[other] > 2 && size + sizes[other] <= MAX_SIZE)
				{
					memcpy(out + size, files[other] + 2, sizes[other] - 2);
					size += sizes[other] - 2;
				}
		}
	}
	return size;
}

int
main(int argc, char **argv)
{
	static uint8_t data[MAX_SIZE];
	int			n;
	long		mutations;

	if (argc != 4 || (n = read_corpus(argv[1])) == 0)
	{
		fprintf(stderr, "usage: %s DIRECTORY SEED MUTATIONS; the directory must hold a corpus\n", argv[0]);
		return 2;
	}
	state = strtoull(argv[2], NULL, 10) | 1;
	mutations = strtol(argv[3], NULL, 10);
	for (int i = 0; i < n; i++)
		LLVMFuzzerTestOneInput(files[i], sizes[i]);
	for (long i = 0; i < mutations; i++)
		LLVMFuzzerTestOneInput(data, mutate(n, data));
	printf("%d files and %ld mutations, seed %s\n", n, mutations, argv[2]);
	return 0;
}
