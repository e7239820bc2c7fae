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

static char *
copy_text(const char *from)
{
	return from == NULL ? NULL : memory_duplicate(from);
}

static char **
copy_texts(char *const *from)
{
	size_t count = 0;
	char **copy;

	if (from == NULL)
		return NULL;
	while (from[count] != NULL)
		count++;
	copy = memory_allocate((count + 1) * sizeof(*copy));
	for (size_t i = 0; i < count; i++)
		copy[i] = memory_duplicate(from[i]);
	return copy;
}

static void
own_environment(const Key *key, void *target)
{
	EnvironmentVariable **variables = field_of(target, key->offset);
	size_t count = *(size_t *) field_of(target, key->count_offset);
	EnvironmentVariable *copy = memory_allocate(count * sizeof(*copy));

	for (size_t i = 0; i < count; i++)
		copy[i] = (EnvironmentVariable){.name = copy_text((*variables)[i].name),
										.value = copy_text((*variables)[i].value),
										.mark = (*variables)[i].mark};
	*variables = copy;
}

static void
free_environment(const Key *key, void *target)
{
	EnvironmentVariable **variables = field_of(target, key->offset);
	size_t *count = field_of(target, key->count_offset);

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
own_array(const Key *key, void *target)
{
	void **array = field_of(target, key->offset);
	size_t count = *(size_t *) field_of(target, key->count_offset);
	char *copy = memory_allocate(count * key->bytes);

	if (count > 0)
		memcpy(copy, *array, count * key->bytes);
	for (size_t i = 0; i < count; i++)
		keys_own(key->keys, copy + i * key->bytes);
	*array = copy;
}

static void
free_array(const Key *key, void *target)
{
	void **array = field_of(target, key->offset);
	size_t *count = field_of(target, key->count_offset);

	for (size_t i = 0; i < *count; i++)
		keys_free(key->keys, (char *) *array + i * key->bytes);
	free(*array);
	*array = NULL;
	*count = 0;
}

void
keys_own(const Key *keys, void *target)
{
	for (const Key *key = keys; key->name != NULL; key++)
	{
		const Choice *choice;
		char **text = field_of(target, key->offset);

		switch (key->type)
		{
			case KEY_MAP:
			case KEY_OPTIONAL_MAP:
				keys_own(key->keys, field_of(target, key->base));
				break;
			case KEY_CHOICE:
				choice = key_choice(key, target);
				if (choice != NULL && choice->keys != NULL)
					keys_own(choice->keys, field_of(target, key->base));
				break;
			case KEY_MAP_LIST:
			case KEY_NAMED_MAPS:
				own_array(key, target);
				break;
			case KEY_ENVIRONMENT:
				own_environment(key, target);
				break;
			case KEY_TEXT_LIST:
				*(char ***) field_of(target, key->offset) = copy_texts(*(char ***) field_of(target, key->offset));
				break;
			case KEY_TEXT:
			case KEY_IMAGE:
			case KEY_PATH:
				*text = copy_text(*text);
				break;
			default:
				break;
		}
	}
}

void
keys_free(const Key *keys, void *target)
{
	for (const Key *key = keys; key->name != NULL; key++)
	{
		const Choice *choice;
		char **text = field_of(target, key->offset);

		switch (key->type)
		{
			case KEY_MAP:
			case KEY_OPTIONAL_MAP:
				keys_free(key->keys, field_of(target, key->base));
				break;
			case KEY_CHOICE:
				choice = key_choice(key, target);
				if (choice != NULL && choice->keys != NULL)
					keys_free(choice->keys, field_of(target, key->base));
				break;
			case KEY_MAP_LIST:
			case KEY_NAMED_MAPS:
				free_array(key, target);
				break;
			case KEY_ENVIRONMENT:
				free_environment(key, target);
				break;
			case KEY_TEXT_LIST:
				memory_free_texts(*(char ***) field_of(target, key->offset));
				*(char ***) field_of(target, key->offset) = NULL;
				break;
			case KEY_TEXT:
			case KEY_IMAGE:
			case KEY_PATH:
				free(*text);
				*text = NULL;
				break;
			default:
				break;
		}
	}
}
