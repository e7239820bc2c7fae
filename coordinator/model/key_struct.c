/* Owning what a struct holds that a table of keys describes; see key_struct.h. */
#include "model/key_struct.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static void *
field_of(void *target, size_t offset)
{
	return (char *) target + offset;
}

const Choice *
key_choice(const Key *key, const void *source)
{
	int value;

	memcpy(&value, (const char *) source + key->offset, sizeof(value));
	for (const Choice *choice = key->choices; choice->word != NULL; choice++)
	{
		if (choice->value == value && value != CHOICE_NOT_OFFERED)
			return choice;
	}
	return NULL;
}

uint64_t
key_number(const Key *key, const void *source)
{
	const char *field = (const char *) source + key->offset;

	switch (key->bytes)
	{
		case sizeof(uint16_t):
			return *(const uint16_t *) (const void *) field;
		case sizeof(uint32_t):
			return *(const uint32_t *) (const void *) field;
		default:
			return *(const uint64_t *) (const void *) field;
	}
}

/* What is done with each thing that a struct points to: it is made its own, or freed. */
typedef struct Treatment
{
	void (*text)(char **text);
	void (*texts)(char ***texts);
	void (*environment)(EnvironmentVariable **variables, size_t *count);
	void (*array)(const Key *key, void **array, size_t *count);
} Treatment;

static void
keys_treat(const Key *keys, void *target, const Treatment *treatment)
{
	for (const Key *key = keys; key->name != NULL; key++)
	{
		const Choice *choice;
		void *field = field_of(target, key->offset);
		void *count = field_of(target, key->count_offset);

		switch (key->type)
		{
			case KEY_MAP:
			case KEY_OPTIONAL_MAP:
				keys_treat(key->keys, field_of(target, key->base), treatment);
				break;
			case KEY_CHOICE:
				choice = key_choice(key, target);
				if (choice != NULL && choice->keys != NULL)
					keys_treat(choice->keys, field_of(target, key->base), treatment);
				break;
			case KEY_MAP_LIST:
			case KEY_NAMED_MAPS:
				treatment->array(key, field, count);
				break;
			case KEY_ENVIRONMENT:
				treatment->environment(field, count);
				break;
			case KEY_TEXT_LIST:
				treatment->texts(field);
				break;
			case KEY_TEXT:
			case KEY_IMAGE:
			case KEY_PATH:
				treatment->text(field);
				break;
			default:
				break;
		}
	}
}

/* ---- owning ---- */

static void
own_text(char **text)
{
	if (*text != NULL)
		*text = memory_duplicate(*text);
}

static void
own_texts(char ***texts)
{
	size_t count = 0;
	char **copy;

	if (*texts == NULL)
		return;
	while ((*texts)[count] != NULL)
		count++;
	copy = memory_allocate((count + 1) * sizeof(*copy));
	for (size_t i = 0; i < count; i++)
		copy[i] = memory_duplicate((*texts)[i]);
	*texts = copy;
}

static void
own_environment(EnvironmentVariable **variables, size_t *count)
{
	EnvironmentVariable *copy = memory_allocate(*count * sizeof(*copy));

	for (size_t i = 0; i < *count; i++)
	{
		copy[i] = (*variables)[i];
		own_text(&copy[i].name);
		own_text(&copy[i].value);
	}
	*variables = copy;
}

static void
own_array(const Key *key, void **array, size_t *count)
{
	char *copy = memory_allocate(*count * key->bytes);

	if (*count > 0)
		memcpy(copy, *array, *count * key->bytes);
	for (size_t i = 0; i < *count; i++)
		keys_own(key->keys, copy + i * key->bytes);
	*array = copy;
}

void
keys_own(const Key *keys, void *target)
{
	static const Treatment owning = {own_text, own_texts, own_environment, own_array};

	keys_treat(keys, target, &owning);
}

/* ---- freeing ---- */

static void
free_text(char **text)
{
	free(*text);
	*text = NULL;
}

static void
free_texts(char ***texts)
{
	memory_free_texts(*texts);
	*texts = NULL;
}

static void
free_environment(EnvironmentVariable **variables, size_t *count)
{
	for (size_t i = 0; i < *count; i++)
	{
		free((*variables)[i].name);
		free((*variables)[i].value);
	}
	free(*variables);
	*variables = NULL;
	*count = 0;
}

static void
free_array(const Key *key, void **array, size_t *count)
{
	for (size_t i = 0; i < *count; i++)
		keys_free(key->keys, (char *) *array + i * key->bytes);
	free(*array);
	*array = NULL;
	*count = 0;
}

void
keys_free(const Key *keys, void *target)
{
	static const Treatment freeing = {free_text, free_texts, free_environment, free_array};

	keys_treat(keys, target, &freeing);
}
