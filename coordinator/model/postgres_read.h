/* What the tables of keys cannot say about a PostgreSQL cluster. */
#ifndef MODEL_POSTGRES_READ_H
#define MODEL_POSTGRES_READ_H

#include "model/spec.h"

/* Fills in what follows from other keys, and reports what is wrong. owner: of the kind's key. */
void postgres_spec_finish(PostgresSpec *spec, SourceMark owner, DiagnosticList *diagnostics);

/* What is to be said of a parameter that a cluster cannot be given, or NULL: removed from PostgreSQL before this
 * version (what replaces it is named), or set by the coordinator itself. The text is static. */
const char *postgres_parameter_refusal(const char *name, unsigned version);

#endif
