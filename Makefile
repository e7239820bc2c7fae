PG_CONFIG ?= pg_config

include extension/pgxs.mk
