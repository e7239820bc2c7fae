#!/bin/bash
# Scripts of the first start, and first starts that are cut off.

# shellcheck disable=SC1091
source "$(dirname "$0")/lib.bash"
image_unpack "$archive" flash

# script NAME MODE: standard input becomes /docker-entrypoint-initdb.d/NAME of the container `s`.
script() {
	cat >"$scratch/s/scripts/$1"
	chmod "$2" "$scratch/s/scripts/$1"
}
note() { echo "INSERT INTO seen (what) VALUES ('$1');"; }

# ---- kinds and order ----
container_new s
script 00-first.sql 0644 <<<'CREATE TABLE seen (n serial, what text);'
note plain | script 10-plain.sql 0644
script 2-executable.sh 0755 <<-'END'
	#!/bin/sh
	psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" -c "INSERT INTO seen (what) VALUES ('executable')"
	from_executable=yes
END
script 30-sourced.sh 0644 <<-'END'
	# No #! line: it is read by the entrypoint's own shell.
	psql --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" -c "INSERT INTO seen (what) VALUES ('sourced ${BASH_VERSION:+by bash}')"
	from_sourced=yes
END
script 31-sourced.sh 0644 <<<'echo "variables: ${from_executable-none} ${from_sourced-none}"'
note function | sed 's/.*/docker_process_sql <<<"&"/' | script 32-official.sh 0644
note array | sed 's/.*/"${psql[@]}" -c "&"/' | script 33-official.sh 0644
note gz | gzip | script 40.sql.gz 0644
note xz | xz | script 41.sql.xz 0644
note zst | zstd -q | script 42.sql.zst 0644
script 50-notes.txt 0644 <<<'nobody reads this'
note umlaut | script 'ä name with spaces.sql' 0644
container_start s POSTGRES_PASSWORD=x POSTGRES_USER=me POSTGRES_DB=mine
check "a first start with scripts gets ready" container_ready s
check_is "each kind ran, in the locale's order, in POSTGRES_DB" \
	"$(container_sql s me mine "select string_agg(what, ',' order by n) from seen")" \
	'plain,executable,sourced by bash,function,array,gz,xz,zst,umlaut'
check_log "what a sourced script sets stays, what an executable sets does not" s '^variables: none yes$'
check_log "other files are named and left alone" s 'ignoring /docker-entrypoint-initdb.d/50-notes.txt'
check_is "nothing is listened to while they run" \
	"$(grep -cE 'listening on IPv4|init process complete' "$scratch/s/log" | tr -d '\n';
		grep -oE 'init process complete|listening on IPv4' "$scratch/s/log" | head -n 1)" '2init process complete'
container_stop s
container_start s POSTGRES_PASSWORD=x
check "a second start gets ready" container_ready s
check_is "and runs no script" "$(container_sql s me mine 'select count(*) from seen')" 9
container_delete s

# ---- scripts that fail ----
# fails DESCRIPTION SCRIPT [LINE: MESSAGE]: the container `s` with its scripts ends with an error that names the script, and
# the next start begins anew. The line is PostgreSQL's; of a shell script it is ours.
fails() {
	container_run s POSTGRES_PASSWORD=x
	check "$1: the first start fails" [ "$status" -ne 0 ]
	check_no_log "$1: it does not go on" s 'init process complete|never shown'
	if [[ $2 == *.sh ]]; then
		check_is "$1: its last line names the script and the line" "$(grep '^error: ' "$scratch/s/log")" \
			"error: /docker-entrypoint-initdb.d/$2$3. Nothing is kept; the next start begins anew."
		check "$1: no note of it is left" not test -e "$scratch/s/root/var/run/postgresql/.first-start-failure"
	else
		check_log "$1: its last line names the script" s "^error: /docker-entrypoint-initdb.d/${2//./\\.} failed \(exit status [0-9]+\)"
	fi
	[[ $2 == *.sh || -z ${3-} ]] || check_log "$1: script, line and PostgreSQL's message" s "^psql:/docker-entrypoint-initdb.d/${2//./\\.}:$3"
	check_is "$1: no server is left" "$(pgrep -u 999 -c postgres)" 0
	rm "$scratch"/s/scripts/*
	: >"$scratch/s/log"
	container_start s POSTGRES_PASSWORD=x
	check "$1: the next start is a first start again" container_ready s
	check_log "$1: and says so" s '^The first start of this database was interrupted'
	check_is "$1: nothing of the failed one is there" "$(container_sql s postgres postgres "select count(*) from pg_class where relname = 'half'")" 0
	container_delete s
}
container_new s
printf 'CREATE TABLE half ();\nSELECT 1/0;\nSELECT $$never shown$$;\n' | script 1.sql 0644
fails "an error in SQL" 1.sql '2: ERROR:  division by zero$'
for packer in gzip:gz xz:xz zstd:zst; do
	container_new s
	printf 'CREATE TABLE half ();\n\nSELECT * FROM nowhere;\n' | "${packer%:*}" -c | script "1 packed.sql.${packer#*:}" 0644
	fails "an error in ${packer#*:}" "1 packed.sql.${packer#*:}" '3: ERROR:  relation "nowhere" does not exist$'
done
container_new s
printf 'CREATE TABLE half ();\n' | script 1.sql 0644
printf 'SELECT 1;\nCREATE DATABASE postgres;\n' | script 2.sql 0644
fails "a second script" 2.sql '2: ERROR:  database "postgres" already exists$'
container_new s
printf 'CREATE TABLE half ();\n' | gzip | head -c 30 | script 1.sql.gz 0644
script 2.sh 0755 <<<'echo never shown'
fails "a damaged archive" 1.sql.gz
half='psql -U postgres -c "CREATE TABLE half ()"'
container_new s
printf '%s\nfalse\necho never shown\n' "$half" | script 1.sh 0644
fails "a sourced script" 1.sh ':2: false failed (exit status 1)'
container_new s
script 1.sh 0644 <<-END
	fill() {
		$half
		PGPASSWORD=hidden "\$@"
	}
	fill true
	docker_process_sql <<<'SELECT 1;
	SELECT 1/0'
	echo never shown
END
fails "a function of the entrypoint's, in a sourced script" 1.sh ':6: docker_process_sql failed (exit status 3)'
container_new s
printf '%s\nif true; then\n  exit 4\nfi\n' "$half" | script 1.sh 0644
fails "a sourced script that gives up" 1.sh ':3: failed (exit status 4)'
container_new s
script 1.sh 0755 <<-END
	#!/bin/bash
	set -e
	trap 'echo its own trap' EXIT
	fill() {
		$half
		psql -U postgres -c 'SELECT 1/0'
	}
	if ! false && [[ -z \${BASH_ENV-} ]]; then
		fill
	fi
	echo never shown
END
fails "an executable script for bash" 1.sh ':6: psql … failed (exit status 1)'
container_new s
script 1.sh 0755 <<-END
	#!/usr/bin/env bash
	$half
	false
	(exit 7)
	false || exit 5
END
fails "an executable script that gives up" 1.sh ':5: failed (exit status 5)'
container_new s
printf '#!/bin/bash -u\n%s\n(exit 9)\necho "$nothing"\n' "$half" | script 1.sh 0755
fails "a script that ends otherwise than by its last error" 1.sh ' failed (exit status 1)'
container_new s
printf '#!/bin/sh\n%s\nexit 3\n' "$half" | script 1.sh 0755
fails "an executable script for another shell" 1.sh ' failed (exit status 3)'

# ---- first starts that are cut off ----
# cut_off DESCRIPTION MOMENT SIGNAL [VARIABLE...]: waits for MOMENT (a command), ends the container, starts it again.
cut_off() {
	local description=$1 moment=$2 signal=$3
	shift 3
	: >"$scratch/s/log"
	container_start s POSTGRES_PASSWORD=x POSTGRES_DB=db "$@"
	wait_until 30 "$moment" || diagnose "the moment did not come: $moment"
	container_signal s "$signal"
	container_wait s
	check "$description: ended" [ "$status" -ne 0 ]
	check_is "$description: the data directory is not taken for whole" "$(grep -c 'init process complete' "$scratch/s/log")" 0
	rm -f "$scratch"/s/scripts/*
	container_start s POSTGRES_PASSWORD=x POSTGRES_DB=db "$@"
	check "$description: the next start gets ready" container_ready s
	check_is "$description: with everything that was asked for" \
		"$(container_sql s postgres db "select current_database(), (select count(*) from pg_class where relname = 'half'),
			(select auth_method from pg_hba_file_rules where address = 'all')")" 'db|0|scram-sha-256'
	check_is "$description: its mark is gone" "$(find "$scratch/s/data" -name 'first-start*' | wc -l)$(grep -c first_start "$scratch/s/data/postgresql.conf")" 00
	container_stop s
	container_start s
	check "$description: and is left alone by the one after" container_ready s
	check_log "$description: which finds it whole" s 'holds a database already'
}
directories_made() { [[ -d $scratch/s/data/base ]]; }
version_written() { [[ -e $scratch/s/data/PG_VERSION ]]; }
settings_written() { grep -q '^first_start' "$scratch/s/data/postgresql.conf"; }
control_written() { [[ -s $scratch/s/data/global/pg_control ]]; }
catalogues_written() { [[ $(find "$scratch/s/data/base" -type f | wc -l) -gt 400 ]]; }
script_runs() { grep -q '^CREATE TABLE' "$scratch/s/log"; }

for moment in directories_made version_written settings_written control_written catalogues_written; do
	container_new s
	cut_off "killed at $moment" "$moment" KILL
	container_delete s
done

# While initdb asks a server what the host can do, that one's lock file is there; the moment is too short to be met.
container_new s
mkdir "$scratch"/s/data/{base,global,pg_wal}
echo 17 >"$scratch/s/data/PG_VERSION"
: >"$scratch/s/data/postgresql.conf"
echo 17 >"$scratch/s/data/postmaster.pid"
chown -R 999:999 "$scratch/s/data"
container_start s POSTGRES_PASSWORD=x
check "killed while initdb asks a server: the next start gets ready" container_ready s
check_log "killed while initdb asks a server: it begins anew" s '^The first start of this database was interrupted'
container_delete s

long_script() { printf 'CREATE TABLE half ();\nSELECT pg_sleep(60);\n' | script 1.sql 0644; }
container_new s
long_script
cut_off "killed in a script" script_runs KILL
container_delete s

for signal in TERM INT; do
	container_new s
	long_script
	started=$SECONDS
	cut_off "stopped by $signal in a script" script_runs "$signal"
	check "a script does not hold up the end ($signal)" [ $((SECONDS - started)) -lt 60 ]
	container_delete s
done

container_new s
mkdir "$scratch/s/elsewhere" "$scratch/s/root/wal"
chown 999:999 "$scratch/s/elsewhere"
mount --bind "$scratch/s/elsewhere" "$scratch/s/root/wal"
long_script
cut_off "killed with its WAL elsewhere" script_runs KILL POSTGRES_INITDB_WALDIR=/wal/pg
container_delete s

# What is not ours is never removed: a database whose control file is lost.
container_first_start s POSTGRES_PASSWORD=x
container_stop s
rm "$scratch/s/data/global/pg_control"
files=$(find "$scratch/s/data/base" -type f | wc -l)
container_run s POSTGRES_PASSWORD=x
check "a damaged database is not started" [ "$status" -ne 0 ]
check_is "and not removed" "$(find "$scratch/s/data/base" -type f | wc -l)" "$files"
container_delete s

done_testing
