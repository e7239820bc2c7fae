# Says where this machine takes Debian packages from, and how, so that the roots of the image come from the same place.
# Everything is read from apt's own configuration: no mirror is named here.

# Prints the archives that apt knows of, one "LABEL URI" a line (labels as in the archive's Release file).
archive_list() {
	apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | sort -u
}

# Writes sources for a Debian suite: archive_write_sources SUITE FILE
archive_write_sources() {
	local suite=$1 file=$2 known main security
	known=$(archive_list)
	if [[ -z $known ]]; then
		say "apt has no package lists yet: apt-get update"
		apt-get -q update >&2
		known=$(archive_list)
	fi
	main=$(awk '$1 == "Debian" { print $2; exit }' <<<"$known")
	security=$(awk '$1 == "Debian-Security" { print $2; exit }' <<<"$known")
	[[ -n $main ]] || die "apt's configuration has no Debian archive (see /etc/apt/sources.list and sources.list.d)"
	{
		printf 'deb %s %s main\n' "$main" "$suite"
		printf 'deb %s %s-updates main\n' "$main" "$suite"
		[[ -z $security ]] || printf 'deb %s %s-security main\n' "$security" "$suite"
	} >"$file"
}

# Writes apt settings for the roots: proxies, time-outs and checks as on this machine: archive_write_options FILE
archive_write_options() {
	{
		apt-config dump | grep -E '^Acquire::(https?::|ftp::|Retries|Check-Valid-Until|Check-Date|Max-ValidTime)' || true
		printf '%s\n' 'Acquire::Languages "none";' 'Acquire::Retries "3";' 'APT::Sandbox::User "root";'
	} >"$1"
}
