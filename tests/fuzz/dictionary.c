/*
 * Prints the words of a format, from the tables that its reader works with, as a dictionary of libFuzzer: so that a
 * mutation is a key put elsewhere, not only a bit turned over.
 *
 *     dictionary resources|api
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/route.h"
#include "model/keys.h"

static void
print_word(const char *before, const char *word, const char *after)
{
	putchar('"');
	printf("%s", before);
	for (; *word != '\0'; word++)
	{
		if (*word == '"' || *word == '\\' || *word < ' ' || *word > '~')
			printf("\\x%02x", (unsigned char) *word);
		else
			putchar(*word);
	}
	printf("%s\"\n", after);
}

static void print_keys(const Key *keys);

static void
print_choices(const Choice *choices)
{
	for (; choices != NULL && choices->word != NULL; choices++)
	{
		print_word("", choices->word, "");
		print_keys(choices->keys);
	}
}

/* Names, with the colon that makes them keys; what a value may look like; and all that is below. */
static void
print_keys(const Key *keys)
{
	for (; keys != NULL && keys->name != NULL; keys++)
	{
		print_word("", keys->name, ": ");
		if (keys->fallback != NULL)
			print_word("", keys->fallback, "");
		if (keys->example != NULL)
			print_word("", keys->example, "");
		print_choices(keys->choices);
		print_keys(keys->keys);
	}
}

static void
print_resources(void)
{
	/* YAML's own signs, and what it reads as something else than text. */
	static const char *const signs[] = {"---\n", "...\n", "- ",		"? ",		 ": ",	 "|\n", ">-\n",
										"&a ",	 "*a",	  "!!str ", "!!binary ", "<<: ", "{",	"}",
										"[",	 "]",	  ",",		"'",		 "#",	 "~",	"null",
										"true",	 "0x10",  "1e9",	"Ki",		 "Gi",	 "ms",	"%YAML 1.1\n"};

	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		print_word("", signs[i], "");
	for (const KindKeys *kind = resource_kinds; kind->name != NULL; kind++)
	{
		print_word("", kind->name, ":\\x0a  ");
		print_keys(kind->keys);
	}
}

static void
print_api(void)
{
	static const char *const words[] = {"\"argv\": [\"",
										"\"environment\": {\"",
										"\"terminal\": true",
										"\"stdin\": true",
										"\"rows\": 65535",
										"\"columns\": 80",
										"\"name\": \"",
										"\"source\": \"",
										"samples",
										"postgresql",
										"%2e%2e",
										"%00",
										"\\u0000",
										"\n%%%%\n",
										"HTTP/1.1\r\n",
										"Content-Length: ",
										"Transfer-Encoding: chunked\r\n",
										"Expect: 100-continue\r\n",
										"upgrade "};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		print_word("", words[i], "");
	for (size_t i = 0; i < api_route_count; i++)
	{
		print_word("", api_routes[i].method, " ");
		print_word("", api_routes[i].pattern, "");
		if (api_routes[i].query != NULL)
			print_word("?", api_routes[i].query, "=");
	}
}

int
main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "resources") == 0)
		print_resources();
	else if (argc == 2 && strcmp(argv[1], "api") == 0)
		print_api();
	else
	{
		fputs("usage: dictionary resources|api\n", stderr);
		return EXIT_FAILURE;
	}
	return fflush(stdout) == EOF ? EXIT_FAILURE : EXIT_SUCCESS;
}
