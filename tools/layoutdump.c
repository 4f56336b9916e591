/*
 * Prints the layout that layout_dwarf finds in each ELF file of the command line, for
 * tools/record-layouts: "file PATH", then "ID OFFSET WIDTH" a field, or "error TEXT".
 * Built without the records, so that it builds whatever state they are in.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "goruntime/layout.h"

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		CLEANUP(cleanup_fd) int fd = open(argv[i], O_RDONLY | O_CLOEXEC);
		struct layout l;
		struct err err = {0};

		printf("file %s\n", argv[i]);
		if (fd < 0) {
			printf("error %s\n", strerror(errno));
			continue;
		}
		if (!layout_dwarf(fd, &l, &err)) {
			printf("error %s\n", err.msg);
			continue;
		}
		for (uint32_t k = 0; k < N_FIELD_ROWS; k++)
			printf("%s %u %u\n", FIELD_ROWS[k].id, layout_fields(&l)[k].off,
			       layout_fields(&l)[k].width);
	}
	return 0;
}
