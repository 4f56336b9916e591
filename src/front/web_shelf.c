#include "front/web_shelf.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "pprof/codec.h"

#define SHELF_MAX   24U
#define SHELF_BYTES ((bytes)1 << 30)   /* of all */
#define ONE_BYTES   ((bytes)192 << 20) /* of one, and while it is read */
#define NAME_CHARS  200U

struct shelf {
	pthread_mutex_t lock;
	struct shelved *first; /* the newest */
	uint32_t n_given;
};

struct shelf *shelf_new(void)
{
	struct shelf *s = calloc(1, sizeof(*s));

	if (s)
		pthread_mutex_init(&s->lock, NULL);
	return s;
}

static void drop(struct shelved *of)
{
	if (--of->refs)
		return;
	arena_free(&of->mem);
	free(of);
}

void shelf_free(struct shelf *s)
{
	while (s && s->first) {
		struct shelved *of = s->first;

		s->first = of->next;
		drop(of);
	}
	if (s)
		pthread_mutex_destroy(&s->lock);
	free(s);
}

/* Under the lock. What is still borrowed lives until it is returned. */
static void make_room(struct shelf *s)
{
	for (;;) {
		struct shelved **oldest = NULL, *of;
		bytes total = 0;
		uint32_t n = 0;

		for (struct shelved **at = &s->first; *at; at = &(*at)->next) {
			total += (*at)->mem.used;
			n++;
			if (!(*at)->given && at != &s->first)
				oldest = at;
		}
		if (!oldest || (n <= SHELF_MAX && total <= SHELF_BYTES))
			return;
		of = *oldest;
		*oldest = of->next;
		drop(of);
	}
}

static void put(struct shelf *s, struct shelved *of)
{
	unsigned char raw[8];

	pthread_mutex_lock(&s->lock);
	if (of->given)
		snprintf(of->id, sizeof(of->id), "%u", s->n_given++);
	else if (getrandom(raw, sizeof(raw), 0) == (ssize_t)sizeof(raw))
		for (size_t i = 0; i < sizeof(raw); i++)
			snprintf(of->id + 2 * i, 3, "%02x", raw[i]);
	of->next = s->first;
	s->first = of;
	make_room(s);
	pthread_mutex_unlock(&s->lock);
}

static struct shelved *shelved_new(const char *name, bool given)
{
	struct shelved *of = calloc(1, sizeof(*of));

	if (!of)
		return NULL;
	arena_init(&of->mem, given ? SHELF_BYTES : ONE_BYTES);
	of->refs = 1;
	of->given = given;
	of->name = arena_strndup(&of->mem, name, strnlen(name, NAME_CHARS));
	return of;
}

bool shelf_add(struct shelf *s, const char *name, bool given, const uint8_t *d, size_t n,
	       const struct shelved **ret, struct err *err)
{
	struct shelved *of = shelved_new(name, given);

	if (!of)
		return err_set(err, ERR_LIMIT, "no memory for the profile");
	if (!pprof_parse(d, n, &of->mem, &of->p, err)) {
		drop(of);
		return false;
	}
	of->refs++;
	put(s, of);
	*ret = of;
	return true;
}

void shelf_add_read(struct shelf *s, const char *name, const struct pprof *p, struct arena *mem)
{
	struct shelved *of = shelved_new(name, true);

	if (!of)
		return;
	of->name = arena_strndup(mem, name, strnlen(name, NAME_CHARS));
	arena_free(&of->mem);
	of->mem = *mem;
	of->p = *p;
	of->p.mem = &of->mem;
	*mem = (struct arena){0};
	put(s, of);
}

const struct shelved *shelf_borrow(struct shelf *s, const char *id)
{
	struct shelved *of;

	pthread_mutex_lock(&s->lock);
	for (of = s->first; of && strcmp(of->id, id) != 0; of = of->next)
		;
	if (of)
		of->refs++;
	pthread_mutex_unlock(&s->lock);
	return of;
}

void shelf_return(struct shelf *s, const struct shelved *of)
{
	union {
		const struct shelved *is;
		struct shelved *was;
	} u = {of};

	pthread_mutex_lock(&s->lock);
	drop(u.was);
	pthread_mutex_unlock(&s->lock);
}

void shelved_write(const struct shelved *of, struct str *out)
{
	str_addf(out, "{\"id\":\"%s\",\"name\":", of->id);
	str_add_json(out, of->name);
	str_addf(out, ",\"given\":%s,\"samples\":%u,\"time\":%lld,\"types\":[",
		 of->given ? "true" : "false", of->p.n_samples, (long long)of->p.time_nanos);
	for (uint32_t i = 0; i < of->p.n_types; i++) {
		str_add(out, i ? "," : "");
		str_add_json(out, pprof_text(&of->p, of->p.types[i].type));
	}
	str_add(out, "]}");
}

void shelf_list(struct shelf *s, struct str *out)
{
	str_add(out, "{\"schema\":\"whyrss.uploads/1\",\"profiles\":[");
	pthread_mutex_lock(&s->lock);
	for (struct shelved *of = s->first; of; of = of->next) {
		shelved_write(of, out);
		str_add(out, of->next ? "," : "");
	}
	pthread_mutex_unlock(&s->lock);
	str_add(out, "]}\n");
}
