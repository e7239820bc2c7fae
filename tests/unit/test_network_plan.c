/* Names and addresses of a machine's network: pure arithmetic, and what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "host/network.h"

static const HostLayout layout = {
	.run_directory = "/run/lttle",
	.name_prefix = "lttle",
	.subnet_address = 0x0a580000, /* 10.88.0.0 */
	.subnet_bits = 16,
};

static void
test_plan(void **state)
{
	MachineNetwork network;
	char text[16];

	(void) state;
	assert_int_equal(network_plan(&layout, "samples.postgresql", 1, &network, NULL), 0);
	assert_string_equal(network.pin_path, "/run/lttle/netns/samples.postgresql");
	assert_string_equal(network.host_link, "lttle1");
	network_format_address(network.gateway, text);
	assert_string_equal(text, "10.88.0.1");
	network_format_address(network.address, text);
	assert_string_equal(text, "10.88.0.2");
	assert_int_equal(network_plan(&layout, "x", 300, &network, NULL), 0);
	network_format_address(network.address, text);
	assert_string_equal(text, "10.88.1.45");
}

/* The machine's IPv4 address is the last of its IPv6 address, in whatever network. */
static void
test_ipv6(void **state)
{
	HostLayout both = layout;
	MachineNetwork network;
	char text[46];

	(void) state;
	assert_int_equal(network_plan(&both, "x", 300, &network, NULL), 0);
	assert_false(network.has_ipv6);
	network_format_address6(&network, text);
	assert_string_equal(text, "");
	both.subnet6_bits = 64;
	memcpy(both.subnet6_address, "\xfd\x6ctt\x6c\x65\0\1", 8);
	assert_int_equal(network_plan(&both, "x", 300, &network, NULL), 0);
	assert_true(network.has_ipv6);
	network_format_address6(&network, text);
	assert_string_equal(text, "fd6c:7474:6c65:1::a58:12d");
	assert_memory_equal(network.gateway6 + 12, "\x0a\x58\0\1", 4);
}

/* The last address of the subnet is the broadcast address; no machine may get it, nor one outside. */
static void
test_subnet_has_an_end(void **state)
{
	HostLayout small = layout;
	MachineNetwork network;
	char text[16];
	Error err = {0};

	(void) state;
	small.subnet_bits = 28;
	assert_int_equal(network_plan(&small, "x", 13, &network, &err), 0);
	network_format_address(network.address, text);
	assert_string_equal(text, "10.88.0.14");
	assert_int_equal(network_plan(&small, "x", 14, &network, &err), -ERANGE);
	assert_string_equal(err.message, "machine x: the subnet has addresses 1 to 13, not 14");
	assert_int_equal(network_plan(&small, "x", 0, &network, &err), -ERANGE);
	small.subnet_bits = 29;
	assert_int_equal(network_plan(&small, "x", 1, &network, &err), -EINVAL);
}

static void
test_names(void **state)
{
	static const char *const bad[] = {"", ".", "..", "a/b", ".hidden"};
	HostLayout wide = layout;
	MachineNetwork network;
	char name[400];

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(network_plan(&layout, bad[i], 1, &network, NULL), -EINVAL);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(network_plan(&layout, name, 1, &network, NULL), -ENAMETOOLONG);
	/* Eight letters and eight digits are one more than a link's name may have. */
	wide.subnet_bits = 8;
	strcpy(wide.name_prefix, "abcdefgh");
	assert_int_equal(network_plan(&wide, "x", 9999999, &network, NULL), 0);
	assert_string_equal(network.host_link, "abcdefgh9999999");
	assert_int_equal(network_plan(&wide, "x", 10000000, &network, NULL), -ENAMETOOLONG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plan),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_subnet_has_an_end),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
