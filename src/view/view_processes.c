/* The Go processes of this machine that may be read: the answer to a call without a target. */
#include "base/unit.h"
#include "view/view.h"

enum {
	COL_PID,
	COL_PROGRAM,
	COL_GO,
	COL_RSS,
	COL_UID,
	COL_READABLE,
	COL_OK,
	COL_WHY,
	COL_EXPLAINED,
	COL_EXE
};
static const struct column COLUMNS[] = {
	[COL_PID] = {"pid", "pid", COLUMN_ID, 0},
	[COL_PROGRAM] = {"program", "program", COLUMN_TEXT, 0},
	[COL_GO] = {"go", "Go", COLUMN_TEXT, 0},
	[COL_RSS] = {"rss", "RSS MiB", COLUMN_MIB, 0},
	[COL_UID] = {"uid", NULL, COLUMN_ID, 0},
	[COL_READABLE] = {"readable", NULL, COLUMN_TEXT, 0},
	[COL_OK] = {"explainable", NULL, COLUMN_TEXT, 0},
	[COL_WHY] = {"why", NULL, COLUMN_TEXT, 0},
	[COL_EXPLAINED] = {NULL, "explained", COLUMN_TEXT, 0},
	[COL_EXE] = {"exe", "executable", COLUMN_PATH, 1},
};

bool view_processes_run(const struct subject *in, const struct options *o, struct arena *a,
			struct report *ret, struct err *err)
{
	struct table *t = TABLE_NEW(a, COLUMNS);
	const struct process_item *biggest = NULL;
	uint32_t shut = 0;
	struct value notes = value_array(a);
	struct block *b;

	report_init(ret, a, "whyrss.processes/1");
	for (uint32_t i = 0; i < in->n_processes; i++) {
		const struct process_item *p = &in->processes[i];
		const char *why = p->readable ? p->why : "may not be read";
		struct row *row;

		if (!p->readable) {
			shut++;
			if (!option_set(o, OPT_ALL))
				continue;
		} else if (!why && (!biggest || p->rss > biggest->rss)) {
			biggest = p;
		}
		row = table_row(a, t, 0);
		row->cells[COL_PID] = value_int(p->pid);
		row->cells[COL_PROGRAM] = value_str(p->program);
		row->cells[COL_GO] = value_str(p->go);
		row->cells[COL_RSS] = value_uint(p->rss);
		row->cells[COL_UID] = value_uint(p->uid);
		row->cells[COL_READABLE] = value_bool(p->readable);
		row->cells[COL_EXE] = value_str(p->exe);
		row->cells[COL_OK] = value_bool(!why);
		row->cells[COL_WHY] = value_str(why);
		row->cells[COL_EXPLAINED] = value_str(why ? arena_printf(a, "no: %s", why) : "yes");
	}
	if (!subject_table(ret, t, o, "rss", 0, err))
		return false;
	report_put(ret, "processes", table_json(a, t));
	if (t->rows.n)
		report_table(ret, t);
	else
		report_block(ret, BLOCK_TEXT, "No Go process is running that this user may read.");
	report_block(ret, BLOCK_GAP, NULL);
	if (shut)
		report_note(ret, notes,
			    arena_printf(a,
					 "%u more Go process%s may not be read by this user: run "
					 "as root, or with "
					 "CAP_SYS_PTRACE (--all lists them)",
					 shut, shut == 1 ? "" : "es"));
	if (in->n_hidden)
		report_note(ret, notes,
			    arena_printf(a, "%u process%s can't be looked at%s", in->n_hidden,
					 in->n_hidden == 1 ? "" : "es",
					 in->root ? ", not even by root here"
						  : " by this user: run as root, or with "
						    "CAP_SYS_PTRACE"));
	report_put(ret, "notes", notes);
	b = report_block(ret, BLOCK_ITEMS, "next:");
	block_item(ret, b, biggest ? arena_printf(a, "whyrss %d", biggest->pid) : "whyrss PID");
	block_item(ret, b, "whyrss help");
	return true;
}
