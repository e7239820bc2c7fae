/* JSON as YAML that people edit: block style, and quotes only where they are needed. */
#ifndef MODEL_YAML_WRITE_H
#define MODEL_YAML_WRITE_H

#include "base/text.h"

struct json_t;

/* Appends an object as a document; reading it back gives the same. */
void yaml_write(const struct json_t *object, Text *out);

#endif
