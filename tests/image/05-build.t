#!/bin/bash
# image/build: what it makes, that it does nothing twice, and that being killed harms nothing.

# shellcheck disable=SC1091
source "$(dirname "$0")/lib.bash"

# A build into a file of this test's. The Debian roots come from the cache, whose `work.*` are a running build's.
output=$scratch/out/image.tar
image_cache=$(dirname "$cache")/image
build() { "$top_dir/image/build" --output "$output" >"$scratch/build.log" 2>&1; }

check "it builds" build || tail -n 20 "$scratch/build.log"
first=$(stat -c %Y.%i "$output" 2>/dev/null)
check "a second time" build
check "it finds everything up to date" grep -q 'is up to date' "$scratch/build.log"
check_is "and writes nothing" "$(stat -c %Y.%i "$output")" "$first"

check_is "the image has the guide's name" \
	"$(tar -xOf "$output" index.json | jq -r '.manifests[].annotations["org.opencontainers.image.ref.name"]')" \
	ghcr.io/lttle-cloud/postgres:17-flash
configuration=$(skopeo --insecure-policy inspect --config "oci-archive:$output" | jq -c .config)
check_is "it runs as postgres, from the first instruction" "$(jq -r .User <<<"$configuration")" postgres
check_is "its command is the server" "$(jq -c '[.Entrypoint, .Cmd]' <<<"$configuration")" '[["docker-entrypoint.sh"],["postgres"]]'
check_is "port, volume and stop signal are the official image's" \
	"$(jq -c '[(.ExposedPorts | keys), (.Volumes | keys), .StopSignal]' <<<"$configuration")" \
	'[["5432/tcp"],["/var/lib/postgresql/data"],"SIGINT"]'
check_is "so is the data directory" "$(jq -r '.Env[] | select(startswith("PGDATA="))' <<<"$configuration")" \
	PGDATA=/var/lib/postgresql/data

image_unpack "$archive" flash
check_is "the server's ids are the official image's" "$(grep '^postgres:' "$image_root/etc/passwd" | cut -d: -f3,4,6)" \
	999:999:/var/lib/postgresql
check_is "no compiler, no headers, no cluster, no key, no package source is in it" \
	"$(cd "$image_root" && ls -d usr/bin/gcc usr/bin/cc usr/include/postgresql etc/postgresql/17 \
		etc/ssl/private/ssl-cert-snakeoil.key etc/apt/sources.list 2>/dev/null; ls etc/apt/sources.list.d 2>/dev/null)" ''

# ---- killed in the middle ----
no_leftovers() { ! compgen -G "$image_cache/work.*"; }
for signal in KILL TERM; do
	rm -f "$output.inputs"
	"$top_dir/image/build" --output "$output" >"$scratch/build.log" 2>&1 &
	builder=$!
	wait_until 60 grep -q compiling "$scratch/build.log"
	check "it is at work" kill -0 $builder
	kill "-$signal" $builder
	wait $builder 2>/dev/null
	check "killed by $signal, it ends" [ $? -ne 0 ]
	check "nothing of it runs on" wait_until 10 not pgrep -f -- "--inside --output $output"
	check_is "no mount is left" "$(grep -c "$image_cache/" /proc/self/mountinfo)" 0
	check_is "what it wrote before stands" "$(stat -c %Y.%i "$output")" "$first"
	check "the next one builds" build || tail -n 20 "$scratch/build.log"
	check "and clears away what the killed one left" wait_until 60 no_leftovers
	first=$(stat -c %Y.%i "$output")
done

check "an unknown argument is refused" not "$top_dir/image/build" --nonsense 2>/dev/null
check "--help says how it is used" grep -q '^usage: image/build' <("$top_dir/image/build" --help)

done_testing
