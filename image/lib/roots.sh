# Makes the two Debian roots that the image needs, each once, in the cache: `runtime` becomes the image's first layer,
# `toolchain` has the compiler and is never shipped. A root's name carries the hash of all that went into it; it is built
# under a temporary name and renamed when whole.

suite=trixie
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# Key of a root: root_key NAME. The recipe, the package list and the architecture decide; --refresh changes the salt.
root_key() {
	{
		cat "$image_dir/packages.$1" "$image_dir/lib/roots.sh" "$image_dir/lib/archive.sh"
		dpkg --print-architecture
		cat "$cache/refreshed" 2>/dev/null || true
	} | sha256sum | cut -c1-16
}

# Packages of a root, separated by commas.
root_packages() {
	sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$image_dir/packages.$1" | paste -sd, | tr -d ' \t'
}

# root_debootstrap NAME DIRECTORY [mmdebstrap options]: what both roots have in common.
root_debootstrap() {
	local name=$1 dir=$2
	shift 2
	archive_write_sources "$suite" "$work/$name.list"
	archive_write_options "$work/$name.apt"
	TMPDIR=$work mmdebstrap --mode=root --variant=essential --format=directory \
		--keyring="$keyring" --aptopt="$work/$name.apt" \
		--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
		--dpkgopt='path-exclude=/usr/share/locale/*/LC_MESSAGES/*' \
		--dpkgopt='path-include=/usr/share/locale/*/LC_MESSAGES/*-17.mo' \
		--dpkgopt='path-exclude=/usr/share/lintian/*' --dpkgopt='force-confold' \
		--include="$(root_packages "$name")" "$@" \
		--customize-hook='rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap" "$1/etc/dpkg/dpkg.cfg.d/99mmdebstrap"' \
		"$suite" "$dir" "$work/$name.list" >"$work/$name.log" 2>&1 ||
		{ tail -n 40 "$work/$name.log" >&2 && die "mmdebstrap could not make the $name root (see above)"; }
}

# The server's user has the ids of the official image, so that volumes can move between the two. Debian's packages must
# find it there (before groupadd and useradd are), and must not make a cluster of their own.
root_hook_server_user='
	set -e
	mkdir -p "$1/etc/postgresql-common"
	echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.conf"
	echo "postgres:x:999:" >>"$1/etc/group"
	echo "postgres:x:999:999:PostgreSQL:/var/lib/postgresql:/bin/bash" >>"$1/etc/passwd"'

root_hook_tidy='
	set -e
	chroot "$1" localedef -i en_US -c -f UTF-8 -A /usr/share/locale/locale.alias en_US.UTF-8
	rm -f "$1"/etc/ssl/private/ssl-cert-snakeoil.key "$1"/etc/ssl/certs/ssl-cert-snakeoil.pem
	rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/* "$1"/etc/hostname "$1"/etc/resolv.conf "$1"/etc/machine-id
	rm -rf "$1"/var/cache/* "$1"/var/log/*
	sed -i "s/^postgres:[^:]*:/postgres:*:/" "$1/etc/shadow"'

# Makes the runtime root into DIRECTORY: root_make_runtime DIRECTORY [mmdebstrap options]
root_make_runtime() {
	local dir=$1
	shift
	root_debootstrap runtime "$dir" --essential-hook="$root_hook_server_user" --customize-hook="$root_hook_tidy" "$@"
	# A runtime gives the container its own device files.
	find "$dir/dev" "$dir/var/lib/apt/lists" -mindepth 1 -delete
	install -d -m 0755 "$dir/docker-entrypoint-initdb.d" "$dir/run/lttle"
	install -d -o 999 -g 999 -m 1777 "$dir/var/lib/postgresql" "$dir/var/lib/postgresql/data"
	install -d -o 999 -g 999 -m 3777 "$dir/run/postgresql"
}

# Sees that the toolchain is in the cache; its path is in $toolchain.
root_ensure_toolchain() {
	toolchain=$cache/toolchain-$(root_key toolchain)
	[[ -d $toolchain ]] && return
	say "Debian $suite with a compiler, for the extension (once)"
	root_debootstrap toolchain "$work/toolchain"
	mv -T "$work/toolchain" "$toolchain"
	cache_forget_others toolchain "$toolchain"
}

# Sees that the first layer is in the cache, as an OCI layout with the tag `runtime`; its directory is in $runtime:
# `layout` and the settings' sample as Debian ships it.
root_ensure_runtime() {
	runtime=$cache/runtime-$(root_key runtime)
	[[ -d $runtime ]] && return
	say "Debian $suite with PostgreSQL 17, the image's first layer (once)"
	root_make_runtime "$work/root"
	tar --create --file "$work/root.tar" --directory "$work/root" --numeric-owner --sort=name --xattrs .
	mkdir "$work/runtime"
	cp "$work/root/usr/share/postgresql/17/postgresql.conf.sample" "$work/runtime/"
	oci_layout_from_layer "$work/runtime/layout" runtime "$work/root.tar" "Debian $suite packages"
	rm -rf --one-file-system "$work/root" "$work/root.tar"
	mv -T "$work/runtime" "$runtime"
	cache_forget_others runtime "$runtime"
}

# Removes what earlier keys left: cache_forget_others KIND KEPT
cache_forget_others() {
	local dir
	for dir in "$cache/$1"-*; do
		[[ $dir == "$2" || ! -d $dir ]] || rm -rf --one-file-system "$dir"
	done
}
