/* The table of views, and which options go with which. */
#include <string.h>

#include "view/view.h"

const struct view VIEWS[N_VIEWS] = {
#define VIEW(id, name, args, needs, flags, run, help, more)                                        \
	[VIEW_ID_##id] = {name, args, help, more, needs, flags, run},
#include "view/views.def"
#undef VIEW
};

const struct view *view_find(const char *name)
{
	for (unsigned i = 0; i < N_VIEWS; i++)
		if (!strcmp(VIEWS[i].name, name))
			return &VIEWS[i];
	return NULL;
}

bool view_takes(const struct view *v, enum option_id id)
{
	const char *p = OPTIONS[id].views;

	if (!strcmp(p, "*"))
		return true;
	while (*p) {
		size_t n = strcspn(p, " ");

		if (n == 1 && *p == '@' && v->flags & VIEW_TARGET)
			return true;
		if (strlen(v->name) == n && !memcmp(v->name, p, n))
			return true;
		p += n + (p[n] == ' ');
	}
	return false;
}

uint32_t view_needs(const struct view *v, const struct options *o)
{
	return v->run == view_profile_run ? v->needs | view_profile_needs(o) : v->needs;
}

bool view_check(const struct view *v, const struct options *o, struct err *err)
{
	for (unsigned i = 0; i < N_OPTIONS; i++)
		if (o->v[i].set && !view_takes(v, (enum option_id)i))
			return err_set(err, ERR_USAGE,
				       "--%s: not an option of %s; see whyrss help %s",
				       OPTIONS[i].name, v->name, v->name);
	return true;
}
