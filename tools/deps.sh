#!/usr/bin/env bash
# Fetches what the tests need and the machine lacks, once; later runs find everything in place and need no network.
#   tools/deps.sh web     what "make web" needs: the packages of web/package-lock.json
#   tools/deps.sh check   that, and what "make check" needs: a C compiler for the race detector, Go modules
#   tools/deps.sh test    that, and what "make test" needs: Kafka's jars, kcat, PostgreSQL, Chromium with Playwright, and what clients in other languages are installed with
# Everything goes to $SLUICE_CACHE (default ~/.cache/sluice), apart from Debian packages where we may install them, and
# from the caches of Go, Maven and npm, from which npm fills node_modules beside a package-lock.json.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${SLUICE_CACHE:-$HOME/.cache/sluice}
bin=$cache/bin
mkdir -p "$bin"
export PATH="$bin:$PATH"

say() { echo "deps: $*"; }
die() { echo "deps: $*" >&2; exit 1; }

updated=
apt() { # apt COMMAND...: as root, or through sudo without a question
	if [ "$(id -u)" = 0 ]; then DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@"
	else sudo -n DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@"; fi
}
may_install() { command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; }
install() { # install PACKAGE...
	may_install || return 1
	say "installing $*"
	[ -n "$updated" ] || { apt update; updated=1; }
	apt install -y --no-install-recommends "$@" >/dev/null
}

# extract PACKAGE: without the right to install, the package and its missing libraries go to the cache folder.
extract() {
	command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
	local root=$cache/debian/$1 lists
	lists=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$1" | grep '^[a-z]') || return 1
	say "unpacking $1 into $root"
	rm -rf "$root" && mkdir -p "$root/debs"
	local package
	for package in $lists; do
		dpkg -s "$package" >/dev/null 2>&1 && continue
		(cd "$root/debs" && apt-get -qq download "$package") || return 1
	done
	shopt -s nullglob
	for package in "$root"/debs/*.deb; do dpkg -x "$package" "$root"; done
	rm -rf "$root/debs"
}

# unpack PACKAGE PROGRAM: extract, and a wrapper of the program in the cache folder's bin.
unpack() {
	extract "$1" || return 1
	local root=$cache/debian/$1
	printf '#!/bin/sh\nLD_LIBRARY_PATH="$(echo %s/usr/lib/*-linux-gnu):$LD_LIBRARY_PATH" exec %s/usr/bin/%s "$@"\n' "$root" "$root" "$2" >"$bin/$2"
	chmod +x "$bin/$2"
}

need() { # need PROGRAM "what to install": must be there already
	command -v "$1" >/dev/null || die "no $1 found: install $2"
}

modules() { # modules FOLDER: download the Go modules, offline when they are there
	GOFLAGS=-mod=readonly GOPROXY=off go -C "$1" mod download 2>/dev/null || { say "fetching Go modules of $1"; go -C "$1" mod download; }
}

packages() { # packages FOLDER: what its package-lock.json says, from npm's cache where that has it
	cmp -s "$1/package-lock.json" "$1/node_modules/.filled-from" && return
	need npm "Node 20.19 or newer with npm"
	say "filling $1/node_modules"
	(cd "$1" && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --prefer-offline --no-audit --no-fund --loglevel=error)
	cp "$1/package-lock.json" "$1/node_modules/.filled-from"
}
packages web
[ "${1:-test}" = web ] && exit 0

need go "Go 1.26 or newer, https://go.dev/dl/"
if ! command -v gcc >/dev/null && ! command -v cc >/dev/null; then
	install gcc libc6-dev || die "no C compiler found, which Go's race detector needs: install gcc and libc6-dev"
fi
for module in . tools test; do
	[ ! -f $module/go.mod ] || modules $module
done
[ "${1:-test}" = check ] && exit 0

need java "a Java runtime, 17 or newer (openjdk-17-jre-headless, say)"
if ! command -v javac >/dev/null; then # our application of Kafka Streams is compiled against each release
	install default-jdk-headless || die "no javac found: install a JDK, 17 or newer (openjdk-17-jdk-headless, say)"
fi
for version in $(sed -n 's/^func Versions() .*{\(.*\)} }$/\1/p' internal/kafkatest/jars.go | tr -d '",'); do
	maven() { # maven POM: its jars into Maven's repository; the tests collect them from there
		need mvn "Maven, needed once"
		local folder
		folder=$(mktemp -d)
		cp "$1" "$folder/pom.xml"
		mvn -B -q -Dstyle.color=never -f "$folder/pom.xml" -Dkafka.version="$version" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$folder/libs"
		rm -rf "$folder"
	}
	if [ -z "$(ls -A "$cache/kafka/$version/libs" 2>/dev/null)" ]; then
		say "fetching Apache Kafka $version from Maven Central"
		maven internal/kafkatest/pom.xml
	fi
	if [ -z "$(ls -d "$cache/kafka/$version"/programs-*/.complete 2>/dev/null)" ]; then
		say "fetching Streams, Connect and MirrorMaker $version from Maven Central"
		maven test/programs/pom.xml
	fi
done

if ! command -v kcat >/dev/null; then
	install kcat || unpack kcat kcat || die "no kcat found: install it (Debian: kcat)"
fi

postgres() { # the programs of a PostgreSQL server, without one that runs all the time
	local package
	package=$(apt-cache depends postgresql 2>/dev/null | sed -n 's/^ *Depends: \(postgresql-[0-9]*\)$/\1/p' | head -1)
	[ -n "$package" ] || { may_install && apt update && updated=1; package=$(apt-cache depends postgresql | sed -n 's/^ *Depends: \(postgresql-[0-9]*\)$/\1/p' | head -1); }
	[ -n "$package" ] || return 1
	may_install || { extract "$package"; return; }
	install postgresql-common || return 1
	$([ "$(id -u)" = 0 ] || echo sudo -n) sed -i 's/^#* *create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
	install "$package"
}
if ! ls /usr/lib/postgresql/*/bin/initdb "$cache"/debian/postgresql*/usr/lib/postgresql/*/bin/initdb 2>/dev/null | grep -q .; then
	postgres || die "no PostgreSQL server found: install it (Debian: postgresql)"
fi

# test/ makes its environments of clients in other languages itself, in the cache folder, from what is here.
need python3 "Python 3"
python3 -c 'import ensurepip, venv' 2>/dev/null || install python3-venv || die "python3 cannot make environments: install python3-venv"
need npm "Node 20 with npm"

# AsyncAPI's schemas with their examples, and whole documents of 2.6, 3.0 and 3.1 that the project publishes.
while read -r package version sum; do
	file=$cache/asyncapi/$(tr '/' '-' <<<"${package#@}")-$version.tgz
	[ ! -f "$file" ] || continue
	say "fetching $package $version from the npm registry"
	mkdir -p "$cache/asyncapi"
	folder=$(mktemp -d "$cache/asyncapi/fetching.XXXXXX")
	(cd "$folder" && npm pack --silent "$package@$version" >/dev/null)
	echo "$sum  $folder/$(basename "$file")" | sha512sum --check --quiet || die "$package $version is not what test/asyncapi/packages.txt names"
	mv "$folder/$(basename "$file")" "$file"
	rmdir "$folder"
done <test/asyncapi/packages.txt

# The portal in a real browser.
packages test/browser
if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null && ! command -v google-chrome >/dev/null; then
	install chromium fonts-liberation fonts-dejavu-core || die "no Chromium found: install it (Debian: chromium)"
fi
