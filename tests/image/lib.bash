# What the tests of the image share: TAP, and containers made of the built image.
#
# A test file sources this first. It is then run again in mount and pid namespaces of its own, with a tmpfs for its files:
# when it ends or is killed, by whatever signal, its processes, mounts, loop devices and files are gone with them.

set -uo pipefail
umask 022

test_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top_dir=$(cd "$test_dir/../.." && pwd)
cache=${LTTLE_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/lttle_pg}/image-tests
archive=${LTTLE_IMAGE_ARCHIVE:-$top_dir/build/image/postgres-17-flash.oci.tar}

if [[ -z ${LTTLE_IMAGE_TEST_INSIDE-} ]]; then
	((EUID == 0)) || { echo "Bail out! The tests of the image must run as root." && exit 1; }
	[[ -f $archive ]] || { echo "Bail out! $archive is not there: make image" && exit 1; }
	mkdir -p "$cache/mnt"
	LTTLE_IMAGE_TEST_INSIDE=1 setpriv --pdeathsig KILL -- \
		unshare --mount --propagation private --pid --fork --mount-proc --kill-child "$0" "$@" &
	# unshare(1) is deaf to these while it waits.
	trap 'kill -KILL $!; exit 143' INT TERM HUP
	wait $!
	exit
fi

mount -t tmpfs -o mode=0755 tests "$cache/mnt"
scratch=$cache/mnt

# ---- TAP ----------------------------------------------------------------------------------------------------------------

tests_run=0
tests_failed=0

# check DESCRIPTION COMMAND...: one test; it passes when the command succeeds.
check() {
	local description=$1
	shift
	tests_run=$((tests_run + 1))
	if "$@"; then
		echo "ok $tests_run - $description"
	else
		tests_failed=$((tests_failed + 1))
		echo "not ok $tests_run - $description"
		diagnose "failed: $*"
	fi
}

# check_is DESCRIPTION GOT EXPECTED
check_is() {
	check "$1" [ "$2" = "$3" ] || true
	[[ $2 == "$3" ]] || diagnose "got: $2" "expected: $3"
}

# check_log DESCRIPTION CONTAINER PATTERN: whether a line of the container's output matches an extended expression.
check_log() {
	check "$1" grep -Eq -- "$3" "$scratch/$2/log" || true
	grep -Eq -- "$3" "$scratch/$2/log" || show_log "$2"
}

# check_no_log DESCRIPTION CONTAINER PATTERN
check_no_log() {
	check "$1" not grep -Eq -- "$3" "$scratch/$2/log"
}

not() { ! "$@"; }
diagnose() { printf '# %s\n' "$@"; }
show_log() { tail -n 40 "$scratch/$1/log" | sed 's/^/#   | /'; }

done_testing() {
	echo "1..$tests_run"
	exit $((tests_failed > 0))
}

# wait_until SECONDS COMMAND...: polls with a deadline.
wait_until() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		((SECONDS < deadline)) || return 1
		sleep 0.05
	done
}

# ---- containers ---------------------------------------------------------------------------------------------------------

# Unpacks an OCI image once: image_unpack ARCHIVE NAME; the path is in $image_root. Older ones of that name are removed,
# except those that another run uses: it holds a lock on them to its end.
image_unpack() {
	local digest dir older kept=$cache/$2
	digest=$(tar -xOf "$1" index.json | jq -r '.manifests[0].digest' | cut -d: -f2 | cut -c1-16)
	dir=$kept-$digest
	image_root=$dir/rootfs
	exec {image_lock}>"$cache/lock"
	flock "$image_lock"
	if [[ ! -d $dir ]]; then
		for older in "$kept"-*; do
			[[ ! -d $older ]] || flock --exclusive --nonblock "$older" rm -rf --one-file-system "$older" || true
		done
		rm -rf --one-file-system "$cache/unpacking"
		mkdir "$cache/unpacking"
		skopeo --insecure-policy copy --quiet "oci-archive:$1" "oci:$scratch/layout:image"
		umoci unpack --image "$scratch/layout:image" "$cache/unpacking/bundle"
		rm -rf "$scratch/layout"
		mv -T "$cache/unpacking/bundle" "$dir"
		rmdir "$cache/unpacking"
	fi
	exec {image_use}<"$dir"
	flock --shared "$image_use"
	exec {image_lock}>&-
}

# container_new NAME: a fresh container of the image; its data directory is on a file system of the test's.
container_new() {
	local base=$scratch/$1
	container_user[$1]=postgres
	mkdir -p "$base"/{upper,work,root,data,scripts}
	chown 999:999 "$base/data"
	chmod 0755 "$base/scripts"
	mount -t overlay -o "lowerdir=$image_root,upperdir=$base/upper,workdir=$base/work" "$1" "$base/root"
	mount --bind "$base/data" "$base/root/var/lib/postgresql/data"
	mount --bind "$base/scripts" "$base/root/docker-entrypoint-initdb.d"
	: >"$base/log"
}

# container_enter ROOT USER COMMAND...: what runs inside the new namespaces. The server's user without any capability, or
# root; few device files, as under lttled.
container_enter() {
	local root=$1 user=$2 device
	shift 2
	mount -t proc proc "$root/proc"
	mount -t tmpfs -o mode=0755 dev "$root/dev"
	for device in null zero full random urandom tty; do
		: >"$root/dev/$device"
		mount --bind "/dev/$device" "$root/dev/$device"
	done
	mkdir "$root/dev/pts"
	mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 pts "$root/dev/pts"
	ln -s pts/ptmx "$root/dev/ptmx"
	mkdir -m 1777 "$root/dev/shm"
	mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
	ip link set lo up
	if [[ $user == root ]]; then
		exec chroot "$root" "$@"
	fi
	exec chroot "$root" setpriv --reuid=999 --regid=999 --init-groups --no-new-privs --inh-caps=-all \
		--ambient-caps=-all --bounding-set=-all "$@"
}

# container_start NAME [--user root] [VARIABLE=VALUE...] [-- COMMAND...]: in the background; output goes to its log.
# (bash has background jobs ignore SIGINT; a container runtime does not.)
container_start() {
	local name=$1 user=postgres
	local -a environment=(PATH="$image_path" LANG=en_US.utf8 PG_MAJOR=17 PGDATA=/var/lib/postgresql/data)
	shift
	if [[ ${1-} == --user ]]; then
		user=$2
		shift 2
	fi
	while (($#)) && [[ $1 != -- ]]; do
		environment+=("$1")
		[[ $1 != POSTGRES_USER=* ]] || container_user[$name]=${1#*=}
		shift
	done
	(($#)) && shift
	(($#)) || set -- postgres
	export -f container_enter
	unshare --mount --propagation private --pid --fork --kill-child --ipc --uts --net \
		bash -c 'container_enter "$@"' container "$scratch/$name/root" "$user" \
		env -i --default-signal=INT,QUIT "${environment[@]}" docker-entrypoint.sh "$@" </dev/null >>"$scratch/$name/log" 2>&1 &
	container_pid[$name]=$!
}
declare -A container_pid container_user
image_path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/17/bin

# container_login NAME USER: whom container_ready tries to log in as; POSTGRES_USER otherwise.
container_login() { container_user[$1]=$2; }

# container_wait NAME: waits for its end; sets $status.
container_wait() {
	wait "${container_pid[$1]}"
	status=$?
	unset "container_pid[$1]"
}

# container_run NAME ...: like container_start, to the end; sets $status.
container_run() {
	container_start "$@"
	container_wait "$1"
}

# Process 1 of the container, as seen from here.
container_init() { pgrep -P "${container_pid[$1]}" | head -n 1; }

# container_exec NAME COMMAND...: runs a command in it as the server's user; input and output are the caller's.
container_exec() {
	local init
	init=$(container_init "$1")
	shift
	nsenter --target "$init" --mount --pid --ipc --uts --net --root --wd -- \
		setpriv --reuid=999 --regid=999 --init-groups env -i PATH="$image_path" LANG=en_US.utf8 "$@"
}

# container_signal NAME SIGNAL: to its process 1.
container_signal() { kill "-$2" "$(container_init "$1")"; }

# container_kill NAME: ends it as a power failure would.
container_kill() {
	kill -KILL "$(container_init "$1")"
	container_wait "$1"
}

# container_stop NAME: orderly, as the image's STOPSIGNAL says.
container_stop() {
	container_signal "$1" INT
	container_wait "$1"
}

# container_sql NAME USER DATABASE STATEMENT: unaligned rows; errors to standard output too.
container_sql() {
	container_exec "$1" psql -X -A -t -q -U "$2" -d "$3" -c "$4" 2>&1
}

# Whether the server proper (not the first start's temporary one) accepts connections.
container_listens() { container_exec "$1" psql -X -q -h 127.0.0.1 -U "${container_user[$1]}" -d postgres -c ""; }

# container_ready NAME: waits until it does; fails when it ends before.
container_ready() {
	wait_until 60 container_listens_or_ended "$1" && container_listens "$1" && return
	show_log "$1"
	return 1
}
container_listens_or_ended() { ! kill -0 "${container_pid[$1]}" || container_listens "$1"; }

# container_first_start NAME VARIABLE=VALUE...: new, started and ready, or the test file ends.
container_first_start() {
	container_new "$1"
	container_start "$@"
	container_ready "$1" || { echo "Bail out! container $1 did not start" && exit 1; }
}

# container_delete NAME: gives its mounts and files back.
container_delete() {
	[[ -z ${container_pid[$1]-} ]] || container_kill "$1"
	umount --recursive "$scratch/$1/root"
	! mountpoint -q "$scratch/$1/volume.mnt" || umount "$scratch/$1/volume.mnt"
	rm -rf --one-file-system "${scratch:?}/$1"
}

# volume_mount NAME MIB: puts the container's data directory on an ext4 file system of its own, in `data/` as lttled does.
volume_mount() {
	local base=$scratch/$1
	truncate -s "$2M" "$base/volume"
	mkfs.ext4 -q -b 4096 -m 0 -O inline_data -J size=4 "$base/volume"
	mkdir -p "$base/volume.mnt"
	mount -o loop "$base/volume" "$base/volume.mnt"
	mkdir "$base/volume.mnt/data"
	chown 999:999 "$base/volume.mnt/data"
	umount "$base/root/var/lib/postgresql/data"
	mount --bind "$base/volume.mnt/data" "$base/root/var/lib/postgresql/data"
}
