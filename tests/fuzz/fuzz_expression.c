/*
 * Expressions. The input is one; whatever it is, it gives text of a bounded size or a complaint at a place within it,
 * and the same again when it is asked again. Within a value of a file it does the same.
 */
#include "fuzz.h"

#include "model/expression.h"

static const EnvironmentVariable vars[] = {
	{"a", "text"}, {"empty", ""}, {"wide", "Größe 日本"}, {"nested", "${{ var.a }}"}};
static const Variables variables = {.vars = vars,
									.var_count = 4,
									.env = vars,
									.env_count = 4,
									.commit_sha = "0123456789abcdef0123456789abcdef01234567"};

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
	free(text);
	return 0;
}
