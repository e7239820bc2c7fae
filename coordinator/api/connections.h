/*
 * How many clients are connected. evhttp of libevent 2.1 neither limits its connections nor counts them, so this
 * counts them from outside: by descriptor and socket inode, which tell a live connection from one that is closed.
 */
#ifndef API_CONNECTIONS_H
#define API_CONNECTIONS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct ConnectionTable ConnectionTable;

ConnectionTable *connection_table_new(size_t limit);
void connection_table_free(ConnectionTable *table);

/* Counts a connection that was just accepted. False when there are already as many as the limit. */
bool connection_table_add(ConnectionTable *table, int fd);

#endif
