/* Rows and cells that apps and machines have in common. */
#ifndef CLI_ROWS_H
#define CLI_ROWS_H

#include "cli/output.h"

struct json_t;

/* A row that only says something when the object does. */
void listing_add_when_set(Listing *listing, const char *key, const struct json_t *object, const char *member);
/* What a machine that does not run has written last, a row a line. */
void listing_add_last_words(Listing *listing, const struct json_t *object);
/* How its last run has ended, as a shell gives it. */
void table_add_exit_status(Table *table, const struct json_t *object);

/* Its services in short: "access:5432, web:443". */
void table_add_services(Table *table, const struct json_t *object);

#endif
