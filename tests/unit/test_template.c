/* Templates: what of an environment is left for a machine's start, what it is then, and that nothing else becomes an
 * expression on the way. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "fixture_resources.h"
#include "model/expression.h"

static const EnvironmentVariable vars[] = {
	{.name = "plain", .value = "p"},
	{.name = "dollar", .value = "a$"},
	{.name = "dollars", .value = "$$"},
	{.name = "braces", .value = "{{ secret.password }}"},
	{.name = "sly", .value = "${{ secret.password }}"},
	{.name = "name", .value = "samples"},
};

/* "password" of namespace samples; value "host" of samples, and "port" of every namespace. */
static char *
find(void *context, SecretKind kind, const char *name_space, const char *name, char ret_wrong[256])
{
	(void) context;
	if (kind == SECRET_KIND_SECRET && strcmp(name_space, "samples") == 0 && strcmp(name, "password") == 0)
		return memory_duplicate("pa$${{ss'\"");
	if (kind == SECRET_KIND_VALUE && strcmp(name_space, "samples") == 0 && strcmp(name, "host") == 0)
		return memory_duplicate("db.example");
	if (kind == SECRET_KIND_VALUE && strcmp(name, "port") == 0)
		return memory_duplicate("5432");
	snprintf(ret_wrong, 256, "%s has no %s %s", name_space, secret_kind_name(kind), name);
	return NULL;
}

static const SecretSource source = {.find = find, .name_space = "samples"};

static int
parse(const char *text, ResourceSet *set, DiagnosticList *diagnostics)
{
	SecretSource everywhere = {.find = find};
	Variables variables = {
		.vars = vars, .var_count = sizeof(vars) / sizeof(vars[0]), .name_space = "samples", .secrets = &everywhere};
	ResourceFile file = {.name = "f", .text = text, .size = strlen(text)};

	return resource_files_parse(&file, 1, &variables, set, diagnostics);
}

/* The template that a value of an environment becomes; the caller frees. */
static char *
template_of(const char *written)
{
	_cleanup_free_ char *text = memory_printf("app:\n  name: a\n  image: i\n  environment:\n    A: '%s'\n", written);
	DiagnosticList diagnostics = {0};
	ResourceSet set = {0};
	char *template;

	if (parse(text, &set, &diagnostics) < 0)
		fail_msg("%s: %s", written, diagnostics.items[0].message);
	template = memory_duplicate(set.resources[0].app.environment[0].value);
	resource_set_clear(&set);
	return template;
}

static void
assert_resolves(const char *template, const char *expected)
{
	char wrong[256] = "";
	_cleanup_secret_ char *value = template_resolve(template, &source, wrong);

	if (value == NULL)
		fail_msg("%s: %s", template, wrong);
	assert_string_equal(value, expected);
}

#define PASSWORD "pa$${{ss'\""

static void
test_what_is_kept_and_what_it_becomes(void **state)
{
	static const struct
	{
		const char *written;
		const char *template;
		const char *value;
	} cases[] = {
		{"plain", "plain", "plain"},
		{"${{ secret.password }}", "${{ secret.password }}", PASSWORD},
		{"a${{secret.password}}b", "a${{secret.password}}b", "a" PASSWORD "b"},
		{"${{ value.host }}:${{ value.port }}/${{ var.plain }}", "${{ value.host }}:${{ value.port }}/p",
		 "db.example:5432/p"},
		{"${{ value.host.substring(0, 2).upperAscii() }}", "${{ value.host.substring(0, 2).upperAscii() }}", "DB"},
		{"${{ secret.password.last(2) }}", "${{ secret.password.last(2) }}", "'\""},
		/* Text that only looks like an expression stays text. */
		{"$${{ secret.password }}", "$${{ secret.password }}", "${{ secret.password }}"},
		{"${{ var.sly }}", "$${{ secret.password }}", "${{ secret.password }}"},
		{"$${{ var.braces }}", "$${{ var.braces }}", "${{ var.braces }}"},
		{"$${{ var.braces }} ${{ var.sly }}", "$${{ var.braces }} $${{ secret.password }}",
		 "${{ var.braces }} ${{ secret.password }}"},
		{"${{ var.dollar }}${{ var.braces }}", "a$${{ secret.password }}", "a${{ secret.password }}"},
		/* And an expression behind a dollar stays an expression. */
		{"${{ var.dollar }}${{ secret.password }}", "a${{ '$' }}${{ secret.password }}", "a$" PASSWORD},
		{"${{ var.dollars }}${{ value.port }}$", "${{ '$$' }}${{ value.port }}$", "$$5432$"},
		{"${{ value.port }}${{ var.sly }}", "${{ value.port }}$${{ secret.password }}", "5432${{ secret.password }}"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		_cleanup_free_ char *template = template_of(cases[i].written);

		assert_string_equal(template, cases[i].template);
		assert_resolves(template, cases[i].value);
	}
}

static void
test_a_text_has_a_template(void **state)
{
	static const char *const texts[] = {"",	 "$", "${{", "$${{ x }}", "$$${{", "{{", "a${{ secret.password }}b${{",
										"}}"};

	(void) state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		_cleanup_free_ char *template = template_of_text(texts[i]);

		assert_resolves(template, texts[i]);
	}
}

static int
note(void *context, const SecretName *name)
{
	text_printf(context, "%s.%s ", secret_kind_name(name->kind), name->name);
	return strcmp(name->name, "stop") == 0 ? -ECANCELED : 0;
}

static void
test_each_secret(void **state)
{
	_cleanup_text_ Text found = {0};

	(void) state;
	assert_int_equal(
		template_each_secret("a${{ secret.x }}$${{ secret.no }}${{ '$' }}${{value.y.last(1)}}b ${{ secret.x }}", note,
							 &found),
		0);
	assert_string_equal(text_string(&found), "secret.x value.y secret.x ");
	text_clear(&found);
	assert_int_equal(template_each_secret("${{ secret.stop }}${{ secret.x }}", note, &found), -ECANCELED);
	assert_string_equal(text_string(&found), "secret.stop ");
	text_clear(&found);
	assert_int_equal(template_each_secret("plain ${{ 'text' }} ${{ nonsense }} ${{ secret.x", note, &found), 0);
	assert_string_equal(text_string(&found), "");
}

static void
test_what_cannot_be_resolved(void **state)
{
	static const struct
	{
		const char *template;
		const char *wrong;
	} cases[] = {
		{"${{ secret.other }}", "samples has no secret other"},
		{"${{ value.password }}", "samples has no value password"},
		{"a ${{ secret.password", "an expression that begins with '${{' has no '}}'"},
		{"${{ value.host.substring(0, 99) }}", "substring: from 0 to 99 is not within the 10 characters of the text"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char wrong[256] = "";

		assert_null(template_resolve(cases[i].template, &source, wrong));
		assert_string_equal(wrong, cases[i].wrong);
	}
}

static void
assert_parse_refused(const char *text, unsigned line, unsigned column, const char *key_path, const char *message)
{
	DiagnosticList diagnostics = {0};
	ResourceSet set = {0};

	if (parse(text, &set, &diagnostics) == 0)
		fail_msg("taken: %s", text);
	assert_string_equal(diagnostics.items[0].message, message);
	assert_string_equal(diagnostics.items[0].key_path, key_path);
	assert_int_equal(diagnostics.items[0].line, line);
	assert_int_equal(diagnostics.items[0].column, column);
	diagnostic_list_clear(&diagnostics);
}

#define APP "app:\n  name: a\n  namespace: ${{ var.name }}\n"

static void
test_elsewhere_values_are_known_and_secrets_refused(void **state)
{
	DiagnosticList diagnostics = {0};
	ResourceSet set = {0};

	(void) state;
	assert_int_equal(
		parse(APP "  image: ${{ value.host }}\n  expose:\n    x:\n      port: ${{ value.port }}\n", &set, &diagnostics),
		0);
	assert_string_equal(set.resources[0].app.image, "db.example");
	assert_int_equal(set.resources[0].app.exposes[0].port, 5432);
	resource_set_clear(&set);
	assert_parse_refused("app:\n  name: a\n  image: ${{ value.host }}\n", 3, 20, "app.image",
						 "default has no value host");
	assert_parse_refused(APP "  image: i\n  command: [a, \"x ${{ secret.password }}\"]\n", 5, 23, "app.command[1]",
						 "a secret can stand only in the environment of a machine, or be a file of it (key secrets)");
	assert_parse_refused(APP "  build:\n    docker:\n      args:\n        A: ${{ secret.password }}\n", 7, 16,
						 "app.build.docker.args.A",
						 "a secret can stand only in the environment of a machine, or be a file of it (key secrets)");
	assert_parse_refused(APP "  image: i\n  environment:\n    A: ${{ secret.password.last() }}\n", 6, 28,
						 "app.environment.A", "it is last(N)");
	assert_parse_refused(APP "  image: i\n  environment:\n    A: ${{ secret.2x }}\n", 6, 19, "app.environment.A",
						 "a name must follow: secret.NAME");
}

static void
test_secrets_as_files(void **state)
{
	DiagnosticList diagnostics = {0};
	ResourceSet set = {0};
	const AppSpec *app;

	(void) state;
	assert_int_equal(
		parse(APP "  image: i\n  secrets:\n    - name: password\n    - name: two--words\n      path: /etc/two\n", &set,
			  &diagnostics),
		0);
	app = &set.resources[0].app;
	assert_int_equal(app->secret_count, 2);
	assert_string_equal(app->secrets[0].path, "/run/secrets/password");
	assert_string_equal(app->secrets[1].name, "two--words");
	assert_string_equal(app->secrets[1].path, "/etc/two");
	resource_set_clear(&set);
	assert_parse_refused(APP "  image: i\n  secrets:\n    - name: 1\n", 6, 13, "app.secrets[0].name",
						 "a name must begin with a letter, but this is '1'");
	assert_parse_refused(APP "  image: i\n  secrets:\n    - name: a\n      path: /run/lttle/x\n", 6, 7,
						 "app.secrets[0]", "no secret can be at '/run/lttle/x': the machine needs /run/lttle");
	assert_parse_refused(APP "  image: i\n  secrets:\n    - name: a\n      path: relative\n", 7, 13,
						 "app.secrets[0].path", "must be an absolute path, but this is 'relative'");
	assert_parse_refused(APP "  image: i\n  secrets:\n    - name: a\n    - name: b\n      path: /run/secrets/a\n", 7, 7,
						 "app.secrets[1]", "'/run/secrets/a' is in the way of the secret at '/run/secrets/a'");
	assert_parse_refused(APP "  image: i\n  volumes:\n    - name: v\n      path: /data/x\n  secrets:\n    - name: a\n"
							 "      path: /data\n",
						 9, 7, "app.secrets[0]", "'/data' is a file, but volume v is mounted at '/data/x'");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_kept_and_what_it_becomes),
		cmocka_unit_test(test_a_text_has_a_template),
		cmocka_unit_test(test_each_secret),
		cmocka_unit_test(test_what_cannot_be_resolved),
		cmocka_unit_test(test_elsewhere_values_are_known_and_secrets_refused),
		cmocka_unit_test(test_secrets_as_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
