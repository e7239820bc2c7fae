/*
 * Expressions. The input is one; whatever it is, it gives text of a bounded size or a complaint at a place within it,
 * and the same again when it is asked again. Within a value of a file it does the same. In an environment it becomes a
 * template, which means the same when nothing in it is for later; and whatever it is, as a text it has a template.
 */
#include "fuzz.h"

#include "model/expression.h"

static const EnvironmentVariable vars[] = {
	{.name = "a", .value = "text"},			 {.name = "empty", .value = ""},
	{.name = "wide", .value = "Größe 日本"}, {.name = "nested", .value = "${{ secret.a }}"},
	{.name = "dollar", .value = "$"},
};
static const Variables variables = {.vars = vars,
									.var_count = 5,
									.env = vars,
									.env_count = 5,
									.commit_sha = "0123456789abcdef0123456789abcdef01234567"};

static char *
find_secret(void *context, SecretKind kind, const char *name_space, const char *name, char ret_wrong[256])
{
	(void) context;
	(void) kind;
	if (strlen(name) % 2 == 0)
		return memory_printf("%s ${{ %s }}", name_space, name);
	snprintf(ret_wrong, 256, "there is none");
	return NULL;
}

static int
count_secret(void *context, const SecretName *name)
{
	FUZZ_CHECK(secret_name_check(name->name) == NULL);
	return ++*(int *) context < 1000 ? 0 : -1;
}

/* The value that `written` becomes below this key; NULL: it was refused. The caller frees. */
static char *
expand(const char *written, const char *path)
{
	Node node = node_scalar(written, true);
	size_t left_bytes = 100000;
	DiagnosticList diagnostics = {0};
	char *text;

	expressions_expand(&node, path, &variables, &left_bytes, &diagnostics);
	text = node.type == NODE_SCALAR ? memory_duplicate(node.text) : NULL;
	diagnostic_list_clear(&diagnostics);
	node_clear(&node);
	return text;
}

static void
check_in_an_environment(const char *written)
{
	static const SecretSource source = {.find = find_secret, .name_space = "n"};
	char *plain = expand(written, "app.name");
	char *template = expand(written, "app.environment.A");
	char *of_text = template_of_text(written);
	char wrong[256] = "";
	char *value = template_resolve(of_text, &source, wrong);
	int count = 0;

	FUZZ_CHECK(value != NULL && strcmp(value, written) == 0);
	secret_text_free(value);
	if (template != NULL && template_each_secret(template, count_secret, &count) == 0)
	{
		value = template_resolve(template, &source, wrong);
		FUZZ_CHECK(value != NULL || wrong[0] != '\0');
		FUZZ_CHECK(count > 0 || (plain != NULL && value != NULL && strcmp(plain, value) == 0));
		secret_text_free(value);
	}
	free(of_text);
	free(template);
	free(plain);
}

static void
check_in_a_value(const char *expression)
{
	Node node = node_scalar("", true);
	size_t left_bytes = 1000;
	DiagnosticList diagnostics = {0};

	free(node.text);
	node.text = memory_printf("before ${{%s}} after", expression);
	node.length = strlen(node.text);
	node.mark = (SourceMark){1, 1, 0};
	expressions_expand(&node, "app.name", &variables, &left_bytes, &diagnostics);
	FUZZ_CHECK((node.type == NODE_REFUSED) == (diagnostics.count > 0));
	if (node.type == NODE_SCALAR)
		FUZZ_CHECK(node.text != NULL && node.length == strlen(node.text) && left_bytes <= 1000);
	for (size_t i = 0; i < diagnostics.count; i++)
	{
		char *line = diagnostic_format("f", &diagnostics.items[i]);

		FUZZ_CHECK(diagnostics.items[i].line > 0 && diagnostics.items[i].column > 0);
		FUZZ_CHECK(fuzz_text_is_clean(line));
		free(line);
	}
	diagnostic_list_clear(&diagnostics);
	node_clear(&node);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	char wrong[256] = "";
	char wrong_again[256] = "";
	size_t offset = 0;
	size_t offset_again = 0;
	char *value = expression_evaluate((const char *) bytes, size, &variables, &offset, wrong);
	char *again = expression_evaluate((const char *) bytes, size, &variables, &offset_again, wrong_again);
	char *text = memory_allocate(size + 1);

	FUZZ_CHECK((value == NULL) == (again == NULL));
	if (value == NULL)
		FUZZ_CHECK(offset <= size && offset == offset_again && wrong[0] != '\0' && strcmp(wrong, wrong_again) == 0);
	else
		FUZZ_CHECK(strcmp(value, again) == 0 && strlen(value) <= size + 100);
	free(value);
	free(again);
	if (size > 0)
		memcpy(text, bytes, size);
	check_in_a_value(text);
	check_in_an_environment(text);
	free(text);
	return 0;
}
