/* Which listening fulfils which strategy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/strategy.h"

static const uint16_t ports[] = {4001, 80, 80, 443};

static void
test_manual_is_never_fulfilled_from_outside(void **state)
{
	const AppSpec spec = {.strategy = STRATEGY_MANUAL};

	(void) state;
	assert_false(strategy_is_fulfilled(&spec, ports, 4));
}

static void
test_first_listen(void **state)
{
	const AppSpec spec = {.strategy = STRATEGY_FIRST_LISTEN};

	(void) state;
	assert_false(strategy_is_fulfilled(&spec, NULL, 0));
	assert_true(strategy_is_fulfilled(&spec, ports, 1));
}

static void
test_nth_listen_counts_every_one(void **state)
{
	const AppSpec spec = {.strategy = STRATEGY_NTH_LISTEN, .strategy_argument = 3};

	(void) state;
	assert_false(strategy_is_fulfilled(&spec, ports, 2));
	assert_true(strategy_is_fulfilled(&spec, ports, 3));
	assert_true(strategy_is_fulfilled(&spec, ports, 4));
}

static void
test_listen_on_port_waits_for_its_own(void **state)
{
	const AppSpec spec = {.strategy = STRATEGY_LISTEN_ON_PORT, .strategy_argument = 443};

	(void) state;
	assert_false(strategy_is_fulfilled(&spec, NULL, 0));
	assert_false(strategy_is_fulfilled(&spec, ports, 3));
	assert_true(strategy_is_fulfilled(&spec, ports, 4));
}

static void
test_user_space_ready_needs_no_listening(void **state)
{
	const AppSpec spec = {.strategy = STRATEGY_USER_SPACE_READY};

	(void) state;
	assert_true(strategy_is_fulfilled(&spec, NULL, 0));
}

static void
test_descriptions(void **state)
{
	static const struct
	{
		AppSpec spec;
		const char *text;
	} cases[] = {
		{{.strategy = STRATEGY_MANUAL}, "manual"},
		{{.strategy = STRATEGY_FIRST_LISTEN}, "first-listen"},
		{{.strategy = STRATEGY_NTH_LISTEN, .strategy_argument = 2}, "nth-listen 2"},
		{{.strategy = STRATEGY_LISTEN_ON_PORT, .strategy_argument = 80}, "listen-on-port 80"},
		{{.strategy = STRATEGY_USER_SPACE_READY}, "user-space-ready"},
	};
	char text[64];

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		strategy_describe(&cases[i].spec, text, sizeof(text));
		assert_string_equal(text, cases[i].text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_manual_is_never_fulfilled_from_outside),
		cmocka_unit_test(test_first_listen),
		cmocka_unit_test(test_nth_listen_counts_every_one),
		cmocka_unit_test(test_listen_on_port_waits_for_its_own),
		cmocka_unit_test(test_user_space_ready_needs_no_listening),
		cmocka_unit_test(test_descriptions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
