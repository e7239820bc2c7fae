/* Expressions: what they give, where they are wrong, and that no value changes a file's structure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fixture_resources.h"
#include "model/expression.h"

static const EnvironmentVariable vars[] = {
	{.name = "name", .value = "db"},	{.name = "memory", .value = "512"},
	{.name = "word", .value = "Größe"}, {.name = "evil", .value = "x\n  image: other"},
	{.name = "empty", .value = ""},		{.name = "with-dash", .value = "d"},
};
static const EnvironmentVariable env[] = {{.name = "HOME", .value = "/root"}};
static const Variables variables = {.vars = vars,
									.var_count = sizeof(vars) / sizeof(vars[0]),
									.env = env,
									.env_count = 1,
									.name_space = "samples",
									.commit_sha = "0123456789abcdef0123456789abcdef01234567"};

static void
test_values(void **state)
{
	static const struct
	{
		const char *expression;
		const char *value;
	} cases[] = {
		{"var.name", "db"},
		{" var . name ", "db"},
		{"var.with-dash", "d"},
		{"var.empty", ""},
		{"env.HOME", "/root"},
		{"namespace", "samples"},
		{"git.commitSha", "0123456789abcdef0123456789abcdef01234567"},
		{"git.commitSha.substring(0, 7)", "0123456"},
		{"git.commitSha.substring(36)", "4567"},
		{"git.commitSha.last(4)", "4567"},
		{"git.commitSha.last(4).last(0)", ""},
		{"var.name.upperAscii()", "DB"},
		{"var.word.upperAscii()", "GRößE"},
		{"var.word.lowerAscii()", "größe"},
		{"var.word.substring(2, 4)", "öß"},
		{"var.word.last(2)", "ße"},
		{"var.word.substring(5)", ""},
		{"'a}}b'.upperAscii()", "A}}B"},
		{"\"it's\"", "it's"},
		{"git.commitSha.substring( 10 , 12 ).upperAscii( ).lowerAscii()", "ab"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char wrong[256] = "";
		size_t offset = 0;
		char *value = expression_evaluate(cases[i].expression, strlen(cases[i].expression), &variables, &offset, wrong);

		if (value == NULL)
			fail_msg("%s: %s", cases[i].expression, wrong);
		assert_string_equal(value, cases[i].value);
		free(value);
	}
}

static void
test_what_is_wrong(void **state)
{
	static const struct
	{
		const char *expression;
		size_t offset;
		const char *wrong;
	} cases[] = {
		{"", 0, "a value must stand here: var.NAME, env.NAME, namespace, git.commitSha, secret.NAME or value.NAME"},
		{"var", 3, "a name must follow: var.NAME"},
		{"var.", 4, "a name must follow: var.NAME"},
		{"var.nam", 4, "var.nam has no value; did you mean var.name?"},
		{"var.nothing", 4, "var.nothing has no value; give it with -v NAME=VALUE or --vars FILE"},
		{"env.NOTHING", 4, "env.NOTHING has no value; set it, or give it with --env FILE"},
		{"vars.name", 0, "'vars' is unknown; did you mean 'var'?"},
		{"something.x", 0,
		 "'something' is unknown; there are var.NAME, env.NAME, namespace, git.commitSha, secret.NAME and value.NAME"},
		{"secret.x", 0, "a secret can stand only in the environment of a machine, or be a file of it (key secrets)"},
		{"secrets.x", 0, "'secrets' is unknown; did you mean 'secret'?"},
		{"secret", 6, "a name must follow: secret.NAME"},
		{"secret._x", 7, "a name must begin with a letter"},
		{"value.", 6, "a name must follow: value.NAME"},
		{"value.x", 0, "no value is known here"},
		{"git.branch", 4, "of git there is git.commitSha"},
		{"var.name.trim()", 9, "there is no function 'trim'; there are substring, last, upperAscii and lowerAscii"},
		{"var.name.upperAsci()", 9, "there is no function 'upperAsci'; did you mean 'upperAscii'?"},
		{"var.name.last", 13, "'(' is missing behind the name of a function"},
		{"var.name.last()", 9, "it is last(N)"},
		{"var.name.last(1, 2)", 9, "it is last(N)"},
		{"var.name.last(1, 2, 3)", 19, "there are too many arguments"},
		{"var.name.last(a)", 14, "an argument must be a whole number"},
		{"var.name.last(1", 15, "',' or ')' is missing"},
		{"var.name.last(3)", 9, "last: the text has 2 characters, not 3"},
		{"var.name.substring(2, 1)", 9, "substring: from 2 to 1 is not within the 2 characters of the text"},
		{"var.name.substring(0, 9)", 9, "substring: from 0 to 9 is not within the 2 characters of the text"},
		{"var.name.upperAscii(1)", 9, "it is upperAscii()"},
		{"var.name + 'x'", 9, "only '.' and a function can follow here"},
		{"'abc", 0, "the text has no end"},
		{"namespace.", 10, "the name of a function must follow '.'"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char wrong[256] = "";
		size_t offset = 4711;
		char *value = expression_evaluate(cases[i].expression, strlen(cases[i].expression), &variables, &offset, wrong);

		if (value != NULL)
			fail_msg("%s: gives %s", cases[i].expression, value);
		assert_string_equal(wrong, cases[i].wrong);
		assert_int_equal(offset, cases[i].offset);
	}
}

static void
test_commit_that_is_not_known(void **state)
{
	Variables without = {0};
	char wrong[256] = "";
	size_t offset = 0;
	char *name_space = expression_evaluate("namespace", 9, &without, &offset, wrong);

	(void) state;
	assert_string_equal(name_space, "default");
	free(name_space);
	assert_null(expression_evaluate("git.commitSha", 13, &without, &offset, wrong));
	assert_string_equal(wrong, "git.commitSha is not known: the file is in no git repository with a commit");
}

static int
parse(const char *text, ResourceSet *set, DiagnosticList *diagnostics)
{
	ResourceFile file = {.name = "f", .text = text, .size = strlen(text)};

	return resource_files_parse(&file, 1, &variables, set, diagnostics);
}

static void
test_in_a_file(void **state)
{
	ResourceSet set = {0};
	DiagnosticList diagnostics = {0};
	const AppSpec *app;

	(void) state;
	assert_int_equal(parse("app:\n"
						   "  name: ${{ var.name }}-${{ git.commitSha.substring(0, 7) }}\n"
						   "  namespace: ${{ namespace }}\n"
						   "  image: registry/${{ var.name.lowerAscii() }}:${{ git.commitSha.last(3) }}\n"
						   "  resources: {cpu: 1, memory: \"${{ var.memory }}\"}\n"
						   "  environment:\n"
						   "    EVIL: ${{ var.evil }}\n"
						   "    EMPTY: ${{ var.empty }}\n"
						   "    PLAIN: $${{ var.name }} and $HOME }}\n"
						   "    BLOCK: |\n"
						   "      a ${{ env.HOME }}\n"
						   "      b ${{ var.name }}\n",
						   &set, &diagnostics),
					 0);
	app = &set.resources[0].app;
	assert_string_equal(app->name, "db-0123456");
	assert_string_equal(app->name_space, "samples");
	assert_string_equal(app->image, "registry/db:567");
	/* A value that is nothing but an expression can be a number, also where YAML asks for quotes. */
	assert_int_equal(app->memory_mib, 512);
	assert_string_equal(app->environment[0].value, "a /root\nb db\n");
	assert_string_equal(app->environment[1].value, "");
	/* A value is text and nothing else, whatever stands in it. */
	assert_string_equal(app->environment[2].value, "x\n  image: other");
	assert_string_equal(app->environment[3].value, "$${{ var.name }} and $HOME }}");
	resource_set_clear(&set);
}

static void
test_places(void **state)
{
	ResourceSet set = {0};
	DiagnosticList diagnostics = {0};
	char *complaints;

	(void) state;
	assert_int_equal(parse("app:\n"
						   "  name: ä-${{ var.nam }}\n"
						   "  image: \"i:${{ git.tag }}\"\n"
						   "  resources: {memory: \"${{ var.name }}\"}\n"
						   "  command: [a, \"${{ env.X\"]\n"
						   "  environment:\n"
						   "    ${{ var.name }}: key\n"
						   "    A: |\n"
						   "      text\n"
						   "      ${{ var.gone }}\n",
						   &set, &diagnostics),
					 -EINVAL);
	complaints = complaints_of(&diagnostics);
	assert_string_equal(
		complaints, "f:2:19: app.name: var.nam has no value; did you mean var.name?\n"
					"f:3:21: app.image: of git there is git.commitSha\n"
					"f:4:23: app.resources.memory: must be a whole number of MiB from 64 to 1048576, but is 'db'\n"
					"f:5:17: app.command[1]: an expression that begins with '${{' has no '}}'\n"
					"f:7:5: app.environment: the name of a variable holds letters, digits and '_', and does not begin "
					"with a digit, but this is '${{ var.name }}'\n"
					"f:8:8: app.environment.A: var.gone has no value; give it with -v NAME=VALUE or --vars FILE");
	free(complaints);
}

/* A small file with a large value many times. */
static void
test_a_bomb(void **state)
{
	char *big = memory_allocate(100001);
	EnvironmentVariable bomb = {.name = "b", .value = big};
	Variables with = {.vars = &bomb, .var_count = 1};
	ResourceSet set = {0};
	DiagnosticList diagnostics = {0};
	Text text = {0};
	ResourceFile file = {.name = "f"};

	(void) state;
	memset(big, 'x', 100000);
	text_append(&text, "app:\n  name: a\n  image: i\n  command:\n");
	for (unsigned i = 0; i < 100; i++)
		text_append(&text, "    - ${{ var.b }}\n");
	file.text = text.data;
	file.size = text.length;
	assert_int_equal(resource_files_parse(&file, 1, &with, &set, &diagnostics), -EINVAL);
	assert_string_equal(diagnostics.items[0].message, "the expressions of a deployment make too much text");
	assert_int_equal(diagnostics.items[0].line, 46);
	diagnostic_list_clear(&diagnostics);
	text_clear(&text);
	free(big);
}

/* Several files are one deployment: each complaint names its own, and a name stands in one of them only. */
static void
test_several_files(void **state)
{
	ResourceFile files[] = {
		{.name = "one",
		 .directory = "/src",
		 .text = "volume: {name: v, size: 16Mi}\n---\nmachine: {name: m, build: docker, "
				 "init-scripts: [sql, ./a.sql, /b.sql]}"},
		{.name = "two", .directory = "/other", .text = "machine: {name: n, build: {docker: {context: ./a}}}"},
		{.name = "three", .text = "volume: {name: v, size: 16Mi}\n"},
	};
	ResourceSet set = {0};
	DiagnosticList diagnostics = {0};

	(void) state;
	for (size_t i = 0; i < 3; i++)
		files[i].size = strlen(files[i].text);
	assert_int_equal(resource_files_parse(files, 2, &variables, &set, &diagnostics), 0);
	assert_int_equal(set.count, 3);
	assert_int_equal(set.resources[2].mark.file, 1);
	assert_string_equal(set.resources[1].app.build.context, "/src");
	assert_string_equal(set.resources[1].app.init_scripts[0], "/src/sql");
	assert_string_equal(set.resources[1].app.init_scripts[1], "/src/a.sql");
	assert_string_equal(set.resources[1].app.init_scripts[2], "/b.sql");
	assert_string_equal(set.resources[2].app.build.context, "/other/./a");
	resource_set_clear(&set);
	assert_int_equal(resource_files_parse(files, 3, &variables, &set, &diagnostics), -EINVAL);
	assert_int_equal(diagnostics.count, 1);
	assert_int_equal(diagnostics.items[0].file, 2);
	assert_string_equal(diagnostics.items[0].message, "volume default/v appears twice; the first is at line 1 of one");
	diagnostic_list_clear(&diagnostics);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_what_is_wrong),
		cmocka_unit_test(test_commit_that_is_not_known),
		cmocka_unit_test(test_in_a_file),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_a_bomb),
		cmocka_unit_test(test_several_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
