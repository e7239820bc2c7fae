/* Depth first, with a stack of its own: a chain of dependencies is as long as a file allows. See dependency_order.h. */
#include "model/dependency_order.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

typedef enum Mark
{
	MARK_NEW,
	MARK_OPEN, /* on the way down */
	MARK_DONE
} Mark;

typedef struct Visit
{
	const AppSpec *spec;
	size_t index; /* in the caller's array */
	Mark mark;
	size_t next;		/* of its dependencies */
	struct Visit *from; /* on the way down */
} Visit;

static int
compare_visits(const void *left, const void *right)
{
	const AppSpec *a = (*(Visit *const *) left)->spec;
	const AppSpec *b = (*(Visit *const *) right)->spec;
	int order = strcmp(a->name_space, b->name_space);

	return order != 0 ? order : strcmp(a->name, b->name);
}

static Visit *
find_visit(Visit **sorted, size_t count, const Dependency *dependency)
{
	size_t low = 0;
	size_t high = count;

	while (low < high)
	{
		size_t middle = (low + high) / 2;
		int order = strcmp(sorted[middle]->spec->name_space, dependency->name_space);

		if (order == 0)
			order = strcmp(sorted[middle]->spec->name, dependency->name);
		if (order == 0)
			return sorted[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* "n/a → n/b → n/a": `last` has come back to `first`. */
static char *
describe_cycle(const Visit *first, const Visit *last)
{
	char *text = memory_printf("%s/%s", first->spec->name_space, first->spec->name);
	char *whole;

	for (const Visit *visit = last; visit != first; visit = visit->from)
	{
		char *longer = memory_printf("%s/%s → %s", visit->spec->name_space, visit->spec->name, text);

		free(text);
		text = longer;
	}
	whole = memory_printf("%s/%s → %s", first->spec->name_space, first->spec->name, text);
	free(text);
	return whole;
}

/* Goes down from one machine. Returns the last machine of a cycle and what it came back to, or NULL. */
static Visit *
walk_down(Visit *visit, Visit **sorted, size_t count, size_t *order, size_t *ordered, Visit **ret_back)
{
	visit->mark = MARK_OPEN;
	while (visit != NULL)
	{
		Visit *below;

		if (visit->next == visit->spec->dependency_count)
		{
			visit->mark = MARK_DONE;
			order[(*ordered)++] = visit->index;
			visit = visit->from;
			continue;
		}
		below = find_visit(sorted, count, &visit->spec->dependencies[visit->next++]);
		if (below == NULL || below->mark == MARK_DONE)
			continue;
		if (below->mark == MARK_OPEN)
		{
			*ret_back = below;
			return visit;
		}
		below->mark = MARK_OPEN;
		below->from = visit;
		visit = below;
	}
	return NULL;
}

int
dependency_order(const AppSpec *const *specs, size_t count, size_t *ret_order, char **ret_cycle, size_t *ret_at)
{
	Visit *visits = memory_allocate((count + 1) * sizeof(*visits));
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): it holds pointers */
	Visit **sorted = memory_allocate((count + 1) * sizeof(*sorted));
	size_t ordered = 0;
	Visit *last = NULL;
	Visit *back = NULL;

	for (size_t i = 0; i < count; i++)
	{
		visits[i] = (Visit){.spec = specs[i], .index = i};
		sorted[i] = &visits[i];
	}
	if (count > 1)
		/* NOLINTNEXTLINE(bugprone-sizeof-expression): as above */
		qsort(sorted, count, sizeof(*sorted), compare_visits);
	for (size_t i = 0; last == NULL && i < count; i++)
	{
		if (visits[i].mark == MARK_NEW)
			last = walk_down(&visits[i], sorted, count, ret_order, &ordered, &back);
	}
	if (last != NULL)
	{
		*ret_cycle = describe_cycle(back, last);
		*ret_at = back->index;
	}
	free(sorted);
	free(visits);
	return last == NULL ? 0 : -ELOOP;
}
