#!/bin/bash
# A data directory on an ext4 file system of 100 MiB, as in the guide: PostgreSQL lives when it is full.

# shellcheck disable=SC1091
source "$(dirname "$0")/lib.bash"
image_unpack "$archive" flash

volume_start() {
	container_new v
	volume_mount v "$1"
	container_start v POSTGRES_PASSWORD=x POSTGRES_USER=user POSTGRES_DB=db
	container_ready v || { echo "Bail out! the container did not start" && exit 1; }
}
sql() { container_sql v user db "$1"; }
free_kib() { df --output=avail -k "$scratch/v/volume.mnt" | tail -n 1 | tr -d ' '; }
settings() {
	sql "select string_agg(current_setting(name), ' ' order by name) from unnest('{max_wal_size,min_wal_size,wal_segment_size}'::text[]) name"
}
segments() { find "$scratch/v/volume.mnt/data/pg_wal" -maxdepth 1 -type f -name '0000*' | wc -l; }
container_ended() { ! kill -0 "${container_pid[v]}" 2>/dev/null; }

# A checkpoint that a busy host makes late leaves the WAL short of segments just when the data has taken the last block:
# then it is a PANIC instead of an ERROR. The server comes back from it, by itself or, when it ended, at its next start.
come_back() {
	wait_until 60 container_listens_or_ended v || return
	! container_listens v 2>/dev/null || return 0
	wait_until 60 container_ended || return
	container_wait v
	container_start v
	container_ready v
}
other_panics() { grep PANIC "$scratch/v/log" | grep -cv 'No space left on device'; }

# Rows that neither compress nor leave the table.
rows_table() {
	sql "create table rows (id bigserial primary key, key uuid default gen_random_uuid(), value bytea);
		alter table rows alter value set storage external; create index on rows (key)"
}
rows_insert() { sql "insert into rows (value) select noise(1500) from generate_series(1, $1)"; }
# rows_fill ROWS: inserts until that fails; the error is printed.
rows_fill() {
	local error
	for _ in {1..200}; do
		error=$(rows_insert "$1")
		[[ -z $error ]] || { echo "$error" && return; }
	done
	echo "the volume never got full"
}
no_space='No space left on device|server closed the connection unexpectedly|the database system is in recovery mode'

# ---- sizes ----
volume_start 100
check_is "100 MiB: the WAL's size suits the volume" "$(settings)" '24MB 24MB 1MB'
check "its segments are there from the start" [ "$(segments)" -ge 24 ]
check_is "so is the reserve" "$(stat -c %s "$scratch/v/volume.mnt/data/space-reserve")" $((6 << 20))
check "and a good part is left for data" [ "$(free_kib)" -gt 20000 ]

# ---- full of rows ----
sql "create function noise(n int) returns bytea language sql as
	\$\$ select decode(string_agg(md5(random()::text || i), ''), 'hex') from generate_series(1, n / 16) i \$\$"
for size in 20000 2000 100; do
	rows_table
	error=$(rows_fill $size)
	check "filled by transactions of $size rows: no space" grep -qE "$no_space" <(echo "$error")
	check "the server is there" come_back
	check_is "and answers" "$(sql 'select 1')" 1
	sql 'drop table rows' >/dev/null
	check_is "dropping gives the space back" "$([[ $(free_kib) -gt 20000 ]] && echo yes)" yes
done

rows_table
clients=()
for _ in 1 2 3 4; do
	rows_fill 500 >"$scratch/error.${#clients[@]}" &
	clients+=($!)
done
wait "${clients[@]}"
check_is "four clients at once: no space for any" "$(grep -lE "$no_space" "$scratch"/error.? | wc -l)" 4
check "the server is there" come_back
check_is "a checkpoint on the full volume" "$(sql checkpoint)" ''
check_is "no PANIC but for lack of space" "$(other_panics)" 0
rows=$(sql 'select count(*) from rows')
check "rows are there" [ "$rows" -gt 1000 ]
container_stop v
check_is "a full volume does not hinder an orderly stop" "$status" 0
container_start v
container_login v user
check "a full volume does not hinder a start" container_ready v
check_is "nothing acknowledged is lost" "$(sql 'select count(*) from rows')" "$rows"
container_kill v
container_start v
check "nor a start after a crash" container_ready v
check_is "nothing acknowledged is lost" "$(sql 'select count(*) from rows')" "$rows"

# ---- no space for the WAL ----
# Everything free is taken from outside, then more WAL is written than there are segments for.
: >"$scratch/v/log"
dd if=/dev/zero of="$scratch/v/volume.mnt/fill" bs=64k status=none 2>/dev/null
dd if=/dev/zero of="$scratch/v/volume.mnt/fill2" bs=4k status=none 2>/dev/null
check "the volume is full to the last block" [ "$(free_kib)" -lt 8 ]
for _ in 1 2 3 4 5; do
	kill -0 "${container_pid[v]}" 2>/dev/null || break
	sql "select count(pg_logical_emit_message(false, '', repeat('x', 1000000))) from generate_series(1, 200)" >/dev/null 2>&1
done
check_log "no space for the WAL: PostgreSQL says PANIC" v 'PANIC:  .*No space left on device'
wait_until 30 container_ended || container_kill v
container_start v
check "started again, it recovers although the volume is still full" container_ready v
check_log "from its reserve, and says so" v '^The volume of /var/lib/postgresql/data is full: its last reserve is used'
check_is "nothing acknowledged is lost" "$(sql 'select count(*) from rows')" "$rows"
check_is "and something can be dropped" "$(sql 'drop table rows')" ''
check_is "after which it works on" "$(rows_table && rows_insert 1000 && sql 'select count(*) from rows')" 1000
rm "$scratch"/v/volume.mnt/fill*
container_stop v
container_start v
check "with space again it starts" container_ready v
check_is "and has its whole reserve again" "$(stat -c %s "$scratch/v/volume.mnt/data/space-reserve")" $((6 << 20))
container_delete v

# ---- other sizes ----
volume_start 1024
check_is "1 GiB: an eighth of it" "$(settings | sed 's/12[0-9]MB/~125MB/g')" '~125MB ~125MB 4MB'
container_delete v
volume_start 12288
check_is "12 GiB: PostgreSQL's own defaults" "$(settings)" '1GB 80MB 16MB'
check "and no reserve" not test -e "$scratch/v/volume.mnt/data/space-reserve"
container_delete v

done_testing
