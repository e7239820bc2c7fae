/* Unpacked images in the store; see store.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "store/store_internal.h"

void
image_record_clear(ImageRecord *image)
{
	free(image->config_json);
	*image = (ImageRecord){0};
}

int
store_put_image(Store *store, const ImageRecord *image, Error *err)
{
	sqlite3_stmt *statement = NULL;
	int result = store_prepare(store, QUERY_PUT_IMAGE, &statement, err);

	if (result < 0)
		return result;
	store_bind_text(statement, 1, image->name);
	store_bind_text(statement, 2, image->id);
	store_bind_text(statement, 3, image->root);
	store_bind_text(statement, 4, image->config_json == NULL ? "" : image->config_json);
	store_bind_number(statement, 5, image->created_ms);
	store_bind_text(statement, 6, image->source_digest);
	return store_run_durably(store, statement, image->name, err);
}

int
store_delete_image(Store *store, const char *name, Error *err)
{
	sqlite3_stmt *statement = NULL;
	int result = store_prepare(store, QUERY_DELETE_IMAGE, &statement, err);

	if (result < 0)
		return result;
	store_bind_text(statement, 1, name);
	return store_run_durably(store, statement, name, err);
}

static bool
read_image(sqlite3_stmt *row, ImageRecord *ret_image)
{
	const char *config;

	if (!store_column_text(row, 0, ret_image->name, sizeof(ret_image->name)) ||
		!store_column_text(row, 1, ret_image->id, sizeof(ret_image->id)) ||
		!store_column_text(row, 2, ret_image->root, sizeof(ret_image->root)) ||
		!store_column_number(row, 4, INT64_MAX, &ret_image->created_ms) ||
		!store_column_text(row, 5, ret_image->source_digest, sizeof(ret_image->source_digest)) ||
		sqlite3_column_type(row, 3) != SQLITE_TEXT)
		return false;
	config = (const char *) sqlite3_column_text(row, 3);
	if (config == NULL)
		return false;
	ret_image->config_json = memory_duplicate(config);
	return true;
}

int
store_get_image(Store *store, const char *name, ImageRecord *ret_image, Error *err)
{
	sqlite3_stmt *statement = NULL;
	ImageRecord image = {0};
	int result = store_prepare(store, QUERY_GET_IMAGE, &statement, err);
	bool readable;

	if (result < 0)
		return result;
	store_bind_text(statement, 1, name);
	result = store_step(store, statement, name, err);
	if (result < 0)
		return result;
	if (result == 0)
		return error_set(err, -ENOENT, "image %s is not in the store", name);
	readable = read_image(statement, &image);
	store_reset(statement);
	if (!readable)
		return error_set(err, -EBADMSG, "image %s: its row in %s is damaged", name, store->path);
	*ret_image = image;
	return 0;
}

int
store_each_image(Store *store, StoreImageFunction function, void *context, Error *err)
{
	sqlite3_stmt *statement = NULL;
	int result = store_prepare(store, QUERY_EACH_IMAGE, &statement, err);

	while (result >= 0 && (result = store_step(store, statement, "images", err)) > 0)
	{
		ImageRecord image = {0};

		if (read_image(statement, &image))
			result = function(context, &image);
		image_record_clear(&image);
		if (result < 0)
			store_reset(statement);
	}
	return result;
}
