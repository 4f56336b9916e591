/* Runs a fuzz target over the files that are named, and over those in the folders that are. */
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "fuzz.h"

static unsigned replayed;

static void replay_file(const char *path)
{
	FILE *f = fopen(path, "re");
	struct stat st;
	uint8_t *data;

	if (!f || fstat(fileno(f), &st) != 0 || st.st_size > 64 << 20) {
		fprintf(stderr, "%s: cannot be read\n", path);
		exit(1);
	}
	data = malloc((size_t)st.st_size); /* exact: reading behind it is seen */
	if ((!data && st.st_size) || fread(data, 1, (size_t)st.st_size, f) != (size_t)st.st_size)
		exit(1);
	fclose(f);
	LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
	free(data);
	replayed++;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		DIR *d = opendir(argv[i]);
		char path[4096];

		if (!d)
			replay_file(argv[i]);
		for (struct dirent *e; d && (e = readdir(d));) {
			snprintf(path, sizeof(path), "%s/%s", argv[i], e->d_name);
			if (e->d_name[0] != '.')
				replay_file(path);
		}
		if (d)
			closedir(d);
	}
	printf("%u inputs\n", replayed);
	if (!replayed)
		return 1;
	/* as a cmocka test, for whoever counts them */
	printf("[       OK ] corpus\n");
	return 0;
}
