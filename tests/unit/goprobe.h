/*
 * Go programs to test on: the probes in $WHYRSS_PROBES (default /tmp/probes), and programs of
 * tests/unit/go that a test builds there with the toolchains of the module cache, else with the
 * local one. Nothing is fetched. Each function says what is missing by returning false.
 */
#ifndef TESTS_GOPROBE_H
#define TESTS_GOPROBE_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"

static inline const char *probe_dir(void)
{
	const char *s = getenv("WHYRSS_PROBES");

	return s ? s : "/tmp/probes";
}

/* Names of all probes ("go1.26.8", "go1.25.3+greenteagc"), sorted. */
static inline uint32_t probe_list(struct arena *a, char ***ret)
{
	struct dirent **entries;
	int n = scandir(probe_dir(), &entries, NULL, alphasort);
	uint32_t kept = 0;

	*ret = ARENA_ARRAY(a, char *, MAX(n, 1));
	for (int i = 0; i < n; i++) {
		if (strncmp(entries[i]->d_name, "go1.", 4) == 0)
			(*ret)[kept++] = arena_strdup(a, entries[i]->d_name);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return kept;
}

static inline bool is_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* Where the Go tree of a release ("1.26.8") is on this machine. */
static inline bool go_root(const char *release, char *to, size_t size)
{
	char line[256];
	FILE *f = popen("go env GOVERSION GOROOT GOMODCACHE 2>/dev/null", "r");
	char version[256] = "", root[256] = "", cache[256] = "";

	if (!f)
		return false;
	for (char *at[] = {version, root, cache, NULL}, **p = at;
	     *p && fgets(line, sizeof(line), f); p++) {
		line[strcspn(line, "\n")] = '\0';
		strcpy(*p, line);
	}
	pclose(f);
	if (strncmp(version, "go", 2) == 0 && strcmp(version + 2, release) == 0)
		snprintf(to, size, "%s", root);
	else
		snprintf(to, size, "%s/golang.org/toolchain@v0.0.1-go%s.linux-amd64", cache,
			 release);
	snprintf(line, sizeof(line), "%s/bin/go", to);
	return is_file(line);
}

/*
 * Builds tests/unit/go/NAME.go with a release's toolchain, unless what was built last is newer
 * than its source. ret_path has room for 512 bytes.
 */
static inline bool go_program(const char *name, const char *release, char *ret_path)
{
	char root[512], source[512], command[2560];
	const char *tests = getenv("WHYRSS_TESTS");
	struct stat from, built;

	snprintf(source, sizeof(source), "%s/unit/go/%s.go", tests ? tests : "tests", name);
	if (stat(source, &from) != 0)
		return false;
	snprintf(ret_path, 512, "%s/tests/%s-%s", probe_dir(), name, release);
	if (stat(ret_path, &built) == 0 && built.st_mtime >= from.st_mtime)
		return true;
	if (!go_root(release, root, sizeof(root)))
		return false;
	/* goindex: the package index of 1.19 fails on a GOROOT in a module cache. */
	snprintf(command, sizeof(command),
		 "mkdir -p '%s/tests' && cd / && GODEBUG=%s GOROOT='%s' GOTOOLCHAIN=local "
		 "GO111MODULE=off CGO_ENABLED=0 "
		 "'%s/bin/go' build -o '%s.%d' '%s' && mv '%s.%d' '%s'",
		 probe_dir(), strncmp(release, "1.19", 4) == 0 ? "goindex=0" : "", root, root,
		 ret_path, (int)getpid(), source, ret_path, (int)getpid(), ret_path);
	return system(command) == 0;
}

#endif
