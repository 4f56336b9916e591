/*
 * HTTP for web_pool.h: one thread of libmicrohttpd speaks with all clients and never waits for an
 * answer. A request that needs one is suspended until a worker wakes it; a stream of events sleeps
 * until the next one. So a slow client costs a connection and nothing else.
 */
#include "front/web.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "front/mhd.h"
#include "front/web_answer.h"
#include "front/web_asset.h"
#include "front/web_guard.h"
#include "front/web_pool.h"
#include "front/web_pprof.h"
#include "front/web_shelf.h"

#define LISTEN_DEFAULT	   "127.0.0.1:8601"
#define CONNECTIONS	   768U
#define CONNECTIONS_PER_IP 64U /* of another machine; loopback has no such limit */
#define CONNECTION_MEMORY  ((size_t)32 << 10)
#define IDLE_SECONDS	   60U
#define PATH_MAX_CHARS	   1024U
#define VALUE_MAX_CHARS	   4096U
#define PEM_MAX		   ((size_t)1 << 20)
#define BODY_MAX	   ((size_t)16 << 10)
#define UPLOADS_MAX	   3 /* at once: each may hold SHELF_SENT_MAX */
#define FILE_MAX	   ((size_t)512 << 20)
#define UPLOAD_PATH	   "/api/1/profiles"

struct web {
	struct mhd mhd;
	struct MHD_Daemon *daemon;
	struct pool *pool;
	struct guard guard;
	struct shelf *shelf;
	bool tls;
	struct web_name targets[OPTION_WORDS]; /* what the command line named; texts from there */
	uint32_t n_targets;
	const char *files[OPTION_WORDS]; /* those of them that are files: "file/0" … */
	uint32_t n_files;
	struct web_name only; /* the only target, if it is no profile */
	const char *start;    /* what the page begins with; NULL: the list */
	int uploads;	      /* that are being received; of MHD's thread */
	uint64_t serial;
};

enum { CALL_NEW, CALL_WAITS, CALL_STREAMS };

/* One request, from its headers until MHD says that it is over. */
struct call {
	struct web *web;
	struct MHD_Connection *c;
	struct waiter waiter; /* answer: set when it was woken */
	struct subscriber stream;
	int is;
	struct answer *event; /* that is being sent */
	size_t sent;
	bool headed; /* HEAD */
	bool pprof;  /* errors as net/http/pprof words them */
	struct str body;
	size_t body_max;
	bool body_too_long, uploads;
};

#define OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* --- answers --- */

static const char *const HEADERS[][2] = {
	{"Content-Security-Policy",
	 "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
	 "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
	{"X-Content-Type-Options", "nosniff"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"Referrer-Policy", "no-referrer"},
	{"X-Frame-Options", "DENY"},
};

static void drop_body(void *a)
{
	answer_drop(a);
}

static enum MHD_Result send_response(struct web *w, struct MHD_Connection *c, unsigned status,
				     struct MHD_Response *r, const char *type)
{
	enum MHD_Result ok;

	if (!r)
		return MHD_NO;
	for (size_t i = 0; i < ARRAY_LEN(HEADERS); i++)
		w->mhd.add_response_header(r, HEADERS[i][0], HEADERS[i][1]);
	w->mhd.add_response_header(r, "Content-Type", type);
	ok = w->mhd.queue_response(c, status, r);
	w->mhd.destroy_response(r);
	return ok;
}

/* Takes the answer. */
static enum MHD_Result send_answer(struct web *w, struct MHD_Connection *c, struct answer *a)
{
	struct MHD_Response *r;

	str_room(&a->body, 0); /* an empty body has an address, too */
	r = w->mhd.create_response_from_buffer_with_free_callback_cls(a->body.n, a->body.s,
								      drop_body, a);

	if (!r) {
		answer_drop(a);
		return MHD_NO;
	}
	w->mhd.add_response_header(r, "Cache-Control", "no-store");
	if (a->disposition)
		w->mhd.add_response_header(r, "Content-Disposition", a->disposition);
	if (a->pprof_error)
		w->mhd.add_response_header(r, "X-Go-Pprof", "1");
	if (a->status == 401)
		w->mhd.add_response_header(r, "WWW-Authenticate", "Basic realm=\"whyrss\"");
	if (a->status == 503)
		w->mhd.add_response_header(r, "Retry-After", "1");
	return send_response(w, c, a->status, r, a->type);
}

static enum MHD_Result refuse(struct web *w, struct MHD_Connection *c, unsigned status,
			      const char *text)
{
	struct answer *a = answer_new(status, "application/json; charset=utf-8");

	str_add(&a->body, "{\"error\":");
	str_add_json(&a->body, text);
	str_add(&a->body, "}\n");
	return send_answer(w, c, a);
}

/* As net/http/pprof words an error. */
static enum MHD_Result refuse_pprof(struct web *w, struct MHD_Connection *c, unsigned status,
				    const char *text)
{
	struct answer *a = answer_new(status, "text/plain; charset=utf-8");

	a->pprof_error = true;
	str_add(&a->body, text);
	str_add(&a->body, "\n");
	return send_answer(w, c, a);
}

static enum MHD_Result send_asset(struct web *w, struct MHD_Connection *c, const char *name)
{
	for (unsigned i = 0; i < N_WEB_ASSETS; i++) {
		const struct web_asset *f = &WEB_ASSETS[i];
		struct MHD_Response *r;

		if (strcmp(f->name, name) != 0)
			continue;
		r = w->mhd.create_response_from_buffer_with_free_callback_cls(
			f->n, (void *)(uintptr_t)f->bytes, NULL, NULL);
		if (r)
			w->mhd.add_response_header(r, "Cache-Control", "no-cache");
		return send_response(w, c, 200, r, f->type);
	}
	return refuse(w, c, 404, "There is no such page.");
}

/* --- waiting --- */

static void wake_call(struct waiter *w)
{
	struct call *k = OF(w, struct call, waiter);

	k->web->mhd.resume_connection(k->c);
}

/* Has the client closed its side? */
static bool call_alive(struct waiter *w)
{
	struct call *k = OF(w, struct call, waiter);
	const union MHD_ConnectionInfo *info =
		k->web->mhd.get_connection_info(k->c, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct pollfd p = {.events = POLLRDHUP};

	if (!info)
		return true;
	p.fd = info->connect_fd;
	return poll(&p, 1, 0) <= 0 || !(p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* Takes the question. */
static enum MHD_Result ask(struct call *k, struct question *q)
{
	struct answer *a = pool_find(k->web->pool, q);

	if (a) {
		question_free(q);
		return send_answer(k->web, k->c, a);
	}
	k->is = CALL_WAITS;
	k->waiter = (struct waiter){.wake = wake_call, .alive = call_alive};
	k->web->mhd.suspend_connection(k->c);
	pool_ask(k->web->pool, q, &k->waiter);
	return MHD_YES;
}

/* --- events --- */

static void wake_stream(struct subscriber *s)
{
	struct call *k = OF(s, struct call, stream);

	k->web->mhd.resume_connection(k->c);
}

static ssize_t next_bytes(void *ctx, uint64_t pos, char *to, size_t max)
{
	struct call *k = ctx;
	size_t n;

	(void)pos;
	if (k->event && k->sent == k->event->body.n) {
		answer_drop(k->event);
		k->event = NULL;
	}
	if (!k->event) {
		bool gone;

		/* Suspended first: whoever wakes this stream may do so at once. */
		k->web->mhd.suspend_connection(k->c);
		k->event = pool_event(k->web->pool, &k->stream, &gone);
		k->sent = 0;
		if (!k->event && !gone)
			return 0;
		k->web->mhd.resume_connection(k->c);
		if (!k->event)
			return MHD_CONTENT_READER_END_OF_STREAM;
	}
	n = MIN(max, k->event->body.n - k->sent);
	memcpy(to, k->event->body.s + k->sent, n);
	k->sent += n;
	return (ssize_t)n;
}

static enum MHD_Result stream(struct call *k, const struct web_name *of)
{
	struct MHD_Response *r;

	k->stream = (struct subscriber){.wake = wake_stream};
	if (!pool_subscribe(k->web->pool, of, &k->stream))
		return refuse(k->web, k->c, 503, "Too many processes are being looked at.");
	k->is = CALL_STREAMS;
	r = k->web->mhd.create_response_from_callback(MHD_SIZE_UNKNOWN, 16 << 10, next_bytes, k,
						      NULL);
	if (r) {
		k->web->mhd.add_response_header(r, "Cache-Control", "no-store");
		k->web->mhd.add_response_header(r, "X-Accel-Buffering", "no");
	}
	return send_response(k->web, k->c, 200, r, "text/event-stream");
}

/* --- from a URL to a question --- */

struct gathering {
	struct question *q;
	bool too_many;
};

static enum MHD_Result add_param(void *ctx, enum MHD_ValueKind kind, const char *key,
				 const char *value)
{
	struct gathering *g = ctx;
	struct question *q = g->q;

	(void)kind;
	if (q->n_params == PARAMS_MAX || strlen(key) > 64 ||
	    (value && strlen(value) > VALUE_MAX_CHARS)) {
		g->too_many = true;
		return MHD_NO;
	}
	q->params[q->n_params++] = (struct web_param){arena_strdup(&q->mem, key),
						      arena_strdup(&q->mem, value ? value : "")};
	return MHD_YES;
}

static struct question *question_new(struct call *k, enum ask is, const struct web_name *of,
				     struct err *err)
{
	struct question *q = calloc(1, sizeof(*q));
	struct gathering g = {.q = q};

	if (!q) {
		err_set(err, ERR_LIMIT, "no memory for the question");
		return NULL;
	}
	arena_init(&q->mem, 0);
	q->ask = is;
	q->of = *of;
	q->max_age = FRESH_NS;
	if (of->file)
		q->of.file = arena_strdup(&q->mem, of->file);
	if (of->profile)
		q->of.profile = arena_strdup(&q->mem, of->profile);
	k->web->mhd.get_connection_values(k->c, MHD_GET_ARGUMENT_KIND, add_param, &g);
	if (g.too_many) {
		question_free(q);
		err_set(err, ERR_USAGE, "more than %u parameters, or one that is too long",
			PARAMS_MAX);
		return NULL;
	}
	return q;
}

/* What no page may ask for, and what means nothing here. */
static bool is_refused(enum option_id id)
{
	return id == OPT_FREEZE || id == OPT_CGROUP || id == OPT_COLOR || id == OPT_WIDTH ||
	       id == OPT_VERBOSE || id == OPT_OUTPUT || id == OPT_EXE || id == OPT_HELP ||
	       id == OPT_VERSION || id == OPT_JSON;
}

static bool take_params(struct question *q, struct err *err)
{
	struct str key = {0};

	str_addf(&key, "%d %s %s %s", (int)q->ask, q->view ? q->view->name : "",
		 q->what ? q->what : "", q->of.profile ? q->of.profile : "");
	for (uint32_t i = 0; i < q->n_params; i++) {
		const struct web_param *p = &q->params[i];
		const char *number = p->value;
		uint64_t ms;
		bool taken = q->ask != ASK_VIEW && q->ask != ASK_PROCESSES;

		if (!strcmp(p->key, "token"))
			continue;
		if (!strcmp(p->key, "max_age")) {
			if (!str_u64(&number, false, &ms) || *number || ms > 3600000) {
				str_free(&key);
				return err_set(err, ERR_USAGE,
					       "max_age: milliseconds, an hour at most");
			}
			q->max_age = (int64_t)ms * 1000000;
			continue;
		}
		str_addf(&key, "&%s=%s", p->key, p->value);
		for (unsigned o = 0; o < N_OPTIONS && !taken; o++) {
			bool flag = OPTIONS[o].kind == OPTION_FLAG;

			if (strcmp(OPTIONS[o].name, p->key) != 0 || !view_takes(q->view, o))
				continue;
			if (is_refused(o)) {
				str_free(&key);
				return err_set(err, o == OPT_FREEZE ? ERR_PERM : ERR_USAGE,
					       o == OPT_FREEZE
						       ? "freeze: over HTTP no process is stopped; "
							 "whyrss --freeze does it from the shell"
						       : "%.40s: not over HTTP",
					       p->key);
			}
			if (flag && (!strcmp(p->value, "0") || !strcmp(p->value, "false"))) {
				taken = true;
				break;
			}
			if (!option_take(&q->options, o, flag ? NULL : p->value, err)) {
				str_free(&key);
				return false;
			}
			taken = true;
		}
		if (!taken) {
			str_free(&key);
			return err_set(err, ERR_USAGE, "%.40s: %s takes no such parameter", p->key,
				       q->view->name);
		}
	}
	q->key = arena_strdup(&q->mem, key.s ? key.s : "");
	str_free(&key);
	return true;
}

static enum MHD_Result refuse_err(struct call *k, const struct err *err)
{
	if (k->pprof)
		return refuse_pprof(k->web, k->c, 400, err->msg);
	return send_answer(k->web, k->c, answer_error(err));
}

static enum MHD_Result ask_view(struct call *k, enum ask is, const struct web_name *of,
				const struct view *v, const char *what)
{
	struct err err = {0};
	struct question *q = question_new(k, is, of, &err);

	if (!q)
		return refuse_err(k, &err);
	q->view = v;
	if (what)
		q->what = arena_strdup(&q->mem, what);
	if (!take_params(q, &err)) {
		question_free(q);
		return refuse_err(k, &err);
	}
	return ask(k, q);
}

static enum MHD_Result ask_pprof(struct call *k, const struct web_name *of, const char *name)
{
	const struct web_profile *w = web_profile_find(name);
	const char *why;
	unsigned status;
	struct err err = {0};
	struct question *q;

	if (*name && !w)
		return refuse_pprof(k->web, k->c, 404, "Unknown profile");
	q = question_new(k, ASK_PPROF, of, &err);
	if (!q)
		return refuse_err(k, &err);
	why = w ? web_pprof_check(q, w, &status) : NULL;
	if (why) {
		question_free(q);
		return refuse_pprof(k->web, k->c, status, why);
	}
	q->what = w ? w->name : "";
	if (k->body.n && q->n_params < PARAMS_MAX) /* of symbol */
		q->params[q->n_params++] =
			(struct web_param){arena_strndup(&q->mem, k->body.s, k->body.n), ""};
	if (!take_params(q, &err)) {
		question_free(q);
		return refuse_err(k, &err);
	}
	return ask(k, q);
}

/* What is not a view of the command line. */
static const struct {
	const char *name;
	enum ask is;
} PARTS[] = {
	{"pages", ASK_MAP},
	{"at", ASK_AT},
	{"report", ASK_REPORT},
};

static enum MHD_Result route_target(struct call *k, const struct web_name *of, const char *rest)
{
	const struct view *v;

	if (!strcmp(rest, "events"))
		return stream(k, of);
	for (size_t i = 0; i < ARRAY_LEN(PARTS); i++)
		if (!strcmp(PARTS[i].name, rest))
			return ask_view(k, PARTS[i].is, of, NULL, NULL);
	if (str_starts(rest, "stacks/"))
		return ask_view(k, ASK_STACKS, of, NULL, rest + strlen("stacks/"));
	if (str_starts(rest, "pprof/"))
		return ask_view(k, ASK_TEXT, of, NULL, rest + strlen("pprof/"));
	v = view_find(rest);
	if (!v || !v->run || !(v->flags & VIEW_TARGET))
		return refuse(k->web, k->c, 404, "There is no such view; whyrss help lists them.");
	return ask_view(k, ASK_VIEW, of, v, NULL);
}

/* "pid/123/rest" or "file/0/rest" → a target and "rest"; false when it is neither. */
static bool take_name(const struct web *w, const char **path, struct web_name *ret)
{
	bool pid = str_starts(*path, "pid/");
	const char *at = *path + strlen(pid ? "pid/" : "file/");
	uint64_t n;

	if ((!pid && !str_starts(*path, "file/")) || !str_u64(&at, false, &n) || *at != '/')
		return false;
	if (pid ? n == 0 || n > INT32_MAX : n >= w->n_files)
		return false;
	*ret = (struct web_name){.pid = pid ? (int)n : 0};
	for (uint32_t i = 0; i < w->n_targets && !pid; i++)
		if (w->targets[i].file == w->files[n])
			*ret = w->targets[i];
	*path = at + 1;
	return true;
}

/* "profile/0/stacks": of what is on the shelf. */
static enum MHD_Result route_profile(struct call *k, const char *path)
{
	const char *rest = strchr(path, '/');
	char id[32];

	if (rest && (size_t)(rest - path) < sizeof(id)) {
		struct web_name of = {.profile = id};

		snprintf(id, sizeof(id), "%.*s", (int)(rest - path), path);
		rest++;
		if (!strcmp(rest, "stacks"))
			return ask_view(k, ASK_STACKS, &of, NULL, "");
		if (str_starts(rest, "pprof/"))
			return ask_view(k, ASK_TEXT, &of, NULL, rest + strlen("pprof/"));
	}
	return refuse(k->web, k->c, 404, "There is no such page.");
}

static enum MHD_Result take_upload(struct call *k)
{
	struct err err = {0};
	struct question *q;
	char what[24];

	snprintf(what, sizeof(what), "%llu", (unsigned long long)k->web->serial++);
	q = question_new(k, ASK_UPLOAD, &(struct web_name){0}, &err);
	if (!q)
		return refuse_err(k, &err);
	q->what = arena_strdup(&q->mem, what); /* no other is equal to it */
	if (!take_params(q, &err)) {
		question_free(q);
		return refuse_err(k, &err);
	}
	q->body = k->body;
	k->body = (struct str){0};
	return ask(k, q);
}

static enum MHD_Result route_api(struct call *k, const char *path)
{
	struct web_name of = {0};

	if (!strcmp(path, "processes"))
		return ask_view(k, ASK_PROCESSES, &of, &VIEWS[VIEW_ID_PROCESSES], NULL);
	if (!strcmp(path, "meta"))
		return send_answer(k->web, k->c,
				   web_meta(k->web->files, k->web->n_files, k->web->start));
	if (!strcmp(path, "profiles"))
		return k->uploads ? take_upload(k)
				  : ask_view(k, ASK_SHELF, &(struct web_name){0}, NULL, NULL);
	if (str_starts(path, "profile/"))
		return route_profile(k, path + strlen("profile/"));
	if (take_name(k->web, &path, &of))
		return route_target(k, &of, path);
	return refuse(k->web, k->c, 404, "There is no such page.");
}

/* The token moves from the address to a cookie, so that it is in no history and no Referer. */
static enum MHD_Result take_token(struct web *w, struct MHD_Connection *c)
{
	struct MHD_Response *r = w->mhd.create_response_from_buffer_with_free_callback_cls(
		0, (void *)(uintptr_t) "", NULL, NULL);
	char cookie[128];

	if (!r)
		return MHD_NO;
	snprintf(cookie, sizeof(cookie), "whyrss_token=%s; Path=/; HttpOnly; SameSite=Strict%s",
		 w->guard.token, w->tls ? "; Secure" : "");
	w->mhd.add_response_header(r, "Set-Cookie", cookie);
	w->mhd.add_response_header(r, "Location", "/");
	w->mhd.add_response_header(r, "Cache-Control", "no-store");
	return send_response(w, c, 303, r, "text/plain");
}

static enum MHD_Result move_to(struct web *w, struct MHD_Connection *c, const char *path)
{
	struct MHD_Response *r = w->mhd.create_response_from_buffer_with_free_callback_cls(
		0, (void *)(uintptr_t) "", NULL, NULL);

	if (!r)
		return MHD_NO;
	w->mhd.add_response_header(r, "Location", path);
	return send_response(w, c, 301, r, "text/plain");
}

static enum MHD_Result route(struct call *k, const char *path)
{
	struct web *w = k->web;
	const char *rest = path + 1;
	struct web_name of = {0};

	if (strlen(path) > PATH_MAX_CHARS)
		return refuse(w, k->c, 414, "The path is too long.");
	if (!strcmp(path, "/")) {
		if (w->guard.token &&
		    w->mhd.lookup_connection_value(k->c, MHD_GET_ARGUMENT_KIND, "token"))
			return take_token(w, k->c);
		return send_asset(w, k->c, "index.html");
	}
	if (str_starts(path, "/assets/"))
		return send_asset(w, k->c, path + strlen("/assets/"));
	if (str_starts(path, "/api/1/"))
		return route_api(k, path + strlen("/api/1/"));
	if (!strcmp(path, "/metrics"))
		return ask_view(k, ASK_METRICS, &(struct web_name){0}, NULL, NULL);
	if (str_starts(path, "/debug/pprof/"))
		return ask_pprof(k, &k->web->only, path + strlen("/debug/pprof/"));
	if (!strcmp(path, "/debug/pprof"))
		return move_to(w, k->c, "/debug/pprof/");
	if (take_name(w, &rest, &of) && str_starts(rest, "debug/pprof")) {
		rest += strlen("debug/pprof");
		if (*rest == '/')
			return ask_pprof(k, &of, rest + 1);
	}
	return refuse(w, k->c, 404, "There is no such page.");
}

/* --- MHD's callbacks --- */

static const char *header(struct web *w, struct MHD_Connection *c, const char *name)
{
	return w->mhd.lookup_connection_value(c, MHD_HEADER_KIND, name);
}

static const char *check_caller(struct web *w, struct MHD_Connection *c, unsigned *ret_status)
{
	struct sockaddr_storage local;
	socklen_t n = sizeof(local);
	const union MHD_ConnectionInfo *info =
		w->mhd.get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct caller who = {
		.host = header(w, c, "Host"),
		.origin = header(w, c, "Origin"),
		.site = header(w, c, "Sec-Fetch-Site"),
		.mode = header(w, c, "Sec-Fetch-Mode"),
		.authorization = header(w, c, "Authorization"),
		.cookie = header(w, c, "Cookie"),
		.query_token = w->mhd.lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "token"),
	};

	if (info && getsockname(info->connect_fd, (struct sockaddr *)&local, &n) == 0)
		who.local = (struct sockaddr *)&local;
	return guard_refuses(&w->guard, &who, ret_status);
}

static enum MHD_Result handle(void *ctx, struct MHD_Connection *c, const char *url,
			      const char *method, const char *version, const char *data,
			      size_t *n_data, void **state)
{
	struct web *w = ctx;
	struct call *k = *state;
	const char *why;
	unsigned status;

	(void)version;
	if (!k) {
		k = calloc(1, sizeof(*k));
		if (!k)
			return MHD_NO;
		*k = (struct call){.web = w,
				   .c = c,
				   .pprof = strstr(url, "/debug/pprof/") != NULL,
				   .body_max = BODY_MAX};
		*state = k;
		/* What a stranger sends is not kept while it comes in. */
		if (!strcmp(url, UPLOAD_PATH) && !strcmp(method, "POST") &&
		    !check_caller(w, c, &status)) {
			k->uploads = true;
			k->body_max = w->uploads < UPLOADS_MAX ? SHELF_SENT_MAX : 0;
			w->uploads++;
		}
		return MHD_YES;
	}
	if (*n_data) {
		if (k->body_too_long || k->body.n + *n_data > k->body_max) {
			k->body_too_long = true;
			str_free(&k->body);
		} else {
			str_addn(&k->body, data, *n_data);
		}
		*n_data = 0;
		return MHD_YES;
	}
	if (k->is == CALL_WAITS) {
		struct answer *a = k->waiter.answer;

		if (!a) /* woken by nobody: MHD may call again on its own */
			return MHD_YES;
		k->waiter.answer = NULL;
		k->is = CALL_NEW;
		return send_answer(w, c, a);
	}
	if (k->is == CALL_STREAMS)
		return MHD_YES;
	why = check_caller(w, c, &status);
	if (why)
		return refuse(w, c, status, why);
	if (k->body_too_long && k->uploads && !k->body_max)
		return refuse(w, c, 503, "Others are sending profiles; try again in a moment.");
	if (k->body_too_long)
		return refuse(w, c, 413,
			      k->uploads ? "A profile may be up to 64 MiB."
					 : "The request is too large.");
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0 &&
	    strcmp(method, "POST") != 0)
		return refuse(w, c, 405, "GET, HEAD and POST are answered here.");
	return route(k, url);
}

static void completed(void *ctx, struct MHD_Connection *c, void **state,
		      enum MHD_RequestTerminationCode how)
{
	struct call *k = *state;

	(void)ctx;
	(void)c;
	(void)how;
	if (!k)
		return;
	if (k->is == CALL_STREAMS)
		pool_unsubscribe(k->web->pool, &k->stream);
	k->web->uploads -= k->uploads;
	answer_drop(k->event);
	answer_drop(k->waiter.answer);
	str_free(&k->body);
	free(k);
	*state = NULL;
}

static void say_nothing(void *ctx, const char *fmt, va_list ap)
{
	(void)ctx;
	(void)fmt;
	(void)ap;
}

/* --- start and end --- */

/* "ADDR:PORT", ":PORT" (all addresses) or "ADDR"; a name is looked up. */
static bool parse_listen(const char *text, struct sockaddr_storage *ret, struct err *err)
{
	struct addrinfo want = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
	char host[256], port[8] = "8601";
	const char *colon = strrchr(text, ':'), *end = colon;
	uint64_t number;
	int code;

	if (*text == '[') {
		end = strchr(text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return err_set(err, ERR_USAGE, "--listen %.80s: give ADDR:PORT", text);
		colon = end[1] ? end + 1 : NULL;
		text++;
	} else if (colon && strchr(text, ':') != colon) {
		return err_set(err, ERR_USAGE, "--listen %.80s: an IPv6 address goes in brackets",
			       text);
	} else if (!colon) {
		end = text + strlen(text);
	}
	if ((size_t)(end - text) >= sizeof(host))
		return err_set(err, ERR_USAGE, "--listen: the address is too long");
	snprintf(host, sizeof(host), "%.*s", (int)(end - text), text);
	if (colon) {
		const char *at = colon + 1;

		if (!str_u64(&at, false, &number) || *at || number > 65535)
			return err_set(err, ERR_USAGE,
				       "--listen %.80s: the port is no number up "
				       "to 65535",
				       text);
		snprintf(port, sizeof(port), "%u", (unsigned)number);
	}
	code = getaddrinfo(*host ? host : NULL, port, &want, &found);
	if (code)
		return err_set(err, ERR_USAGE, "--listen %.80s: %s", host, gai_strerror(code));
	memcpy(ret, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return true;
}

static bool is_loopback(const struct sockaddr_storage *s)
{
	if (s->ss_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)s)->sin_addr.s_addr) >> 24 == 127;
	return s->ss_family == AF_INET6 &&
	       IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)s)->sin6_addr);
}

static int open_socket(struct sockaddr_storage *at, const char *text, struct err *err)
{
	int fd = socket(at->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
	socklen_t n =
		at->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);

	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    bind(fd, (struct sockaddr *)at, n) == 0 && listen(fd, 256) == 0) {
		n = sizeof(*at);
		getsockname(fd, (struct sockaddr *)at, &n);
		return fd;
	}
	err_os(err, ERR_OS, "can't listen on %.80s (--listen ADDR:PORT takes another)", text);
	cleanup_fd(&fd);
	return -1;
}

static bool make_token(char *to, struct err *err)
{
	unsigned char raw[TOKEN_CHARS / 2];

	if (getrandom(raw, sizeof(raw), 0) != (ssize_t)sizeof(raw))
		return err_os(err, ERR_OS, "no random bytes for a token");
	for (size_t i = 0; i < sizeof(raw); i++)
		snprintf(to + 2 * i, 3, "%02x", raw[i]);
	return true;
}

static bool read_pem(const char *path, struct str *ret, struct err *err)
{
	CLEANUP(cleanup_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	char buffer[4096];

	if (fd < 0 || fstat(fd, &st) != 0)
		return err_os(err, ERR_OS, "%.120s", path);
	if (!S_ISREG(st.st_mode) || st.st_size > (off_t)PEM_MAX)
		return err_set(err, ERR_FORMAT, "%.120s: no PEM file", path);
	for (ssize_t n; (n = read(fd, buffer, sizeof(buffer))) > 0;)
		str_addn(ret, buffer, (size_t)n);
	return ret->n ? true : err_set(err, ERR_FORMAT, "%.120s: empty", path);
}

static void more_files(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < 4096) {
		l.rlim_cur = MIN(l.rlim_max, (rlim_t)4096);
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

static void say(const char *text)
{
	size_t n = strlen(text);

	while (n) {
		ssize_t done = write(STDOUT_FILENO, text, n);

		if (done <= 0)
			return;
		text += done;
		n -= (size_t)done;
	}
}

static void add_address(struct str *to, const struct sockaddr_storage *at)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (at->ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)at;

		inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
		str_addf(to, "%s:%u", text, ntohs(v4->sin_port));
	} else {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)at;

		inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
		str_addf(to, "[%s]:%u", text, ntohs(v6->sin6_port));
	}
}

static void greet(const struct web *w, const struct sockaddr_storage *at)
{
	struct str text = {0};

	str_addf(&text, "whyrss: serving at %s://", w->tls ? "https" : "http");
	add_address(&text, at);
	str_add(&text, "/");
	if (w->guard.token)
		str_addf(&text, "?token=%s", w->guard.token);
	str_add(&text, "\n");
	if (is_loopback(at) && geteuid() == 0)
		str_add(&text,
			"whyrss: this runs as root: every user of this machine can see every "
			"Go process here\n");
	if (!is_loopback(at) && !w->guard.token)
		str_add(&text, "whyrss: no token is asked for: whoever reaches this address sees "
			       "every Go process that this user may read\n");
	if (!is_loopback(at) && !w->tls)
		str_add(&text, "whyrss: without TLS the token can be read on the way: "
			       "--tls-cert FILE --tls-key FILE\n");
	str_add(&text, "whyrss: Ctrl-C ends it\n");
	say(text.s);
	str_free(&text);
}

static bool start(struct web *w, int fd, const struct sockaddr_storage *at, struct str *cert,
		  struct str *key, struct err *err)
{
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
			 MHD_USE_ERROR_LOG | (w->tls ? MHD_USE_TLS : 0U);
	struct MHD_OptionItem tls[] = {
		{MHD_OPTION_HTTPS_MEM_CERT, 0, cert->s},
		{MHD_OPTION_HTTPS_MEM_KEY, 0, key->s},
		{MHD_OPTION_END, 0, NULL},
	};
	struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};

	w->daemon = w->mhd.start_daemon(
		flags, 0, NULL, NULL, handle, w, MHD_OPTION_EXTERNAL_LOGGER, say_nothing, NULL,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, is_loopback(at) ? 0U : CONNECTIONS_PER_IP,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
		MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS, MHD_OPTION_NOTIFY_COMPLETED, completed,
		NULL, MHD_OPTION_ARRAY, w->tls ? tls : none, MHD_OPTION_END);
	if (!w->daemon)
		return err_set(err, ERR_OS, "the web server did not start%s",
			       w->tls ? ": are certificate and key PEM and do they belong together?"
				      : "");
	return true;
}

/* What the command line names, checked before anything listens. */
static bool add_target(struct web *w, const struct serve_options *o, const char *word,
		       struct arena *a, struct err *err)
{
	const struct shelved *of;
	struct source_word is;
	char *text;
	size_t n;

	if (!source_find(word, a, &is, err))
		return false;
	switch (is.kind) {
	case SOURCE_PROCESS:
		w->targets[w->n_targets++] = (struct web_name){.pid = is.pid};
		return true;
	case SOURCE_CORE:
	case SOURCE_CAPTURE:
		w->files[w->n_files++] = word;
		w->targets[w->n_targets++] = (struct web_name){.file = word, .exe = o->exe};
		return true;
	case SOURCE_PROFILE:
	case SOURCE_FILE:
		if (!file_read(AT_FDCWD, is.path ? is.path : word, FILE_MAX, a, &text, &n, err))
			return false;
		if (!shelf_add(w->shelf, word, true, (const uint8_t *)text, n, &of, err))
			return err_in(err, "%.120s", word);
		shelf_return(w->shelf, of);
		return true;
	default:
		return source_refuse(&is, err);
	}
}

static bool serve(const struct serve_options *o, struct err *err)
{
	const char *text = o->listen ? o->listen : LISTEN_DEFAULT;
	struct sockaddr_storage at = {0};
	char token[TOKEN_CHARS + 1];
	struct web w = {0};
	struct str cert = {0}, key = {0};
	CLEANUP(cleanup_free) char *names = NULL;
	CLEANUP(arena_free) struct arena mem = {0};
	sigset_t wait;
	int fd, signal_number;
	bool ok = false;

	if (!parse_listen(text, &at, err))
		return false;
	if (o->allow_host) {
		names = strdup(o->allow_host);
		if (!names || !guard_names(&w.guard, names))
			return err_set(err, ERR_USAGE,
				       "--allow-host: up to %u host names without ports, split by "
				       "commas",
				       GUARD_NAMES);
	}
	if (!o->tls_cert != !o->tls_key)
		return err_set(err, ERR_USAGE, "--tls-cert and --tls-key go together");
	w.tls = o->tls_cert != NULL;
	w.shelf = shelf_new();
	if (!w.shelf)
		return err_set(err, ERR_LIMIT, "no memory for the server");
	for (uint32_t i = 0; i < o->n_words; i++)
		if (!add_target(&w, o, o->words[i], &mem, err))
			goto end;
	if (o->profile)
		shelf_add_read(w.shelf, o->profile_name, o->profile, o->profile_mem);
	if (o->n_words == 1 && w.n_targets == 1)
		w.only = w.targets[0];
	if (o->n_words + (o->profile != NULL) == 1)
		w.start = w.only.pid	? arena_printf(&mem, "pid/%d", w.only.pid)
			  : w.only.file ? "file/0"
					: "profile/0";
	if (!mhd_load(&w.mhd, err))
		goto end;
	if (w.tls && w.mhd.is_feature_supported(MHD_FEATURE_TLS) != MHD_YES) {
		err_set(err, ERR_OS, "this libmicrohttpd was built without TLS");
		goto end;
	}
	if (o->tls_cert && o->tls_key &&
	    (!read_pem(o->tls_cert, &cert, err) || !read_pem(o->tls_key, &key, err)))
		goto end;
	if (!is_loopback(&at) && !w.tls) {
		if (!make_token(token, err))
			goto end;
		w.guard.token = token;
	}
	more_files();
	/* Before threads are started: they inherit it. */
	sigemptyset(&wait);
	sigaddset(&wait, SIGINT);
	sigaddset(&wait, SIGTERM);
	sigaddset(&wait, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &wait, NULL);
	fd = open_socket(&at, text, err);
	if (fd < 0)
		goto end;
	if (!pool_open(web_answer, w.shelf, &w.pool, err)) {
		cleanup_fd(&fd);
		goto end;
	}
	ok = start(&w, fd, &at, &cert, &key, err);
	if (ok) {
		greet(&w, &at);
		sigwait(&wait, &signal_number);
		fd = w.mhd.quiesce_daemon(w.daemon);
	}
	pool_stop(w.pool);
	if (ok)
		w.mhd.stop_daemon(w.daemon);
	pool_close(w.pool);
	cleanup_fd(&fd);
end:
	shelf_free(w.shelf);
	str_free(&cert);
	str_free(&key);
	return ok;
}

enum exit_code serve_with(const struct serve_options *o, struct str *messages)
{
	struct err err = {0};

	if (serve(o, &err))
		return EXIT_ANSWERED;
	message_add(messages, &err);
	return err.kind == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
}

enum exit_code serve_run(const struct request *q, struct str *messages)
{
	const struct option_value *o = q->options.v;
	struct serve_options s = {.words = q->words, .n_words = q->n_words};

	s.listen = o[OPT_LISTEN].set ? o[OPT_LISTEN].text : NULL;
	s.allow_host = o[OPT_ALLOW_HOST].set ? o[OPT_ALLOW_HOST].text : NULL;
	s.tls_cert = o[OPT_TLS_CERT].set ? o[OPT_TLS_CERT].text : NULL;
	s.tls_key = o[OPT_TLS_KEY].set ? o[OPT_TLS_KEY].text : NULL;
	s.exe = o[OPT_EXE].set ? o[OPT_EXE].text : NULL;
	return serve_with(&s, messages);
}
