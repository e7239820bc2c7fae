/* Files of resources that are refused: each way to be wrong, with the exact place and words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fixture_data.h"
#include "fixture_resources.h"

/* Three lines; what follows begins at line 4. */
#define APP "app:\n  name: a\n  image: i\n"

typedef struct Case
{
	const char *yaml;
	const char *complaints;
} Case;

static void
assert_all_refused(const Case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++)
		assert_refused(cases[i].yaml, cases[i].complaints);
}
#define ASSERT_ALL_REFUSED(cases) assert_all_refused(cases, sizeof(cases) / sizeof((cases)[0]))

static void
test_documents(void **state)
{
	static const Case cases[] = {
		{"", "f:1:1: holds no resource"},
		{"# only a comment\n", "f:1:1: holds no resource"},
		{"---\n---\n", "f:1:1: holds no resource"},
		{"hello", "f:1:1: a document must be a map with one key that names the kind; known kinds: volume, app, "
				  "machine, service, postgres"},
		{"- app: {}", "f:1:1: a document must be a map with one key that names the kind; known kinds: volume, app, "
					  "machine, service, postgres"},
		{"{}", "f:1:1: a document must be a map with one key that names the kind; known kinds: volume, app, machine, "
			   "service, postgres"},
		{"ap: {}", "f:1:1: unknown kind 'ap'; did you mean 'app'?"},
		{"App: {}", "f:1:1: unknown kind 'App'; did you mean 'app'?"},
		{"pod: {}", "f:1:1: unknown kind 'pod'; known kinds: volume, app, machine, service, postgres"},
		{"---\ncertificate:",
		 "f:2:1: 'certificate' is not offered by a single host: lttle's hosted service orders and renews certificates; "
		 "this host does not; known kinds: volume, app, machine, service, postgres"},
		{"app: [a]", "f:1:6: app: must be a map with the keys of an app"},
		{"volume: v", "f:1:9: volume: must be a map with the keys of a volume"},
		{"volume: {name: v, size: 16Mi}\napp: {name: a, image: i}",
		 "f:2:1: a document holds one resource, but this one also has 'app'; put '---' between resources, and indent "
		 "the keys of one"},
		{"volume: {name: v, size: 16Mi}\n\"\\x1b[2J\": 1",
		 "f:2:1: a document holds one resource, but this one also has '?[2J'; put '---' between resources, and indent "
		 "the keys of one"},
		{"app:\n  name: a\n  image: i\n  expose:\n    \"\\x1b[31m\": 1",
		 "f:5:5: app.expose.?[31m: a name must begin with a letter, but this is '?[31m'\n"
		 "f:5:17: app.expose.?[31m: must be a map, but is '1'"},
		{APP "---\n" APP, "f:5:1: app: app default/a appears twice in this file; the first is at line 1"},
		{"app:", "f:1:1: app.name: is missing; it must be a name\n"
				 "f:1:1: app.image: is missing; it must be the name of an image, or there is a 'build'"},
		{"volume: {}", "f:1:1: volume.name: is missing; it must be a name\n"
					   "f:1:1: volume.size: is missing; it must be a size from 16Mi to 16Ti, such as 100Mi"},
	};

	(void) state;
	ASSERT_ALL_REFUSED(cases);
}

static void
test_yaml_itself(void **state)
{
	static const Case cases[] = {
		{"app:\n\tname: a\n", "f:2:1: is not valid YAML: there is a tab; indent with spaces"},
		{"# \xc3\xa4\xc3\xb6\napp:\n  \xc3\xa4: b\n\tname: a\n",
		 "f:4:1: is not valid YAML: there is a tab; indent with spaces"},
		{"app: [a\nb: 1\n",
		 "f:2:2: is not valid YAML: did not find expected ',' or ']' (while parsing a flow sequence that begins at "
		 "line 1)"},
		{"app:\n  name: a\n image: i\n",
		 "f:3:2: is not valid YAML: did not find expected key (while parsing a block mapping that begins at line 1)"},
		{"app: \"a", "f:1:8: is not valid YAML: found unexpected end of stream"},
		{"a: \xff\n", "f:1:4: is not valid YAML: invalid leading UTF-8 octet"},
		{"x: 1\nab: \x01\n", "f:2:5: is not valid YAML: control characters are not allowed"},
		{"app: &x {name: a, image: i}", "f:1:6: anchors and aliases are not taken; write the value out"},
		{"app: {name: *x, image: i}", "f:1:13: anchors and aliases are not taken; write the value out"},
		{"app: {name: a, image: !!str i}", "f:1:23: tags such as '!!str' are not taken; put text in quotes instead"},
		{"%TAG ! !a\n---\n" APP, "f:1:1: %TAG directives are not taken"},
		{"%YAML 1.1\n---\n" APP "...\n%TAG ! !a\n---\nvolume: {name: v, size: 16Mi}\n",
		 "f:7:1: %TAG directives are not taken"},
		{"app: {name: a, image: i, ? [x] : y}", "f:1:28: a key must be text"},
		{"app: {name: a, image: i, ~: y}", "f:1:26: a key must be text"},
		{"app: {name: \"a\\0b\", image: i}", "f:1:13: text must not hold a NUL byte"},
		{"app: {name: a, name: b, image: i}", "f:1:16: app: key 'name' appears twice; the first is at line 1"},
		{APP "  environment:\n    A: 1\n    B: 2\n    A: 3\n",
		 "f:7:5: app.environment: key 'A' appears twice; the first is at line 5"},
		{APP "app:\n  name: b\n",
		 "f:4:1: key 'app' appears twice; the first is at line 1\n"
		 "f:4:1: a document holds one resource, but this one also has 'app'; put '---' between resources, and indent "
		 "the keys of one"},
	};

	(void) state;
	ASSERT_ALL_REFUSED(cases);
}

static void
test_names_and_namespaces(void **state)
{
	static const Case cases[] = {
		{"app: {name: 1a, image: i}", "f:1:13: app.name: a name must begin with a letter, but this is '1a'"},
		{"app: {name: a--b, image: i}", "f:1:13: app.name: a name must not hold '--', but this is 'a--b'"},
		{"app: {name: \"\", image: i}", "f:1:13: app.name: a name must not be empty, but this is ''"},
		{"app: {name: \"a\\nb\", image: i}",
		 "f:1:13: app.name: a name holds only letters, digits, '-' and '_', but this is 'a?b'"},
		{"app: {name: [a], image: i}", "f:1:13: app.name: must be a name, but is a list"},
		{"app: {name: {a: b}, image: i}", "f:1:13: app.name: must be a name, but is a map"},
		{"app: {name: ~, image: i}", "f:1:7: app.name: is missing; it must be a name"},
		{"app:\n  image: i\n", "f:1:1: app.name: is missing; it must be a name"},
		{APP "  namespace: a/b\n",
		 "f:4:14: app.namespace: a name holds only letters, digits, '-' and '_', but this is 'a/b'"},
		{"volume: {name: v, size: 16Mi, namespace: ..}",
		 "f:1:42: volume.namespace: a name must begin with a letter, but this is '..'"},
		{"app: {name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, image: i}",
		 "f:1:13: app.name: a name has at most 63 characters, but this is "
		 "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...'"},
	};

	(void) state;
	ASSERT_ALL_REFUSED(cases);
}

static void
test_volume_keys(void **state)
{
	static const Case cases[] = {
		{"volume: {name: v, size: 100mi}",
		 "f:1:25: volume.size: the unit of a size is one of Ki, Mi, Gi, Ti (powers of 1024), K, M, G, T (powers of "
		 "1000) or none (bytes), but this is '100mi'"},
		{"volume: {name: v, size: big}",
		 "f:1:25: volume.size: a size is a whole number and a unit, such as 100Mi or 5GB, but this is 'big'"},
		{"volume: {name: v, size: 1Mi}",
		 "f:1:25: volume.size: must be a size from 16Mi to 16Ti, such as 100Mi, but is '1Mi'"},
		{"volume: {name: v, size: 17Ti}",
		 "f:1:25: volume.size: must be a size from 16Mi to 16Ti, such as 100Mi, but is '17Ti'"},
		{"volume: {name: v, size: {}}",
		 "f:1:25: volume.size: must be a size from 16Mi to 16Ti, such as 100Mi, but is a map"},
		{"volume: {name: v, size: 16Mi, mode: writable}",
		 "f:1:37: volume.mode: must be 'writeable' or 'read-only', but is 'writable'; did you mean 'writeable'?"},
		{"volume: {name: v, size: 16Mi, mode: rw}",
		 "f:1:37: volume.mode: must be 'writeable' or 'read-only', but is 'rw'"},
		{"volume: {name: v, size: 16Mi, mode: {writeable: {a: b}}}",
		 "f:1:49: volume.mode.writeable: has no keys of its own; write 'mode: writeable'"},
		{"volume: {name: v, size: 16Mi, tags: a}", "f:1:37: volume.tags: must be a list, but is 'a'"},
		{"volume: {name: v, size: 16Mi, tags: [a, {}]}", "f:1:41: volume.tags[1]: must be text, but is a map"},
		{"volume: {name: v, size: 16Mi, image: i}",
		 "f:1:31: volume: unknown key 'image'; known keys: name, namespace, tags, mode, size"},
	};

	(void) state;
	ASSERT_ALL_REFUSED(cases);
}

static void
test_image_and_resources(void **state)
{
	static const char *const image = "f:1:23: app.image: the name of an image is [host[:port]/]path[:tag][@digest], ";
	static const char *const images[] = {"a b", "-a", "/a", "a//b", "a:", "a@", "a$b", "../a", "a/"};
	static const Case cases[] = {
		{"app: {name: a}", "f:1:1: app.image: is missing; it must be the name of an image, or there is a 'build'"},
		{"app: {name: a, image: \"\"}", "f:1:23: app.image: the name of an image must not be empty, but this is ''"},
		{"app: {name: a, image: [i]}", "f:1:23: app.image: must be the name of an image, but is a list"},
		{APP "  resources: big\n", "f:4:14: app.resources: must be a map, but is 'big'"},
		{APP "  resources: [1]\n", "f:4:14: app.resources: must be a map, but is a list"},
		{APP "  resources:\n    memroy: 256\n", "f:5:5: app.resources: unknown key 'memroy'; did you mean 'memory'?"},
		{APP "  resources:\n    disk: 1\n", "f:5:5: app.resources: unknown key 'disk'; known keys: cpu, memory"},
		{APP "  resources:\n    cpu: 0\n    memory: 63\n",
		 "f:5:10: app.resources.cpu: must be a whole number from 1 to 24, but is '0'\n"
		 "f:6:13: app.resources.memory: must be a whole number of MiB from 64 to 1048576, but is '63'"},
		{APP "  resources: {cpu: 25}", "f:4:20: app.resources.cpu: must be a whole number from 1 to 24, but is '25'"},
		{APP "  resources: {cpu: 1.5}", "f:4:20: app.resources.cpu: must be a whole number from 1 to 24, but is '1.5'"},
		{APP "  resources: {cpu: -1}", "f:4:20: app.resources.cpu: must be a whole number from 1 to 24, but is '-1'"},
		{APP "  resources: {cpu: \"1\"}",
		 "f:4:20: app.resources.cpu: must be a whole number from 1 to 24, but is text: '1'"},
		{APP "  resources: {cpu: 18446744073709551617}",
		 "f:4:20: app.resources.cpu: must be a whole number from 1 to 24, but is '18446744073709551617'"},
		{APP "  resources: {memory: 256Mi}",
		 "f:4:23: app.resources.memory: must be a whole number of MiB from 64 to 1048576, but is '256Mi'"},
		{APP "  resources: {memory: true}",
		 "f:4:23: app.resources.memory: must be a whole number of MiB from 64 to 1048576, but is 'true'"},
	};

	(void) state;
	ASSERT_ALL_REFUSED(cases);
	for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++)
	{
		char *yaml = memory_printf("app: {name: a, image: \"%s\"}", images[i]);
		char *complaint = memory_printf("%sbut this is '%s'", image, images[i]);

		assert_refused(yaml, complaint);
		free(complaint);
		free(yaml);
	}
}

#define STRATEGIES "'manual', 'first-listen', 'nth-listen', 'listen-on-port' or 'user-space-ready'"

static void
test_mode(void **state)
{
	static const Case cases[] = {
		{APP "  mode: flesh\n", "f:4:9: app.mode: must be 'regular' or 'flash', but is 'flesh'; did you mean 'flash'?"},
		{APP "  mode: [flash]\n", "f:4:9: app.mode: must be 'regular' or 'flash', but is a list"},
		{APP "  mode: {}\n", "f:4:9: app.mode: must be 'regular' or 'flash', but is a map"},
		{APP "  mode: flash\n", "f:4:9: app.mode.flash.strategy: is missing; it must be " STRATEGIES ""},
		{APP "  mode:\n    flash:\n      timeout: 3\n",
		 "f:5:5: app.mode.flash.strategy: is missing; it must be " STRATEGIES ""},
		{APP "  mode:\n    flash: yes\n", "f:5:12: app.mode.flash: must be a map, but is 'yes'"},
		{APP "  mode:\n    regular: {}\n    flash: {strategy: manual}\n",
		 "f:6:5: app.mode: takes one choice, but this map has 2"},
		{APP "  mode: {flash: {strategy: {first-listen: 1}}}\n",
		 "f:4:43: app.mode.flash.strategy.first-listen: has no keys of its own; write 'strategy: first-listen'"},
		{APP "  mode: {flash: {strategy: nth-listen}}\n",
		 "f:4:28: app.mode.flash.strategy.nth-listen: needs a value, a whole number from 1 to 250; write "
		 "'nth-listen: 2'"},
		{APP "  mode: {flash: {strategy: {nth-listen: 0}}}\n",
		 "f:4:41: app.mode.flash.strategy.nth-listen: must be a whole number from 1 to 250, but is '0'"},
		{APP "  mode: {flash: {strategy: {listen-on-port: http}}}\n",
		 "f:4:45: app.mode.flash.strategy.listen-on-port: must be a whole number from 1 to 65535, but is 'http'"},
		{APP "  mode: {flash: {strategy: {listen-on-port: [80]}}}\n",
		 "f:4:45: app.mode.flash.strategy.listen-on-port: must be a whole number from 1 to 65535, but is a list"},
		{APP "  mode: {flash: {strategy: manuel}}\n",
		 "f:4:28: app.mode.flash.strategy: must be " STRATEGIES ", but is 'manuel'; did you mean 'manual'?"},
		{APP "  mode: {flash: {strategy: manual, timeout: 0}}\n",
		 "f:4:45: app.mode.flash.timeout: must be seconds or a duration from 10ms to 30d, such as 3s or 1m30s, but is "
		 "'0'"},
		{APP "  mode: {flash: {strategy: manual, timeout: 31d}}\n",
		 "f:4:45: app.mode.flash.timeout: must be seconds or a duration from 10ms to 30d, such as 3s or 1m30s, but is "
		 "'31d'"},
		{APP "  mode: {flash: {strategy: manual, timeout: soon}}\n",
		 "f:4:45: app.mode.flash.timeout: a duration is a number of seconds, or numbers with units from large to "
		 "small, such as 500ms, 3s or 1h30m, but this is 'soon'"},
		{APP "  mode: {flash: {strategy: manual, snapshot: disc}}\n",
		 "f:4:46: app.mode.flash.snapshot: must be 'memory' or 'disk', but is 'disc'; did you mean 'disk'?"},
		{APP "  mode: {flash: {strategy: manual, snapshot: {disk: 1}}}\n",
		 "f:4:53: app.mode.flash.snapshot.disk: has no keys of its own; write 'snapshot: disk'"},
		{APP "  mode: {regular: {snapshot: disk}}\n",
		 "f:4:19: app.mode.regular: has no keys of its own; write 'mode: regular'"},
		{APP "  mode: {flash: {strategy: manual, time-out: 3}}\n",
		 "f:4:36: app.mode.flash: unknown key 'time-out'; did you mean 'timeout'?"},
	};

	(void) state;
	ASSERT_ALL_REFUSED(cases);
}

static void
test_environment(void **state)
{
	static const Case cases[] = {
		{APP "  environment: [A]\n", "f:4:16: app.environment: must be a map, but is a list"},
		{APP "  environment:\n    1A: x\n    A-B: y\n",
		 "f:5:5: app.environment: the name of a variable holds letters, digits and '_', and does not begin with a "
		 "digit, but this is '1A'\n"
		 "f:6:5: app.environment: the name of a variable holds letters, digits and '_', and does not begin with a "
		 "digit, but this is 'A-B'"},
		{APP "  environment:\n    \"A=B\": x\n    \"C\\nD\": y\n    \"\": z\n",
		 "f:5:5: app.environment: the name of a variable must not hold '=' or control characters, but this is 'A=B'\n"
		 "f:6:5: app.environment: the name of a variable must not hold '=' or control characters, but this is 'C?D'\n"
		 "f:7:5: app.environment: the name of a variable must not be empty, but this is ''"},
		{APP "  environment:\n    A:\n", "f:5:5: app.environment.A: has no value; write \"\" for an empty one"},
		{APP "  environment:\n    A: [1]\n    B: {c: d}\n", "f:5:8: app.environment.A: must be text, but is a list\n"
															"f:6:8: app.environment.B: must be text, but is a map"},
		{APP "  environment: {A: \"x\\0y\"}\n", "f:4:20: text must not hold a NUL byte"},
	};

	(void) state;
	ASSERT_ALL_REFUSED(cases);
}

static void
test_volumes(void **state)
{
	static const Case cases[] = {
		{APP "  volumes: {name: v, path: /v}\n", "f:4:12: app.volumes: must be a list, but is a map"},
		{APP "  volumes: [v]\n", "f:4:13: app.volumes[0]: must be a map, but is 'v'"},
		{APP "  volumes:\n    - name: v\n    - path: /v\n",
		 "f:5:7: app.volumes[0].path: is missing; it must be an absolute path\n"
		 "f:6:7: app.volumes[1].name: is missing; it must be a name"},
		{APP "  volumes: [{name: v, path: data}]\n",
		 "f:4:29: app.volumes[0].path: must be an absolute path, but this is 'data'"},
		{APP "  volumes: [{name: v, path: /a/../b}]\n",
		 "f:4:29: app.volumes[0].path: a path must not hold '.' or '..', but this is '/a/../b'"},
		{APP "  volumes: [{name: v, path: /a/.}]\n",
		 "f:4:29: app.volumes[0].path: a path must not hold '.' or '..', but this is '/a/.'"},
		{APP "  volumes: [{name: v, path: //a}]\n",
		 "f:4:29: app.volumes[0].path: a path must not hold '//', but this is '//a'"},
		{APP "  volumes: [{name: v, path: \"/a\\nb\"}]\n",
		 "f:4:29: app.volumes[0].path: a path must not hold control characters, but this is '/a?b'"},
		{APP "  volumes: [{name: v, path: /}]\n",
		 "f:4:29: app.volumes[0].path: a volume cannot replace the machine's root, but this is '/'"},
		{APP "  volumes: [{name: v, path: /run}]\n",
		 "f:4:13: app.volumes[0]: no volume can be mounted at '/run': the machine needs /run/lttle"},
		{APP "  volumes: [{name: v, path: /proc/x}]\n",
		 "f:4:13: app.volumes[0]: no volume can be mounted at '/proc/x': the machine needs /proc"},
		{APP "  volumes: [{name: v, path: /a}, {name: v, path: /b}]\n",
		 "f:4:34: app.volumes[1]: volume default/v is mounted twice"},
		{APP "  volumes: [{name: v, path: /a}, {name: w, path: /a/}]\n",
		 "f:4:34: app.volumes[1]: two volumes are mounted at '/a'"},
		{APP "  volumes: [{name: v, path: /a, mode: ro}]\n",
		 "f:4:33: app.volumes[0]: unknown key 'mode'; known keys: name, namespace, path"},
	};

	(void) state;
	ASSERT_ALL_REFUSED(cases);
}

static void
test_expose(void **state)
{
	static const Case cases[] = {
		{APP "  expose: [{port: 1}]\n", "f:4:11: app.expose: must be a map, but is a list"},
		{APP "  expose: {a: 5432}\n", "f:4:15: app.expose.a: must be a map, but is '5432'"},
		{APP "  expose: {a: }\n", "f:4:12: app.expose.a.port: is missing; it must be a whole number from 1 to 65535"},
		{APP "  expose: {a--b: {port: 1}}\n", "f:4:12: app.expose.a--b: a name must not hold '--', but this is 'a--b'"},
		{APP "  expose: {a: {port: 0}}\n",
		 "f:4:22: app.expose.a.port: must be a whole number from 1 to 65535, but is '0'"},
		{APP "  expose: {a: {port: 65536}}\n",
		 "f:4:22: app.expose.a.port: must be a whole number from 1 to 65535, but is '65536'"},
		{APP "  expose: {a: {port: 1, internal: {port: x}}}\n",
		 "f:4:42: app.expose.a.internal.port: must be a whole number from 1 to 65535, but is 'x'"},
		{APP "  expose: {a: {port: 1, internal: yes}}\n", "f:4:35: app.expose.a.internal: must be a map, but is 'yes'"},
		{APP "  expose: {a: {port: 1, external: {}}}\n",
		 "f:4:25: app.expose.a.external.protocol: is missing; it must be 'tcp', 'tls', 'http' or 'https'"},
		{APP "  expose: {a: {port: 1, external: {protocol: udp}}}\n",
		 "f:4:46: app.expose.a.external.protocol: must be 'tcp', 'tls', 'http' or 'https', but is 'udp'"},
		{APP "  expose: {a: {port: 1, external: {protocol: https}}}\n",
		 "f:4:12: app.expose.a.external.host: is missing; with this protocol it must be the host name that clients "
		 "ask for"},
		{APP "  expose: {a: {port: 1, external: {protocol: tcp, host: \"a..b\"}}}\n",
		 "f:4:57: app.expose.a.external.host: must be a host name such as db.example.com, or an address, but this is "
		 "'a..b'"},
		{APP "  expose: {a: {port: 1, external: {protocol: tcp, port: 0}}}\n",
		 "f:4:57: app.expose.a.external.port: must be a whole number from 1 to 65535, but is '0'"},
		{APP "  expose: {a: {port: 1, internal: {}, external: {protocol: tcp}}}\n",
		 "f:4:12: app.expose.a: is 'internal' and 'external'; write two entries, one for each"},
		{APP "  expose: {a: {port: 1, connection-tracking: {traffic-aware: {ignore: {users: a}}}}}\n",
		 "f:4:79: app.expose.a.connection-tracking.traffic-aware.ignore.users: must be a list, but is 'a'"},
		{APP "  expose: {a: {port: 1, connection-tracking: {connection-aware: {ignore: {applications: [a]}}}}}\n",
		 "f:4:75: app.expose.a.connection-tracking.connection-aware.ignore: unknown key 'applications'; known keys: "
		 "users, application-names"},
		{APP "  expose: {a: {port: 1, connection-tracking: traffic}}\n",
		 "f:4:46: app.expose.a.connection-tracking: must be 'connection-aware' or 'traffic-aware', but is 'traffic'"},
		{APP "  expose: {a: {port: 1, connection-tracking: {traffic-aware: 3}}}\n",
		 "f:4:62: app.expose.a.connection-tracking.traffic-aware: must be a map, but is '3'"},
		{APP "  expose: {a: {port: 1, connection-tracking: {traffic-aware: {inactivity-timeout: 9ms}}}}\n",
		 "f:4:83: app.expose.a.connection-tracking.traffic-aware.inactivity-timeout: must be seconds or a duration "
		 "from 10ms to 30d, such as 3s or 1m30s, but is '9ms'"},
		{APP "  expose: {a: {port: 1, connection-tracking: {connection-aware: {x: y}}}}\n",
		 "f:4:66: app.expose.a.connection-tracking.connection-aware: unknown key 'x'; known keys: ignore"},
		{"app:\n  name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n  image: i\n  expose:\n"
		 "    bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb: {port: 1}\n",
		 "f:5:5: app.expose.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb: the service's name "
		 "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb' is longer than 63 characters"},
	};

	(void) state;
	ASSERT_ALL_REFUSED(cases);
}

static void
test_command_and_other_keys(void **state)
{
	static const Case cases[] = {
		{APP "  command: postgres\n", "f:4:12: app.command: must be a list, but is 'postgres'"},
		{APP "  command: []\n", "f:4:12: app.command: must not be an empty list; leave it out"},
		/* A syntax error ends everything: nothing else is said. */
		{APP "  command: [a, [b], , {c: d}]\n", "f:4:21: is not valid YAML: did not find expected node content"},
		{APP "  command:\n    - a\n    -\n    - {c: d}\n", "f:6:6: app.command[1]: must be text, but is empty\n"
														   "f:7:7: app.command[2]: must be text, but is a map"},
		{APP "  tags: []\n", "f:4:9: app.tags: must not be an empty list; leave it out"},
		{APP "  restart-policy: removed\n",
		 "f:4:19: app.restart-policy: must be 'always', 'on-failure', 'never' or 'remove', but is 'removed'; did you "
		 "mean 'remove'?"},
		{APP "  depends-on: db\n", "f:4:15: app.depends-on: must be a list, but is 'db'"},
		{APP "  depends-on: [{namespace: n}]\n", "f:4:16: app.depends-on[0].name: is missing; it must be a name"},
		{APP "  depends-on: [{name: b, namespace: a--b}]\n",
		 "f:4:37: app.depends-on[0].namespace: a name must not hold '--', but this is 'a--b'"},
		{APP "  depends-on: [{name: b}, {name: b, namespace: default}]\n",
		 "f:4:27: app.depends-on[1]: default/b is named twice"},
		{APP "  depends-on: [{name: b, when: ready}]\n",
		 "f:4:26: app.depends-on[0]: unknown key 'when'; known keys: name, namespace"},
		{APP "  enviroment: {}\n", "f:4:3: app: unknown key 'enviroment'; did you mean 'environment'?"},
		{APP "  size: 1\n",
		 "f:4:3: app: unknown key 'size'; known keys: expose, name, namespace, tags, image, build, resources, mode, "
		 "environment, secrets, volumes, command, init-scripts, restart-policy, depends-on"},
	};

	(void) state;
	ASSERT_ALL_REFUSED(cases);
}

static void
test_build(void **state)
{
	static const Case cases[] = {
		{"app: {name: a, build: auto}",
		 "f:1:23: app.build: 'auto' is not offered by a single host: finding out how to build a program is done by "
		 "lttle's hosted builders; write a Dockerfile; it must be 'docker'"},
		{"app: {name: a, build: {options: {dir: .}}}",
		 "f:1:24: app.build: 'options' is not offered by a single host: finding out how to build a program is done by "
		 "lttle's hosted builders; write a Dockerfile; it must be 'docker'"},
		{APP "  build: docker\n", "f:1:1: app.image: stands beside a 'build'; leave one of them out"},
		{"app: {name: a, build: {docker: {context: \"\"}}}",
		 "f:1:42: app.build.docker.context: must not be empty, but this is ''"},
		{"app: {name: a, build: {docker: {dockerfile: [a]}}}",
		 "f:1:45: app.build.docker.dockerfile: must be text, but is a list"},
		{"app: {name: a, build: {docker: {args: [a]}}}", "f:1:39: app.build.docker.args: must be a map, but is a list"},
		{"app: {name: a, build: {docker: {args: {1A: b}}}}",
		 "f:1:40: app.build.docker.args: the name of a variable holds letters, digits and '_', and does not begin with "
		 "a digit, but this is '1A'"},
		{"app: {name: a, build: {docker: {tag: b}}}",
		 "f:1:33: app.build.docker: unknown key 'tag'; known keys: context, dockerfile, args"},
	};

	(void) state;
	ASSERT_ALL_REFUSED(cases);
}

static void
test_machines(void **state)
{
	static const Case cases[] = {
		{"machine: [a]", "f:1:10: machine: must be a map with the keys of a machine"},
		{"machine: {name: a}",
		 "f:1:1: machine.image: is missing; it must be the name of an image, or there is a 'build'"},
		{"machine: {name: a, image: i, expose: {a: {port: 1}}}",
		 "f:1:30: machine: unknown key 'expose'; known keys: name, namespace, tags, image, build, resources, mode, "
		 "environment, secrets, volumes, command, init-scripts, restart-policy, depends-on"},
		{"machine: {name: a, image: i, volumes: [{name: v, path: /proc}]}",
		 "f:1:40: machine.volumes[0]: no volume can be mounted at '/proc': the machine needs /proc"},
		{"machine: {name: a, image: i}\n---\napp: {name: a, image: i}",
		 "f:3:1: app: app default/a appears twice in this file; the first is at line 1"},
	};

	(void) state;
	ASSERT_ALL_REFUSED(cases);
}

static void
test_services(void **state)
{
	static const Case cases[] = {
		{"service: {}", "f:1:1: service.name: is missing; it must be a name\n"
						"f:1:1: service.target.name: is missing; it must be a name\n"
						"f:1:1: service.target.port: is missing; it must be a whole number from 1 to 65535\n"
						"f:1:1: service.bind: is missing; it must be 'internal', 'external' or 'tcp'"},
		{"service: {name: s, target: m, bind: tcp}", "f:1:28: service.target: must be a map, but is 'm'"},
		{"service: {name: s, target: {name: m, port: 65536}, bind: tcp}",
		 "f:1:44: service.target.port: must be a whole number from 1 to 65535, but is '65536'"},
		{"service: {name: s, target: {name: m, port: 1, namespace: 1}, bind: tcp}",
		 "f:1:58: service.target.namespace: a name must begin with a letter, but this is '1'"},
		{"service: {name: s, target: {name: m, port: 1, protocol: https}, bind: tcp}",
		 "f:1:57: service.target.protocol: must be 'tcp' or 'http', but is 'https'; did you mean 'http'?"},
		{"service: {name: s, target: {name: m, port: 1, connection-tracking: none}, bind: tcp}",
		 "f:1:68: service.target.connection-tracking: must be 'connection-aware' or 'traffic-aware', but is 'none'"},
		{"service: {name: s, target: {name: m, port: 1}, bind: {tcp: {port: 1}}}",
		 "f:1:60: service.bind.tcp: has no keys of its own; write 'bind: tcp'"},
		{"service: {name: s, target: {name: m, port: 1}, bind: {internal: {host: h}}}",
		 "f:1:66: service.bind.internal: unknown key 'host'; known keys: port"},
		{"service: {name: s, target: {name: m, port: 1}, bind: {internal: {}, external: {}}}",
		 "f:1:69: service.bind: takes one choice, but this map has 2"},
		{"service: {name: s, target: {name: m, port: 1}, bind: external}",
		 "f:1:54: service.bind.external.protocol: is missing; it must be 'tcp', 'tls', 'http' or 'https'"},
		{"service: {name: s, target: {name: m, port: 1}, bind: {external: {protocol: tls}}}",
		 "f:1:1: service.bind.external.host: is missing; with this protocol it must be the host name that clients ask "
		 "for"},
		{"service: {name: s, image: i, target: {name: m, port: 1}, bind: tcp}",
		 "f:1:20: service: unknown key 'image'; known keys: name, namespace, tags, target, bind"},
	};

	(void) state;
	ASSERT_ALL_REFUSED(cases);
}

static void
test_everything_is_said_in_the_order_of_the_file(void **state)
{
	char *text = data_read("tests/unit/data/all-wrong.lttle.yaml");
	char *expected = data_read("tests/unit/data/all-wrong.expected");

	(void) state;
	expected[strlen(expected) - 1] = '\0';
	assert_refused(text, expected);
	free(expected);
	free(text);
}

static void
test_hostile_sizes(void **state)
{
	size_t size = ((size_t) 1 << 20) + 1;
	char *text = memory_allocate(size + 1);
	ResourceSet set = {0};
	DiagnosticList diagnostics = {0};
	Text many = {0};

	(void) state;
	memset(text, ' ', size);
	assert_refused_bytes(text, size, "f:1:1: is larger than 1 MiB");
	/* Deep nesting, in both styles. */
	memset(text, '[', size - 1);
	assert_refused_bytes(text, size - 1, "f:1:17: is nested more than 16 levels deep");
	/* Very many directives, which libyaml compares with each other. */
	for (unsigned i = 0; i < 60000; i++)
		text_printf(&many, "%%TAG !%u! a\n", i);
	assert_refused(text_string(&many), "f:1:1: holds more than 99 times '%TAG'");
	text_clear(&many);
	/* Very many keys, all of them unknown and the same: bounded in time and in what is said. */
	text_append(&many, "app:\n");
	while (many.length < ((size_t) 1 << 20) - 8)
		text_append(&many, " a: b\n");
	assert_int_equal(resource_set_parse(many.data, many.length, &set, &diagnostics), -EINVAL);
	assert_int_equal(diagnostics.count, DIAGNOSTICS_MAX);
	assert_string_equal(diagnostics.items[DIAGNOSTICS_MAX - 1].message,
						"there are more problems than these; the rest is not shown");
	text_clear(&many);
	diagnostic_list_clear(&diagnostics);
	free(text);
}

static void
test_too_many_elements(void **state)
{
	Text yaml = {0};

	(void) state;
	text_append(&yaml, APP "  volumes:\n");
	for (unsigned i = 0; i < 33; i++)
		text_printf(&yaml, "    - {name: v%u, path: /v%u}\n", i, i);
	assert_refused(text_string(&yaml), "f:5:5: app.volumes: has 33 entries; at most 32 are taken");
	text_clear(&yaml);
	text_append(&yaml, APP "  expose:\n");
	for (unsigned i = 0; i < 65; i++)
		text_printf(&yaml, "    e%u: {port: 1}\n", i);
	assert_refused(text_string(&yaml), "f:5:5: app.expose: has 65 entries; at most 64 are taken");
	text_clear(&yaml);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_yaml_itself),
		cmocka_unit_test(test_names_and_namespaces),
		cmocka_unit_test(test_volume_keys),
		cmocka_unit_test(test_image_and_resources),
		cmocka_unit_test(test_mode),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_volumes),
		cmocka_unit_test(test_expose),
		cmocka_unit_test(test_command_and_other_keys),
		cmocka_unit_test(test_build),
		cmocka_unit_test(test_machines),
		cmocka_unit_test(test_services),
		cmocka_unit_test(test_everything_is_said_in_the_order_of_the_file),
		cmocka_unit_test(test_hostile_sizes),
		cmocka_unit_test(test_too_many_elements),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
