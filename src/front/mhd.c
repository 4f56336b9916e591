/* libmicrohttpd by dlopen: commands that serve nothing do not pay for it. */
#include "front/mhd.h"

#include <dlfcn.h>
#include <string.h>

bool mhd_load(struct mhd *ret, struct err *err)
{
	void *lib = dlopen("libmicrohttpd.so.12", RTLD_NOW | RTLD_LOCAL);

	if (!lib)
		return err_set(err, ERR_OS,
			       "the web server needs libmicrohttpd.so.12, which is not installed; "
			       "on Debian: apt-get install libmicrohttpd12");
#define X(f)                                                                                       \
	{                                                                                          \
		void *at = dlsym(lib, "MHD_" #f);                                                  \
		if (!at)                                                                           \
			return err_set(err, ERR_OS,                                                \
				       "libmicrohttpd.so.12 has no MHD_" #f                        \
				       ": it is older than 0.9.73; install a newer one");          \
		memcpy(&ret->f, &at, sizeof(at));                                                  \
	}
	MHD_FUNCTIONS(X)
#undef X
	return true;
}
