# PostgreSQL with lttle_pg on top of the official image, or of one like it.
#
#   docker build --tag postgres:17-flash .
#
# `make image` makes the same from Debian packages, without a registry.

ARG BASE_IMAGE=docker.io/library/postgres:17

FROM ${BASE_IMAGE} AS build
USER root
RUN apt-get update \
	&& apt-get install --yes --no-install-recommends gcc libc6-dev make "postgresql-server-dev-$PG_MAJOR"
WORKDIR /src
COPY extension extension
COPY protocol protocol
COPY lttle_pg.control ./
# PGXS takes the directory of the first makefile for the top of the sources.
RUN echo 'include extension/pgxs.mk' >Makefile \
	&& make -j"$(nproc)" PG_CONFIG="/usr/lib/postgresql/$PG_MAJOR/bin/pg_config" DESTDIR=/out all install

FROM ${BASE_IMAGE}
USER root
COPY --from=build /out/ /
# The same first start as in the image of `make image`; see image/README.md for what it adds to the official one.
COPY image/entrypoint /usr/local/bin/docker-entrypoint.sh
COPY image/configure-sample /tmp/configure-sample
# Where the official image keeps the sample that initdb copies; Debian's own place is a link to it, or the file itself.
# A checkout made under a strict umask hands over files that only root may run.
RUN chmod 0755 /usr/local/bin/docker-entrypoint.sh \
	&& /tmp/configure-sample "$(readlink -f "/usr/share/postgresql/$PG_MAJOR/postgresql.conf.sample")" \
	&& rm /tmp/configure-sample \
	&& install -d -m 0755 /run/lttle
# No root inside, not even for the first instructions.
USER postgres
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
