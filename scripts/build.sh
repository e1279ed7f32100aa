#!/usr/bin/env bash
# Builds Nexus (release profile) and puts its extension into the private PostgreSQL tree.
#
#   scripts/build.sh             the gateway, the demo and the extension, installed in the private tree
#   scripts/build.sh extension   only the packaged extension, below $CARGO_TARGET_DIR/nexus-pg<major>
#   scripts/build.sh system      the extension, installed into the machine's own PostgreSQL (sudo)
#
# The private tree is a copy of the machine's PostgreSQL below $NEXUS_HOME/pg, so that nothing has to be
# written to /usr and no cluster but our own ever sees an unfinished build.
set -euo pipefail
# shellcheck source=scripts/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"

[[ -n $PG_CONFIG ]] || die "no PostgreSQL found: run scripts/setup.sh"
readonly PACKAGE=$CARGO_TARGET_DIR/nexus-pg$PG_MAJOR

main() {
    cd -- "$CHECKOUT"
    case ${1-all} in
    all)
        build_binaries
        with_lock install_privately
        ;;
    extension) with_lock package_extension ;;
    system) with_lock install_system_wide ;;
    *) die "unknown argument '$1'; see the top of $0" ;;
    esac
}

build_binaries() { cargo build --release -p nexus-gateway -p nexus-demo; }

package_extension() {
    local log=$NEXUS_HOME/log/package-extension.log
    local features=(--no-default-features --features "pg$PG_MAJOR")
    mkdir -p -- "${log%/*}"
    # The very build that cargo-pgrx is about to ask for. Done here it shows cargo's progress, and what
    # cargo-pgrx itself says matters only when it fails.
    cargo build --release --lib -p nexus "${features[@]}"
    # An emptied directory, so that update scripts which no longer exist do not linger.
    rm -rf -- "$PACKAGE"
    cargo pgrx package -p nexus --profile release "${features[@]}" \
        --pg-config "$PG_CONFIG" --out-dir "$PACKAGE" >"$log" 2>&1 || {
        cat "$log" >&2
        die "the extension could not be packaged"
    }
}

# Two make runs in one checkout may come here together.
with_lock() (
    mkdir -p -- "$NEXUS_HOME/run"
    exec 9>"$NEXUS_HOME/run/build.lock"
    flock 9
    "$@" 9>&-
)

install_privately() {
    package_extension
    make_tree
    local source target extension_dir
    extension_dir=$PG_TREE$("$PG_CONFIG" --sharedir)/extension
    for target in "$extension_dir"/nexus--*.sql; do # scripts of versions that are no more
        [[ -e $PACKAGE/${target#"$PG_TREE"/} ]] || rm -f -- "$target"
    done
    while IFS= read -r source; do
        target=$PG_TREE/${source#"$PACKAGE"/}
        cmp -s -- "$source" "$target" || replace "$source" "$target"
    done < <(find "$PACKAGE" -type f)
}

# By rename, so that a server which has the old library mapped keeps it whole.
replace() {
    cp -- "$1" "$2.new"
    chmod a+rX -- "$2.new"
    mv -f -- "$2.new" "$2"
}

# Copies bin/, because PostgreSQL finds its files relative to the real path of its binary; links the
# contents of lib/ and share/, which only have to be found; makes share/extension/ a real directory too.
make_tree() {
    local bindir libdir sharedir stamp new=$PG_TREE.new
    bindir=$("$PG_CONFIG" --bindir) libdir=$("$PG_CONFIG" --pkglibdir) sharedir=$("$PG_CONFIG" --sharedir)
    # an update of the machine's PostgreSQL makes the copy anew
    stamp=$(stat -c '%n %s %Y' "$bindir/postgres")
    [[ $(cat "$PG_TREE/copied-from" 2>/dev/null) != "$stamp" ]] || return 0

    rm -rf -- "$new"
    mkdir -p -- "$new$bindir" "$new$libdir" "$new$sharedir/extension"
    cp -L -- "$bindir"/* "$new$bindir/"
    link_contents "$libdir" "$new$libdir"
    link_contents "$sharedir" "$new$sharedir"
    link_contents "$sharedir/extension" "$new$sharedir/extension"
    # An extension that `make install` put there must not shine through ours.
    rm -f -- "$new$libdir"/nexus.so "$new$sharedir"/extension/nexus{.control,--*}
    [[ $("$new$bindir/pg_config" --sharedir) -ef $new$sharedir &&
        $("$new$bindir/pg_config" --pkglibdir) -ef $new$libdir ]] ||
        die "the copy of PostgreSQL in $new does not find its own files; NEXUS_PG_CONFIG can name another PostgreSQL"
    echo "$stamp" >"$new/copied-from"
    chmod -R a+rX -- "$new"
    chmod a+rx -- "${PG_TREE%/*}"
    rm -rf -- "$PG_TREE"
    mv -- "$new" "$PG_TREE"
}

# What exists already (the real share/extension) stays.
link_contents() {
    local entry
    for entry in "$1"/*; do
        [[ -e $2/${entry##*/} ]] || ln -s -- "$entry" "$2/"
    done
}

install_system_wide() {
    package_extension
    can_be_root || die "installing into $("$PG_CONFIG" --pkglibdir) needs root or sudo"
    local source
    while IFS= read -r source; do
        # install(1) replaces by a new file, so a server that has the old library mapped keeps it whole
        as_root install -m 0644 -- "$source" "${source#"$PACKAGE"}"
    done < <(find "$PACKAGE" -type f)
    say "Installed. In each database: create extension nexus (or: alter extension nexus update); select nexus.migrate();"
}

main "$@"
