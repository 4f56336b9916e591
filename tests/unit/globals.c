/*
 * A tool of the tests: opens a process twice, once with the symbol table of its program and once as
 * if there was none, and prints what each way says about each of the runtime's variables as JSON.
 * usage: globals PID
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "goruntime/find.h"

/* CPU time: the machines of the tests are shared. */
static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static struct go_session *open_session(int pid, bool hide, struct arena *a, struct target **t,
				       double *ms)
{
	struct err err = {0};
	struct go_session *g = NULL;
	if (live_open(pid, &(struct live_options){0}, t, &err) && target_facts(*t, a, &err)) {
		(*t)->hide_symbols = hide;
		*ms = now_ms();
		if (!go_open(*t, a, &g, &err))
			g = NULL;
		*ms = now_ms() - *ms;
	}
	if (g == NULL)
		fprintf(stderr, "%s\n", err.msg);
	return g;
}

int main(int argc, char **argv)
{
	static const char *const how[] = {"not", "symbol", "both", "scan", "code"};
	struct arena a[2];
	struct target *t[2] = {NULL, NULL};
	struct go_session *g[2];
	double ms[2] = {0, 0};
	if (argc != 2)
		return 2;
	for (int i = 0; i < 2; i++) {
		arena_init(&a[i], 0);
		g[i] = open_session(atoi(argv[1]), i == 1, &a[i], &t[i], &ms[i]);
	}
	if (g[1] == NULL)
		return 1;
	printf("{\"go\": \"%s\", \"layout\": \"%s\", \"ms\": [%.2f, %.2f], \"symbols\": {\n",
	       g[1]->release.text, g[1]->layout_from, ms[0], ms[1]);
	for (uint32_t i = 0; i < N_SYMBOL_ROWS; i++) {
		const struct found *v = &g[1]->found->v[i];
		bool told =
			g[0] != NULL && (!g[0]->stripped || g[0]->found->v[i].how == FOUND_SYMBOL);
		printf("\"%s\": {\"required\": %s, \"since\": %d, \"symbol\": %llu, \"scan\": "
		       "%llu, "
		       "\"places\": %u, \"code\": %llu, \"witnesses\": %u, \"contradicted\": %u, "
		       "\"how\": \"%s\", \"believed\": %llu}%s\n",
		       SYMBOL_ROWS[i].id, SYMBOL_ROWS[i].required ? "true" : "false",
		       find_since((enum symbol_index)i),
		       (unsigned long long)(told ? symbols_array(&g[0]->sym)[i] : 0),
		       (unsigned long long)v->scan, v->places, (unsigned long long)v->code,
		       v->witnesses, v->contradicted, how[v->how],
		       (unsigned long long)symbols_array(&g[1]->sym)[i],
		       i + 1 < N_SYMBOL_ROWS ? "," : "");
	}
	printf("}}\n");
	for (int i = 0; i < 2; i++) {
		target_close(t[i]);
		arena_free(&a[i]);
	}
	return 0;
}
