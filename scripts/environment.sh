# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is used by the scripts that source it
# Where things are and who runs them; sourced by every other script, never run.
#
# Sets (and exports what cargo, pgrx and the tests read):
#   CHECKOUT             the checkout's absolute path
#   NEXUS_HOME           state of this checkout: .nexus/, or /var/lib/nexus/<hash> (see resolve_home)
#   CARGO_TARGET_DIR     build output; yours if set, else target/ in the checkout
#   SERVER_USER          who runs PostgreSQL: you, or an unprivileged user if you are root
#   PG_CONFIG PG_MAJOR   the machine's PostgreSQL (NEXUS_PG_CONFIG overrides); empty if there is none
#   PG_TREE PG_BINDIR    the private copy of it, which the extension is installed into
#   PGRX_PG_CONFIG_PATH  the same for pgrx. Every cargo call gets the same value: a change rebuilds pgrx

CHECKOUT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
readonly CHECKOUT
readonly OLDEST_POSTGRES=15 NEWEST_POSTGRES=18

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

# Runs a command as root: directly, or with sudo. Ask can_be_root first.
as_root() {
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

# With a terminal sudo may ask for the password; without one it must not need it.
can_be_root() {
    ((EUID == 0)) && return
    command -v sudo >/dev/null || return
    [[ -t 0 && -t 2 ]] || sudo -n true 2>/dev/null
}

# PostgreSQL refuses to run as root, so as root everything of a cluster runs as SERVER_USER.
server_user() {
    if ((EUID != 0)); then
        id -un
    elif id -u postgres >/dev/null 2>&1; then
        echo postgres
    else
        echo nobody
    fi
}

# Runs a command as SERVER_USER with a clean environment: a stray PGPORT would lead to another
# server, and RUST_BACKTRACE would put backtraces into the DETAIL of errors that clients see.
as_server_user() {
    local clean=(env -i "PATH=$PATH" LC_ALL=C "LD_LIBRARY_PATH=${LD_LIBRARY_PATH-}")
    if ((EUID != 0)); then
        (cd / && "${clean[@]}" "$@")
    elif command -v runuser >/dev/null; then
        (cd / && runuser -u "$SERVER_USER" -- "${clean[@]}" "$@")
    else
        (cd / && setpriv --reuid="$SERVER_USER" --regid="$(id -g "$SERVER_USER")" --init-groups -- \
            "${clean[@]}" "$@")
    fi
}

# The state of a checkout lives in the checkout, unless we are root and the unprivileged user cannot
# get there (a home of mode 0700).
resolve_home() {
    if [[ -n ${NEXUS_HOME-} ]]; then
        realpath -m -- "$NEXUS_HOME"
    elif ((EUID == 0)) && ! as_server_user test -x "$CHECKOUT" 2>/dev/null; then
        local hash
        hash=$(printf '%s' "$CHECKOUT" | sha256sum)
        echo "/var/lib/nexus/${hash:0:12}"
    else
        echo "$CHECKOUT/.nexus"
    fi
}

pg_major_of() { "$1" --version | sed -E 's/^PostgreSQL ([0-9]+).*/\1/'; }

# A PostgreSQL to build against and run: its server, its initdb and its headers are all there.
is_complete_postgres() {
    [[ -x $1 ]] || return
    local bindir headers
    bindir=$("$1" --bindir) && headers=$("$1" --includedir-server) || return
    [[ -x $bindir/postgres && -x $bindir/initdb && -f $headers/postgres.h ]]
}

# The newest complete PostgreSQL that Nexus supports, as the path of its pg_config; nothing if none.
# The loop tries Debian's and Ubuntu's layout, where several versions stand side by side, before PATH.
find_pg_config() {
    if [[ -n ${NEXUS_PG_CONFIG-} ]]; then
        [[ -x $NEXUS_PG_CONFIG ]] || die "NEXUS_PG_CONFIG is '$NEXUS_PG_CONFIG', and there is no such program"
        echo "$NEXUS_PG_CONFIG"
        return
    fi
    local major candidate
    for ((major = NEWEST_POSTGRES; major >= OLDEST_POSTGRES; major--)); do
        candidate=/usr/lib/postgresql/$major/bin/pg_config
        if is_complete_postgres "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    candidate=$(command -v pg_config || true)
    if [[ -n $candidate ]] && is_complete_postgres "$candidate"; then
        major=$(pg_major_of "$candidate")
        if ((major >= OLDEST_POSTGRES && major <= NEWEST_POSTGRES)); then echo "$candidate"; fi
    fi
}

# To be called again once setup.sh has installed PostgreSQL, which also brings the user postgres.
use_postgres() {
    SERVER_USER=$(server_user)
    PG_CONFIG=$(find_pg_config)
    [[ -n $PG_CONFIG ]] || return 0
    PG_MAJOR=$(pg_major_of "$PG_CONFIG")
    # The private tree repeats the original's absolute paths below its root: PostgreSQL finds its
    # files relative to its binary, and `cargo pgrx package` lays files out in the same way.
    PG_TREE=$NEXUS_HOME/pg/$PG_MAJOR
    PG_BINDIR=$PG_TREE$("$PG_CONFIG" --bindir)
    export PGRX_PG_CONFIG_PATH=$PG_CONFIG
}

port_is_taken() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

random_hex() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# rustup puts cargo here, and `cargo install` cargo-pgrx; a fresh shell's PATH may not have it yet.
PATH=$PATH:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}
[[ $CARGO_TARGET_DIR == /* ]] || CARGO_TARGET_DIR=$CHECKOUT/$CARGO_TARGET_DIR
# cargo-pgrx would pass a linker flag by RUSTFLAGS, and so compile every dependency a second time;
# extension/build.rs passes it to the extension alone.
CARGO_PGRX_DISABLE_GC_SECTIONS_WORKAROUND=1
export PATH CARGO_TARGET_DIR CARGO_PGRX_DISABLE_GC_SECTIONS_WORKAROUND

SERVER_USER=$(server_user)
NEXUS_HOME=$(resolve_home)
export NEXUS_HOME
PG_CONFIG='' PG_MAJOR='' PG_TREE='' PG_BINDIR=''
use_postgres
