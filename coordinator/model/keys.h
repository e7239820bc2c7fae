/*
 * The tables of what can be written in a file: which keys there are, of which type, in which range, with which
 * default, and where the value goes. They drive reading and checking (key_read.h), "did you mean", and the reference
 * pages (reference.h): nothing about a key is written down anywhere else.
 */
#ifndef MODEL_KEYS_H
#define MODEL_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/spec.h"

typedef enum KeyType
{
	KEY_MAP,		  /* `keys` below it; they write into the same struct, or into the one at `base` */
	KEY_OPTIONAL_MAP, /* the same; a bool says whether it is there, and without it the keys below are not read */
	KEY_MAP_LIST,	  /* a list of maps of `keys`: an array of structs; the first key tells them apart */
	KEY_NAMED_MAPS,	  /* a map from the user's names to maps of `keys`: an array of structs that begin with the name */
	KEY_CHOICE,		  /* one of `choices`: an enum */
	KEY_NAME,		  /* char[NAME_MAX_BYTES + 1] */
	KEY_TEXT,		  /* char *: text that is not empty */
	KEY_IMAGE,		  /* char *: an image's name */
	KEY_PATH,		  /* char *: an absolute path in a machine */
	KEY_TEXT_LIST,	  /* char **, NULL-terminated */
	KEY_ENVIRONMENT,  /* EnvironmentVariable *, sorted by name */
	KEY_NUMBER,		  /* unsigned integer of `bytes` bytes */
	KEY_SIZE,		  /* uint64_t, bytes */
	KEY_DURATION,	  /* uint64_t, milliseconds */
	KEY_SECONDS,	  /* uint64_t, whole seconds, written as a duration */
	KEY_BOOLEAN,	  /* bool */
	KEY_HOST_PATH,	  /* char[bytes]: an absolute path on the host */
	KEY_WORD,		  /* char[bytes]: what `check` accepts */
	KEY_SUBNET,		  /* uint32_t in host byte order, and the prefix length at count_offset (unsigned) */
	KEY_SUBNET6,	  /* unsigned char[16], and the prefix length at count_offset (unsigned); 0: "none" */
	KEY_NOT_OFFERED	  /* a key of lttle that one host does not have; doc says why, or what to write instead */
} KeyType;

typedef struct Key Key;

/*
 * A choice can be written as a word, or as a map with one key, the word, when it has keys of its own. One with an
 * argument is written as such a map, with the value: {nth-listen: 3}.
 */
typedef struct Choice
{
	const char *word;	 /* NULL ends the table */
	int value;			 /* CHOICE_NOT_OFFERED: a word of lttle that one host does not have; doc says why */
	const Key *keys;	 /* NULL: only the word */
	const Key *argument; /* NULL: none; its name is the word */
	const char *doc;
} Choice;
#define CHOICE_NOT_OFFERED (-1)

struct Key
{
	const char *name; /* NULL ends the table */
	KeyType type;
	bool required;
	const char *fallback;	   /* the value when it isn't there, as it would be written; NULL: zero */
	const char *fallback_note; /* for the reference, where the default depends on something else */
	uint64_t minimum;		   /* numbers, sizes (bytes), durations (ms) */
	uint64_t maximum;		   /* also the most elements of a list or map */
	const char *unit;		   /* of a number: "MiB" */
	const Key *keys;
	const Choice *choices;
	const char *(*check)(const char *text); /* KEY_WORD, KEY_TEXT, each of a KEY_TEXT_LIST, names of a KEY_ENVIRONMENT:
											   NULL or what is wrong with it */
	size_t offset;							/* of the value in the struct */
	size_t bytes;							/* of the value, or of one element of an array */
	size_t count_offset;					/* arrays: of the size_t */
	size_t mark_offset;						/* arrays of structs: of the SourceMark in an element */
	size_t base;							/* maps and choices: where the struct is that the keys below write into */
	bool restarts;							/* a change takes effect only in a machine that is started anew */
	bool brief;								/* not written where it has its default */
	const char *example;
	const char *doc; /* one sentence */
};

/* The kinds of resources. */
typedef struct KindKeys
{
	const char *name; /* NULL ends the table */
	int kind;		  /* ResourceKind, or CHOICE_NOT_OFFERED */
	const Key *keys;
	const char *doc;
	const char *one_of[2]; /* two keys of which there must be one, and one only */
} KindKeys;

extern const Key volume_keys[];	  /* keys_volume.c */
extern const Key app_keys[];	  /* keys_machine.c: the first one is `expose`, which a machine doesn't have */
extern const Key service_keys[];  /* keys_service.c */
extern const Key postgres_keys[]; /* keys_postgres.c */

extern const KindKeys resource_kinds[];
const KindKeys *resource_kind_keys(ResourceKind kind);

#endif
