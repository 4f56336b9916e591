/* The page's files, in the program itself (web/dist, by tools/embed.py). */
#ifndef FRONT_WEB_ASSET_H
#define FRONT_WEB_ASSET_H

#include <stddef.h>

struct web_asset {
	const char *name, *type;
	const unsigned char *bytes;
	size_t n;
};
extern const struct web_asset WEB_ASSETS[];
extern const unsigned N_WEB_ASSETS;

#endif
