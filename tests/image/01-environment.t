#!/bin/bash
# The environment of a first start: each variable, each *_FILE, each error, and what a second start does.

# shellcheck disable=SC1091
source "$(dirname "$0")/lib.bash"
image_unpack "$archive" flash

# ---- the guide's first start ----
container_first_start guide POSTGRES_PASSWORD=password POSTGRES_USER=user POSTGRES_DB=db

# What the guide's listing shows, in its order. Dates, pids and addresses differ.
listing=(
	'^The files belonging to this database system will be owned by user "postgres"\.$'
	'^This user must also own the server process\.$'
	'^The database cluster will be initialized with locale "en_US\.utf8"\.$'
	'^The default database encoding has accordingly been set to "UTF8"\.$'
	'^The default text search configuration will be set to "english"\.$'
	'^Data page checksums are disabled\.$'
	'^fixing permissions on existing directory /var/lib/postgresql/data \.\.\. ok$'
	'^creating subdirectories \.\.\. ok$'
	'^selecting dynamic shared memory implementation \.\.\. posix$'
	'^selecting default "max_connections" \.\.\. 100$'
	'^selecting default "shared_buffers" \.\.\. 128MB$'
	'^selecting default time zone \.\.\. Etc/UTC$'
	'^creating configuration files \.\.\. ok$'
	'^running bootstrap script \.\.\. ok$'
	'^performing post-bootstrap initialization \.\.\. ok$'
	'^syncing data to disk \.\.\. ok$'
	'^initdb: warning: enabling "trust" authentication for local connections$'
	'^initdb: hint: You can change this by editing pg_hba\.conf or using the option -A'
	'^Success\. You can now start the database server using:$'
	'^    pg_ctl -D /var/lib/postgresql/data -l logfile start$'
	'^waiting for server to start\.\.\.\..* LOG:  lttle_pg: init$'
	' LOG:  starting PostgreSQL 17\.[0-9]+ \(Debian '
	' LOG:  listening on Unix socket "/var/run/postgresql/\.s\.PGSQL\.5432"$'
	' LOG:  database system was shut down at '
	'^PostgreSQL init process complete; ready for start up\.$'
	' LOG:  lttle_pg: init$'
	' LOG:  listening on IPv4 address "0\.0\.0\.0", port 5432$'
)

# log_has_in_order CONTAINER PATTERN...: lines that match, one after the other; says the first that is missing.
log_has_in_order() {
	local name=$1 line=0 found pattern
	shift
	for pattern in "$@"; do
		found=$(tail -n +$((line + 1)) "$scratch/$name/log" | grep -nE -m 1 -- "$pattern" | cut -d: -f1)
		if [[ -z $found ]]; then
			diagnose "not found after line $line: $pattern"
			return 1
		fi
		line=$((line + found))
	done
}
check "the log of the first start is the guide's" wait_until 20 log_has_in_order guide "${listing[@]}"
log_has_in_order guide "${listing[@]}" >/dev/null || show_log guide
# These two race each other.
log_counts() { [[ $(grep -cE -- "$2" "$scratch/$1/log") == "$3" ]]; }
check "each of the two servers gets ready" wait_until 20 log_counts guide ' LOG:  database system is ready to accept connections$' 2
check "and so does the extension's worker" wait_until 20 log_counts guide ' LOG:  lttle_pg: flash ready worker$' 2

check_is "user and database are the ones asked for" \
	"$(container_sql guide user db 'select current_user, current_database(), usesuper from pg_user where usename = current_user')" 'user|db|t'
check_is "no other role" "$(container_sql guide user db "select string_agg(rolname, ',') from pg_roles where rolcanlogin")" user
check_is "the password is kept as SCRAM" \
	"$(container_sql guide user db "select left(rolpassword, 14) from pg_authid where rolname = 'user'")" 'SCRAM-SHA-256$'
check_is "clients on the network log in by SCRAM" \
	"$(container_sql guide user db "select auth_method from pg_hba_file_rules where address = 'all'")" scram-sha-256
check_is "the extension is loaded" "$(container_sql guide user db 'show shared_preload_libraries')" lttle_pg
check_is "and can be created" "$(container_sql guide user db 'create extension lttle_pg' &&
	container_sql guide user db "select count(*) from pg_extension where extname = 'lttle_pg'")" 1
check_is "the server is process 1" "$(container_sql guide user db "select pg_read_file('postmaster.pid', 0, 2)")" 1
check_is "it runs as uid 999 and without capabilities" \
	"$(awk '/^Uid:/ { uid = $2 $3 $4 $5 } /^Cap(Prm|Eff|Bnd|Inh|Amb):/ { caps = caps $2 } END { print uid, caps ~ /^0+$/ }' \
		"/proc/$(container_init guide)/status")" "999999999999 1"
check_is "psql -W over the Unix socket works as in the guide" \
	"$(container_exec guide script -qec 'psql -X -A -t -d db -U user -W -c "select 40 + 2"' /dev/null <<<password | tr -d '\r' | tail -n 1)" 42

# From another address of the container's own, where pg_hba.conf asks for the password.
nsenter --target "$(container_init guide)" --net ip addr add 192.0.2.1/32 dev lo
login() { container_exec guide env PGPASSWORD="$1" psql -X -A -t -h 192.0.2.1 -U user -d db -c 'select 1' 2>&1; }
check_is "the right password is let in over the network" "$(login password)" 1
check "a wrong one is not" grep -q 'password authentication failed' <(login wrong)

container_sql guide user db 'create table kept as select 7 as n' >/dev/null
system_id=$(container_sql guide user db 'select system_identifier from pg_control_system()')
: >"$scratch/guide/log"
container_stop guide
check_is "SIGINT stops it in order" "$status" 0
container_start guide POSTGRES_PASSWORD=other POSTGRES_USER=other POSTGRES_DB=other
container_login guide user
check "a second start serves" container_ready guide
check_is "the same cluster, its data kept" \
	"$(container_sql guide user db 'select system_identifier, n from pg_control_system(), kept')" "$system_id|7"
check_is "and makes nothing of the new environment" \
	"$(container_sql guide user db "select count(*) from pg_database where datname = 'other'")" 0
check_no_log "no initdb in its log" guide 'initdb|init process complete'
container_kill guide
container_start guide
check "it serves after it was killed" container_ready guide
container_delete guide

# ---- defaults and arguments ----
container_first_start plain POSTGRES_PASSWORD=secret -- postgres -c work_mem=7MB -c "application_name=it's me"
check_is "the default user and database are postgres" "$(container_sql plain postgres postgres 'select current_user')" postgres
check_is "the command's arguments reach the server" "$(container_sql plain postgres postgres 'show work_mem')" 7MB
container_delete plain

container_first_start named POSTGRES_PASSWORD=x 'POSTGRES_USER=Some-User 1' -- -c work_mem=6MB
check_is "POSTGRES_DB defaults to POSTGRES_USER, whatever its letters" \
	"$(container_sql named 'Some-User 1' 'Some-User 1' 'select current_database()')" 'Some-User 1'
check_is "a command that begins with an option is the server's" "$(container_sql named 'Some-User 1' postgres 'show work_mem')" 6MB
container_delete named

container_first_start quoted POSTGRES_PASSWORD="it's \"that\" \$PATH %s \\ 1" POSTGRES_DB="o'hara \"x\" \$1"
check_is "any name is a database's" "$(container_sql quoted postgres "o'hara \"x\" \$1" 'select current_database()')" "o'hara \"x\" \$1"
nsenter --target "$(container_init quoted)" --net ip addr add 192.0.2.1/32 dev lo
check_is "any line is a password" "$(container_exec quoted env PGPASSWORD="it's \"that\" \$PATH %s \\ 1" \
	psql -X -A -t -h 192.0.2.1 -U postgres -c 'select 1' 2>&1)" 1
container_delete quoted

# ---- files ----
container_new files
printf 'from file\n' >"$scratch/files/upper/password"
printf 'fuser\n' >"$scratch/files/upper/user"
printf 'fdb\n' >"$scratch/files/upper/db"
printf -- '--data-checksums\n' >"$scratch/files/upper/args"
files_mount() { mkdir -p "$scratch/files/root/run/secrets" && cp "$scratch"/files/upper/{password,user,db,args} "$scratch/files/root/run/secrets/"; }
files_mount
container_start files POSTGRES_PASSWORD_FILE=/run/secrets/password POSTGRES_USER_FILE=/run/secrets/user \
	POSTGRES_DB_FILE=/run/secrets/db POSTGRES_INITDB_ARGS_FILE=/run/secrets/args
container_login files fuser
check "every variable may come from a file" container_ready files
check_is "user, database and initdb's arguments are the files'" \
	"$(container_sql files fuser fdb "select current_user, current_database(), current_setting('data_checksums')")" 'fuser|fdb|on'
nsenter --target "$(container_init files)" --net ip addr add 192.0.2.1/32 dev lo
check_is "the password is the file's" \
	"$(container_exec files env PGPASSWORD='from file' psql -X -A -t -h 192.0.2.1 -U fuser -d fdb -c 'select 1' 2>&1)" 1
check_is "and not in the server's environment" "$(grep -c 'from file' "/proc/$(container_init files)/environ")" 0
container_delete files

# ---- authentication ----
container_first_start trusted POSTGRES_HOST_AUTH_METHOD=trust
check_log "trust is warned of, loudly" trusted 'WARNING: POSTGRES_HOST_AUTH_METHOD is "trust"'
check_is "trust is in pg_hba.conf" \
	"$(container_sql trusted postgres postgres "select auth_method from pg_hba_file_rules where address = 'all'")" trust
check_is "without POSTGRES_PASSWORD there is no password" \
	"$(container_sql trusted postgres postgres "select rolpassword is null from pg_authid where rolname = 'postgres'")" t
container_delete trusted

container_first_start method POSTGRES_PASSWORD=x POSTGRES_HOST_AUTH_METHOD=md5
check_is "another method is taken over" \
	"$(container_sql method postgres postgres "select auth_method from pg_hba_file_rules where address = 'all'")" md5
check_no_log "and nothing is warned of" method WARNING
container_delete method

container_first_start asking POSTGRES_PASSWORD=x POSTGRES_INITDB_ARGS='--auth-local=scram-sha-256 --locale-provider=icu --icu-locale="de-AT"'
check_is "initdb's arguments are taken with their quotes; a local password does not stop the first start" \
	"$(container_exec asking env PGPASSWORD=x psql -X -A -t -U postgres -c "select datlocprovider, datlocale from pg_database where datname = 'template0'")" 'i|de-AT'
container_delete asking

# ---- WAL on another directory ----
container_new wal
mkdir "$scratch/wal/elsewhere" "$scratch/wal/upper/wal"
chown 999:999 "$scratch/wal/elsewhere"
mkdir -p "$scratch/wal/root/wal"
mount --bind "$scratch/wal/elsewhere" "$scratch/wal/root/wal"
container_start wal POSTGRES_PASSWORD=x POSTGRES_INITDB_WALDIR=/wal/pg
check "POSTGRES_INITDB_WALDIR: the server starts" container_ready wal
check_is "pg_wal is there" "$(readlink "$scratch/wal/data/pg_wal")" /wal/pg
check "and its segments" test -f "$scratch/wal/elsewhere/pg/000000010000000000000001"
container_delete wal

# ---- errors ----
# refused DESCRIPTION PATTERN VARIABLE=VALUE...: ends with status 1, says why, and leaves the data directory empty.
refused() {
	local description=$1 pattern=$2
	shift 2
	container_new refused
	[[ -z ${refused_prepare-} ]] || "$refused_prepare"
	container_run refused "$@"
	check_is "$description: refused" "$status" 1
	check_log "$description: says why" refused "$pattern"
	check_no_log "$description: before anything was made" refused 'creating subdirectories'
	container_delete refused
}
refused "neither password nor trust" 'no superuser password was given'
refused "an empty password" 'no superuser password was given' POSTGRES_PASSWORD=
refused "a method other than trust without a password" 'no superuser password was given' POSTGRES_HOST_AUTH_METHOD=md5
refused "a variable and its file" 'POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are both set' \
	POSTGRES_PASSWORD=a POSTGRES_PASSWORD_FILE=/etc/hostname
refused "a file that is not there" 'POSTGRES_USER_FILE: /nowhere is not a readable file' POSTGRES_PASSWORD=a POSTGRES_USER_FILE=/nowhere
refused "a password of two lines" 'must not contain a line break' POSTGRES_PASSWORD=$'a\nb'
refused_prepare=foreign_files
foreign_files() { mkdir "$scratch/refused/data/lost+found" && touch "$scratch/refused/data/mine"; }
refused "a directory with something else in it" 'is not empty, but holds no database: .*lost\+found' POSTGRES_PASSWORD=a
refused_prepare=foreign_owner
foreign_owner() { chown 0:0 "$scratch/refused/data" && chmod 0755 "$scratch/refused/data"; }
refused "somebody else's directory" 'belongs to uid 0, but the server runs as uid 999' POSTGRES_PASSWORD=a

container_new args
container_run args POSTGRES_PASSWORD=a POSTGRES_INITDB_ARGS=--no-such-option
check "initdb's own refusal ends the start" [ "$status" -ne 0 ]
check_log "in its own words" args 'unrecognized option'
container_delete args

# ---- as root, and other commands ----
container_new root
chown -R 0:0 "$scratch/root/data"
container_start root --user root POSTGRES_PASSWORD=x
check "started as root it serves" container_ready root
check_is "as the server's user" "$(awk '/^Uid:/ { print $2, $3, $4, $5 }' "/proc/$(container_init root)/status")" "999 999 999 999"
check_is "with its directory" "$(stat -c '%u %a' "$scratch/root/data")" "999 700"
container_delete root

container_new other
container_run other -- postgres --version
check_is "postgres --version needs no password" "$status" 0
check_log "and answers" other '^postgres \(PostgreSQL\) 17\.'
container_run other -- sh -c 'echo "as $(id -un), in $HOME"; exit 5'
check_is "another command is run as it is" "$status" 5
check_log "by the image's user" other '^as postgres'
check_is "and makes no database" "$(ls -A "$scratch/other/data")" ''
container_delete other

done_testing
