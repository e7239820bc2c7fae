/* The order of machines by what they depend on, and machines that wait for each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fixture_resources.h"
#include "model/dependency_order.h"

#define MOST 2000

/* Orders the machines of a file. Returns their names one after the other, or the cycle. The caller frees. */
static char *
order_of(const char *yaml)
{
	ResourceSet set = parse_good(yaml);
	const AppSpec *specs[16];
	size_t order[16];
	char *cycle = NULL;
	size_t at = 4711;
	Text text = {0};

	for (size_t i = 0; i < set.count; i++)
		specs[i] = &set.resources[i].app;
	if (dependency_order(specs, set.count, order, &cycle, &at) == -ELOOP)
	{
		text_printf(&text, "%s at %s", cycle, specs[at]->name);
		free(cycle);
	}
	else
	{
		for (size_t i = 0; i < set.count; i++)
			text_append(&text, specs[order[i]]->name);
	}
	resource_set_clear(&set);
	return text.data;
}

#define MACHINE(name, needs) "machine: {name: " name ", image: i, depends-on: [" needs "]}\n---\n"
#define ON(name)			 "{name: " name "}, "

static void
assert_order(const char *yaml, const char *expected)
{
	char *order = order_of(yaml);

	assert_string_equal(order, expected);
	free(order);
}

static void
test_orders(void **state)
{
	(void) state;
	assert_order(MACHINE("c", "") MACHINE("b", "") MACHINE("a", ""), "cba");
	assert_order(MACHINE("c", ON("b")) MACHINE("b", ON("a")) MACHINE("a", ""), "abc");
	assert_order(MACHINE("d", ON("b") ON("c")) MACHINE("c", ON("a")) MACHINE("b", ON("a")) MACHINE("a", ""), "abcd");
	assert_order(MACHINE("b", ON("deployed")) MACHINE("a", "{name: b, namespace: other}"), "ba");
}

static void
test_cycles(void **state)
{
	(void) state;
	assert_order(MACHINE("a", ON("a")), "default/a → default/a at a");
	assert_order(MACHINE("a", ON("b")) MACHINE("b", ON("a")), "default/a → default/b → default/a at a");
	assert_order(MACHINE("x", ON("a")) MACHINE("a", ON("y") ON("b")) MACHINE("y", "") MACHINE("b", ON("c"))
					 MACHINE("c", ON("a")),
				 "default/a → default/b → default/c → default/a at a");
}

/* A long chain takes neither long nor a deep stack. */
static void
test_a_long_chain(void **state)
{
	AppSpec *specs = memory_allocate(MOST * sizeof(*specs));
	Dependency *dependencies = memory_allocate(MOST * sizeof(*dependencies));
	const AppSpec **pointers = memory_allocate(MOST * sizeof(*pointers));
	size_t *order = memory_allocate(MOST * sizeof(*order));
	char *cycle = NULL;
	size_t at = 0;

	(void) state;
	for (size_t i = 0; i < MOST; i++)
	{
		snprintf(specs[i].name, sizeof(specs[i].name), "m%zu", i);
		snprintf(dependencies[i].name, sizeof(dependencies[i].name), "m%zu", (i + 1) % MOST);
		specs[i].dependencies = &dependencies[i];
		specs[i].dependency_count = i + 1 < MOST;
		pointers[i] = &specs[i];
	}
	assert_int_equal(dependency_order(pointers, MOST, order, &cycle, &at), 0);
	for (size_t i = 0; i < MOST; i++)
		assert_int_equal(order[i], MOST - 1 - i);
	specs[MOST - 1].dependency_count = 1;
	assert_int_equal(dependency_order(pointers, MOST, order, &cycle, &at), -ELOOP);
	assert_int_equal(at, 0);
	free(cycle);
	free(order);
	free(pointers);
	free(dependencies);
	free(specs);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_orders),
		cmocka_unit_test(test_cycles),
		cmocka_unit_test(test_a_long_chain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
