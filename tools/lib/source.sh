# Fetches sources from the Debian archives that this machine's apt knows. Needs image/lib/archive.sh.

# Fetches the newest upstream archive of a package that can be had, hashes and signatures checked by apt, under the name that
# it has there. Suites from the one to look at first: source_fetch PACKAGE DIRECTORY SUITE...
source_fetch() {
	local package=$1 dir=$2 apt=$2/apt suite
	local -a options=(
		--quiet --option Acquire::Retries=3 --option DPkg::Lock::Timeout=300 --option APT::Sandbox::User=root
		--option "Dir::Etc::SourceList=$apt/sources.list" --option Dir::Etc::SourceParts=/dev/null
		--option "Dir::State::Lists=$apt/lists" --option "Dir::Cache=$apt/cache"
		# A newer suite's index may be past its date when this machine's clock or mirror is not today's.
		--option Acquire::Check-Valid-Until=false
	)
	mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
	for suite in "${@:3}"; do
		archive_write_sources "${suite%-security}" "$apt/all.list"
		sed -n "s|^deb \(.* $suite main\)\$|deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] \1|p" \
			"$apt/all.list" >"$apt/sources.list"
		[[ -s $apt/sources.list ]] || continue
		(cd "$dir" && apt-get "${options[@]}" update >&2 &&
			apt-get "${options[@]}" source --download-only --tar-only "$package" >&2) && return 0
	done
	return 1
}
