#!/bin/bash
# The Dockerfile is built by buildah, on a base image that is made here from Debian packages and looks like the official
# one: same paths, user, variables, and an apt that can install more. The result is then started.

# shellcheck disable=SC1091
source "$(dirname "$0")/lib.bash"

bail_out() {
	echo "Bail out! $1"
	exit 1
}

# ---- the base image, once ----
# The functions that make the image's roots; they work in the tests' cache here.
image_dir=$top_dir/image
work=$scratch/work
mkdir "$work"
say() { diagnose "$*"; }
die() { bail_out "$*"; }
# shellcheck disable=SC1091
{
	source "$image_dir/lib/archive.sh"
	source "$image_dir/lib/roots.sh"
	source "$image_dir/lib/oci.sh"
}

# What makes the root look like the official image's.
base_dress() {
	local root=$1 share=$1/usr/share/postgresql
	archive_write_sources trixie "$root/etc/apt/sources.list"
	archive_write_options "$root/etc/apt/apt.conf.d/90tests"
	mv "$share/17/postgresql.conf.sample" "$share/postgresql.conf.sample"
	ln -s ../postgresql.conf.sample "$share/17/postgresql.conf.sample"
	sed -i "s/^#listen_addresses = 'localhost'/listen_addresses = '*'/" "$share/postgresql.conf.sample"
	printf '#!/bin/sh\necho "the entrypoint of the base image"\nexec "$@"\n' >"$root/usr/local/bin/docker-entrypoint.sh"
	chmod 0755 "$root/usr/local/bin/docker-entrypoint.sh"
}

# What the Dockerfile's apt installs comes from a package source in the base image: it is fetched once, with the base, so
# that an archive that is slow or away today does not decide whether the Dockerfile is right.
base_add_packages() {
	local root=$1 packages=$1/srv/packages
	mount --rbind /dev "$root/dev"
	cp -L /etc/resolv.conf "$root/etc/resolv.conf"
	chroot "$root" sh -ec 'apt-get -q update
		apt-get -q install --yes --download-only --no-install-recommends gcc libc6-dev make postgresql-server-dev-17' \
		>"$work/packages.log" 2>&1 ||
		{ tail -n 20 "$work/packages.log" >&2 && bail_out "the packages for the Dockerfile could not be fetched"; }
	umount --recursive "$root/dev"
	mkdir "$packages"
	mv "$root"/var/cache/apt/archives/*.deb "$packages"
	(cd "$packages" && dpkg-scanpackages --multiversion . >Packages 2>/dev/null)
	rm -rf "$root/etc/resolv.conf" "$root"/var/lib/apt/lists/*
	echo 'deb [trusted=yes] file:/srv/packages ./' >"$root/etc/apt/sources.list"
}

base_make() {
	local layout=$1
	root_make_runtime "$work/root" --include=apt >&2
	base_dress "$work/root"
	base_add_packages "$work/root"
	tar --create --file "$work/root.tar" --directory "$work/root" --numeric-owner --sort=name .
	oci_layout_from_layer "$work/layout" base "$work/root.tar" "Debian packages"
	oci_configure "$work/layout" base
	umoci config --image "$work/layout:base" --no-history --clear config.labels --config.user ''
	rm -rf --one-file-system "$work/root" "$work/root.tar"
	rm -rf "$cache"/base-*
	cp -a "$work/layout" "$layout.new"
	mv -T "$layout.new" "$layout"
}

exec {base_lock}>"$cache/base.lock"
flock "$base_lock"
base=$cache/base-$({ root_key runtime && cat "$0"; } | sha256sum | cut -c1-16)
[[ -d $base ]] || base_make "$base" || bail_out "the base image could not be made"
exec {base_lock}>&-

# ---- the build ----
store=(--root "$scratch/storage" --runroot "$scratch/run" --storage-driver vfs)
storage="containers-storage:[vfs@$scratch/storage+$scratch/run]"
base_name=localhost/postgres-base:17
skopeo --insecure-policy copy --quiet "oci:$base:base" "$storage$base_name" || bail_out "the base image could not be imported"

check "buildah builds the Dockerfile" \
	buildah "${store[@]}" build --isolation chroot --network host --pull-never --layers=false \
	--build-arg BASE_IMAGE=$base_name --tag localhost/postgres:17-flash --file "$top_dir/Dockerfile" \
	--logfile "$scratch/build.log" "$top_dir"
((tests_failed == 0)) || { tail -n 60 "$scratch/build.log" | sed 's/^/# /' && bail_out "nothing to test"; }

skopeo --insecure-policy copy --quiet "${storage}localhost/postgres:17-flash" "oci-archive:$scratch/built.tar:built" ||
	bail_out "the image could not be exported"
rm -rf "$scratch/storage" "$scratch/run"

configuration=$(skopeo --insecure-policy inspect --config "oci-archive:$scratch/built.tar" | jq -c .config)
check_is "it runs as postgres from the first instruction" "$(jq -r .User <<<"$configuration")" postgres
check_is "its command is the server" "$(jq -c '[.Entrypoint, .Cmd]' <<<"$configuration")" '[["docker-entrypoint.sh"],["postgres"]]'
check_is "port, volume and stop signal are the base's" \
	"$(jq -c '[(.ExposedPorts | keys), (.Volumes | keys), .StopSignal]' <<<"$configuration")" \
	'[["5432/tcp"],["/var/lib/postgresql/data"],"SIGINT"]'

# ---- the result ----
image_unpack "$scratch/built.tar" built
check "the library is there" test -s "$image_root/usr/lib/postgresql/17/lib/lttle_pg.so"
check "and what CREATE EXTENSION reads" test -s "$image_root/usr/share/postgresql/17/extension/lttle_pg.control"
check "no compiler is" not test -e "$image_root/usr/bin/gcc"
check "nor the sources" not test -e "$image_root/src"

container_new d
container_run d -- postgres --version
check_log "postgres --version" d '^postgres \(PostgreSQL\) 17\.'
container_start d POSTGRES_PASSWORD=password POSTGRES_USER=user POSTGRES_DB=db
check "it starts" container_ready d
check_is "postgres -C shared_preload_libraries" \
	"$(container_exec d postgres -D /var/lib/postgresql/data -C shared_preload_libraries)" lttle_pg
check_is "it listens on every address" "$(container_sql d user db 'show listen_addresses')" '*'
check_log "the extension is loaded" d ' LOG:  lttle_pg: init$'
check_is "the extension can be created" "$(container_sql d user db 'create extension lttle_pg')" ''
container_delete d

done_testing
