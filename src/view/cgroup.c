/* The Go processes of a cgroup in brief: what the container counts, then one line for each. */
#include "base/unit.h"
#include "view/view.h"

enum { COL_PID, COL_NAME, COL_RSS, COL_PROFILE, COL_GAP, COL_CAUSE };
static const struct column COLUMNS[] = {
	[COL_PID] = {"pid", "pid", COLUMN_ID, 0},
	[COL_NAME] = {"program", "program", COLUMN_TEXT, 0},
	[COL_RSS] = {"rss", "RSS MiB", COLUMN_MIB, 0},
	[COL_PROFILE] = {"profile", "profile", COLUMN_MIB, 0},
	[COL_GAP] = {"gap", "gap", COLUMN_MIB, 0},
	[COL_CAUSE] = {"cause", "first cause", COLUMN_PROSE, 0},
};

void cgroup_report(const char *asked, const struct cgroup_facts *c, uint32_t n_failed,
		   const struct cgroup_process *v, uint32_t n, struct report *ret)
{
	struct arena *a = ret->mem;
	struct table *t = TABLE_NEW(a, COLUMNS);
	struct block *b = report_block(ret, BLOCK_HEADLINE,
				       arena_printf(a, "cgroup %s", c ? c->path : asked));
	char text[UNIT_TEXT];
	struct err err;

	block_item(ret, b,
		   arena_printf(a, "%u Go process%s", n + n_failed, n + n_failed == 1 ? "" : "es"));
	if (c) {
		report_block(ret, BLOCK_TEXT, container_line(a, c));
		b = report_block(ret, BLOCK_ITEMS, NULL);
		block_item(ret, b, arena_printf(a, "anonymous %s", unit_bytes(text, c->anon)));
		block_item(ret, b, arena_printf(a, "page cache %s", unit_bytes(text, c->file)));
		block_item(ret, b, arena_printf(a, "kernel %s", unit_bytes(text, c->kernel)));
		block_item(ret, b, arena_printf(a, "%u processes in all", c->processes));
	}
	for (uint32_t i = 0; i < n; i++) {
		struct row *row = table_row(a, t, 0);

		row->cells[COL_PID] = value_int(v[i].pid);
		row->cells[COL_NAME] = value_str(v[i].program);
		row->cells[COL_RSS] = value_uint_if(v[i].rss_known, v[i].rss);
		row->cells[COL_PROFILE] = value_int_if(v[i].profile_known, v[i].profile);
		row->cells[COL_GAP] = value_int_if(v[i].rss_known && v[i].profile_known,
						   (int64_t)v[i].rss - v[i].profile);
		row->cells[COL_CAUSE] = value_str(v[i].cause);
	}
	(void)table_sort(a, t, "rss", &err);
	report_block(ret, BLOCK_GAP, NULL);
	report_table(ret, t);
	report_block(ret, BLOCK_GAP, NULL);
	b = report_block(ret, BLOCK_ITEMS, "next:");
	if (t->rows.n)
		block_item(
			ret, b,
			arena_printf(a, "whyrss %lld", (long long)t->rows.v[0].cells[COL_PID].i));
	block_item(ret, b, arena_printf(a, "whyrss --cgroup %s --all", asked));
}
