/* What an image says of itself (OCI image specification, config.md), and who its user is; see image.h. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "host/image.h"

#define CONFIG_MAX_BYTES   ((size_t) 4 << 20)
#define LIST_MAX		   1000
#define ACCOUNTS_MAX_BYTES ((size_t) 1 << 20)

static void
clear_list(char **list)
{
	for (char **item = list; item != NULL && *item != NULL; item++)
		free(*item);
	free(list);
}

void
image_config_clear(ImageConfig *config)
{
	clear_list(config->entrypoint);
	clear_list(config->command);
	clear_list(config->environment);
	free(config->working_directory);
	free(config->stop_signal);
	free(config->ports);
	clear_list(config->volumes);
	free(config->user);
	*config = (ImageConfig){0};
}

/* A list of text, or NULL when the key is not there or holds nothing. */
static int
read_list(const json_t *config, const char *key, char ***ret_list, Error *err)
{
	const json_t *json = json_object_get(config, key);
	size_t count = json_array_size(json);
	char **list;

	if (json == NULL || json_is_null(json) || (json_is_array(json) && count == 0))
		return 0;
	if (!json_is_array(json) || count > LIST_MAX)
		return error_set(err, -EBADMSG, "configuration: %s is no list of at most %d texts", key, LIST_MAX);
	list = memory_allocate((count + 1) * sizeof(*list));
	for (size_t i = 0; i < count; i++)
	{
		const char *text = json_string_value(json_array_get(json, i));

		if (text == NULL)
		{
			clear_list(list);
			return error_set(err, -EBADMSG, "configuration: %s holds something else than text", key);
		}
		list[i] = memory_duplicate(text);
	}
	*ret_list = list;
	return 0;
}

static int
read_text(const json_t *config, const char *key, char **ret_text, Error *err)
{
	const json_t *json = json_object_get(config, key);

	if (json == NULL || json_is_null(json))
		return 0;
	if (!json_is_string(json))
		return error_set(err, -EBADMSG, "configuration: %s is no text", key);
	if (json_string_length(json) > 0)
		*ret_text = memory_duplicate(json_string_value(json));
	return 0;
}

/* A set, which JSON writes as an object whose values say nothing. NULL when it is not there or holds nothing. */
static int
read_set(const json_t *config, const char *key, const json_t **ret_set, Error *err)
{
	const json_t *json = json_object_get(config, key);

	*ret_set = NULL;
	if (json == NULL || json_is_null(json))
		return 0;
	if (!json_is_object(json) || json_object_size(json) > LIST_MAX)
		return error_set(err, -EBADMSG, "configuration: %s is no object of at most %d keys", key, LIST_MAX);
	*ret_set = json_object_size(json) > 0 ? json : NULL;
	return 0;
}

/* "80/tcp", "80" (which is TCP), "53/udp" (which no client of ours comes by) */
static int
read_ports(const json_t *config, ImageConfig *ret_config, Error *err)
{
	const json_t *set;
	const char *text;
	json_t *value;
	int result = read_set(config, "ExposedPorts", &set, err);

	if (result < 0 || set == NULL)
		return result;
	ret_config->ports = memory_allocate(json_object_size(set) * sizeof(*ret_config->ports));
	json_object_foreach((json_t *) set, text, value)
	{
		char *end;
		unsigned long port = text[0] < '0' || text[0] > '9' ? 0 : strtoul(text, &end, 10);

		if (port == 0 || port > UINT16_MAX || (*end != '\0' && *end != '/'))
			return error_set(err, -EBADMSG, "configuration: ExposedPorts holds '%.64s', which is no port", text);
		if (*end == '\0' || strcmp(end, "/tcp") == 0)
			ret_config->ports[ret_config->port_count++] = (uint16_t) port;
	}
	return 0;
}

static int
read_volumes(const json_t *config, ImageConfig *ret_config, Error *err)
{
	const json_t *set;
	const char *path;
	json_t *value;
	size_t count = 0;
	int result = read_set(config, "Volumes", &set, err);

	if (result < 0 || set == NULL)
		return result;
	ret_config->volumes = memory_allocate((json_object_size(set) + 1) * sizeof(*ret_config->volumes));
	json_object_foreach((json_t *) set, path, value)
	{
		if (path[0] != '/' || strstr(path, "/../") != NULL)
			return error_set(err, -EBADMSG, "configuration: Volumes holds '%.64s', which is no absolute path", path);
		ret_config->volumes[count++] = memory_duplicate(path);
	}
	return 0;
}

/*
 * Opens a regular file of the image without leaving the image, whatever links say. Looked at before it is opened:
 * opening a FIFO would block, and opening a device can do anything.
 */
static int
open_in_root(const char *root, const char *path)
{
	_cleanup_fd_ int root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_fd_ int path_fd = -1;
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	char reopen[64];
	struct stat status;
	int fd;

	if (root_fd < 0)
		return -errno;
	path_fd = (int) syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
	if (path_fd < 0)
		return -errno;
	if (fstat(path_fd, &status) < 0 || !S_ISREG(status.st_mode))
		return -EBADMSG;
	snprintf(reopen, sizeof(reopen), "/proc/self/fd/%d", path_fd);
	fd = open(reopen, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The text of a small file of the image; empty when there is none, as in an image without accounts. */
static int
read_in_root(const char *root, const char *path, char **ret_text, Error *err)
{
	_cleanup_fd_ int fd = open_in_root(root, path);
	_cleanup_free_ char *text = NULL;
	size_t length = 0;

	if (fd == -ENOENT)
	{
		*ret_text = memory_duplicate("");
		return 0;
	}
	if (fd < 0)
		return error_set_errno(err, -fd, "%s/%s", root, path);
	text = memory_allocate(ACCOUNTS_MAX_BYTES + 1);
	while (length < ACCOUNTS_MAX_BYTES)
	{
		ssize_t got = read(fd, text + length, ACCOUNTS_MAX_BYTES - length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set_errno(err, errno, "%s/%s", root, path);
		if (got == 0)
			break;
		length += (size_t) got;
	}
	*ret_text = steal_pointer(&text);
	return 0;
}

/* A number that a uid or gid can be: (uid_t) -1 means "nobody in particular" to the kernel. */
static bool
parse_id(const char *text, unsigned *ret_id)
{
	unsigned long id;
	char *end;

	if (text[0] < '0' || text[0] > '9' || strlen(text) > 10)
		return false;
	id = strtoul(text, &end, 10);
	if (*end != '\0' || id >= UINT32_MAX)
		return false;
	*ret_id = (unsigned) id;
	return true;
}

typedef struct Account
{
	unsigned id;	/* third field */
	unsigned group; /* fourth field, passwd only */
} Account;

/*
 * Looks in a passwd or group file for a name, or (name NULL) for a number. Lines that make no sense are passed over,
 * as the C library does.
 */
static bool
find_account(const char *text, const char *name, unsigned id, bool has_group, Account *ret_account)
{
	_cleanup_free_ char *copy = memory_duplicate(text);
	char *rest = copy;
	char *line;

	while ((line = strsep(&rest, "\n")) != NULL)
	{
		char *fields[4] = {NULL};
		Account account = {0};

		for (size_t i = 0; i < 4; i++)
			fields[i] = strsep(&line, ":");
		if (fields[2] == NULL || !parse_id(fields[2], &account.id))
			continue;
		if (has_group && (fields[3] == NULL || !parse_id(fields[3], &account.group)))
			continue;
		if (name != NULL ? strcmp(fields[0], name) != 0 : account.id != id)
			continue;
		*ret_account = account;
		return true;
	}
	return false;
}

static int
resolve_group(const char *root, const char *group, gid_t *ret_gid, Error *err)
{
	_cleanup_free_ char *accounts = NULL;
	Account account;
	unsigned id;
	int result;

	if (parse_id(group, &id))
	{
		*ret_gid = id;
		return 0;
	}
	result = read_in_root(root, "etc/group", &accounts, err);
	if (result < 0)
		return result;
	if (!find_account(accounts, group, 0, false, &account))
		return error_set(err, -ENOENT, "the image has no group '%.64s'", group);
	*ret_gid = account.id;
	return 0;
}

/* "user", "uid", "user:group", "uid:gid" and mixtures; nothing is root. */
static int
resolve_user(const char *root, const char *written, ImageConfig *config, Error *err)
{
	_cleanup_free_ char *user = memory_duplicate(written == NULL ? "" : written);
	_cleanup_free_ char *accounts = NULL;
	char *group = strchr(user, ':');
	Account account = {0};
	unsigned id = 0;
	bool numeric;
	int result;

	if (group != NULL)
		*group++ = '\0';
	numeric = user[0] == '\0' || parse_id(user, &id);
	result = read_in_root(root, "etc/passwd", &accounts, err);
	if (result < 0)
		return result;
	if (!find_account(accounts, numeric ? NULL : user, id, true, &account))
	{
		if (!numeric)
			return error_set(err, -ENOENT, "the image has no user '%.64s'", user);
		account = (Account){.id = id, .group = 0};
	}
	config->uid = account.id;
	config->gid = account.group;
	return group != NULL && *group != '\0' ? resolve_group(root, group, &config->gid, err) : 0;
}

static int
check_config(const ImageConfig *config, Error *err)
{
	int signal;

	for (char **variable = config->environment; variable != NULL && *variable != NULL; variable++)
	{
		const char *equals = strchr(*variable, '=');

		if (equals == NULL || equals == *variable)
			return error_set(err, -EBADMSG, "configuration: Env holds '%.64s', which is no NAME=value", *variable);
	}
	if (config->working_directory != NULL && config->working_directory[0] != '/')
		return error_set(err, -EBADMSG, "configuration: WorkingDir '%.64s' is not absolute", config->working_directory);
	return config->stop_signal == NULL ? 0 : image_stop_signal(config->stop_signal, &signal, err);
}

static int
read_config(const json_t *config, const char *root, ImageConfig *ret_config, Error *err)
{
	int result = read_list(config, "Entrypoint", &ret_config->entrypoint, err);

	if (result == 0)
		result = read_list(config, "Cmd", &ret_config->command, err);
	if (result == 0)
		result = read_list(config, "Env", &ret_config->environment, err);
	if (result == 0)
		result = read_text(config, "WorkingDir", &ret_config->working_directory, err);
	if (result == 0)
		result = read_text(config, "StopSignal", &ret_config->stop_signal, err);
	if (result == 0)
		result = read_text(config, "User", &ret_config->user, err);
	if (result == 0)
		result = read_ports(config, ret_config, err);
	if (result == 0)
		result = read_volumes(config, ret_config, err);
	if (result == 0)
		result = check_config(ret_config, err);
	if (result == 0)
		result = resolve_user(root, ret_config->user, ret_config, err);
	if (result == 0 && ret_config->user == NULL)
		ret_config->user = memory_duplicate("");
	return result;
}

int
image_config_parse(const char *json, const char *root, ImageConfig *ret_config, Error *err)
{
	ImageConfig config = {0};
	json_error_t problem;
	json_t *document;
	const json_t *settings;
	int result;

	if (strnlen(json, CONFIG_MAX_BYTES + 1) > CONFIG_MAX_BYTES)
		return error_set(err, -EFBIG, "configuration: is larger than 4 MiB");
	document = json_loads(json, 0, &problem);
	settings = json_object_get(document, "config");
	if (document == NULL)
		result = error_set(err, -EBADMSG, "configuration: is no JSON: line %d: %s", problem.line, problem.text);
	else if (!json_is_object(document) || (settings != NULL && !json_is_object(settings) && !json_is_null(settings)))
		result = error_set(err, -EBADMSG, "configuration: is no JSON object");
	else
		result = read_config(settings, root, &config, err);
	json_decref(document);
	if (result < 0)
	{
		image_config_clear(&config);
		return result;
	}
	*ret_config = config;
	return 0;
}

int
image_stop_signal(const char *text, int *ret_signal, Error *err)
{
	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
	unsigned number;

	if (parse_id(text, &number) && number >= 1 && number <= (unsigned) SIGRTMAX)
	{
		*ret_signal = (int) number;
		return 0;
	}
	for (int signal = 1; signal < SIGRTMIN; signal++)
	{
		const char *known = sigabbrev_np(signal);

		if (known != NULL && strcasecmp(known, name) == 0)
		{
			*ret_signal = signal;
			return 0;
		}
	}
	/* systemd in a container asks for "SIGRTMIN+3". */
	if (strncasecmp(name, "RTMIN+", 6) == 0 && parse_id(name + 6, &number) &&
		number <= (unsigned) (SIGRTMAX - SIGRTMIN))
	{
		*ret_signal = SIGRTMIN + (int) number;
		return 0;
	}
	return error_set(err, -EINVAL, "'%.32s' is no signal", text);
}
