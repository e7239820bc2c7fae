/* What can be done with a struct that a table of keys describes: copy, free, compare, write as JSON. */
#ifndef MODEL_KEY_STRUCT_H
#define MODEL_KEY_STRUCT_H

#include "model/keys.h"

struct json_t;

/* Makes everything that target points to its own; it is a plain copy of another one. */
void keys_own(const Key *keys, void *target);

/* Frees everything that target points to. Its pointers are NULL afterwards; the rest is as it was. */
void keys_free(const Key *keys, void *target);

/* What is chosen, or NULL: nothing is. */
const Choice *key_choice(const Key *key, const void *source);

/* The value of a number, a size or a duration. */
uint64_t key_number(const Key *key, const void *source);

/* The caller owns the result. Keys without a value, and those that are `brief` and have their default, are left out. */
struct json_t *keys_to_json(const Key *keys, const void *source);

/* See app_spec_compare. old_source may be NULL. */
void keys_compare(const Key *keys, const void *old_source, const void *new_source, SpecChanges *ret_changes);

#endif
