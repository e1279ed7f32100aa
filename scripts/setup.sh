#!/usr/bin/env bash
# Makes this machine able to build and run Nexus. Idempotent: when all is there it says nothing and
# takes well under a second.
#
#   scripts/setup.sh                    what building and running needs
#   scripts/setup.sh shellcheck pgbouncer   and these programs, which linting and testing use
#
# Installs missing Debian or Ubuntu packages (as root, or with sudo) and cargo-pgrx. It never touches
# an existing PostgreSQL cluster, and installs no Rust toolchain.
set -euo pipefail
# shellcheck source=scripts/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"

readonly NEEDED_RUST=1.95
readonly PGRX_VERSION=0.18.1 # the version of pgrx in Cargo.toml; the two must be equal
readonly PGRX_CRATES=293     # what cargo-pgrx compiles, to show how far it is

main() {
    check_rust
    install_packages "$@"
    check_postgres
    make_home
    install_cargo_pgrx
    write_cargo_config
}

check_rust() {
    if ! command -v rustc >/dev/null || ! command -v cargo >/dev/null; then
        die "Rust $NEEDED_RUST or newer is needed and none is installed: install it from https://rustup.rs"
    fi
    local found
    found=$(rustc --version | cut -d' ' -f2)
    printf '%s\n%s\n' "$NEEDED_RUST" "$found" | sort -CV ||
        die "Rust $NEEDED_RUST or newer is needed and $found is installed: update it, for example with 'rustup update stable'"
}

# The packages whose files are missing, one a line; arguments: programs named as their packages. Looking for the
# files and not for the packages lets a machine have them from elsewhere (NEXUS_PG_CONFIG, a newer libclang, …).
missing_packages() {
    local program
    for program in pkg-config "$@"; do
        has_program "$program" || echo "$program"
    done
    has_program cc || echo build-essential
    has_program flock || echo util-linux
    has_libclang || echo libclang-dev
    [[ -f /etc/ssl/certs/ca-certificates.crt || -f /etc/pki/tls/certs/ca-bundle.crt ]] || echo ca-certificates
    [[ -n $PG_CONFIG ]] || postgres_packages
}

# sbin is not on an ordinary user's PATH.
has_program() { PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null; }

# pgrx reads PostgreSQL's headers through it. In Debian's layout the library may be there without its own headers.
has_libclang() {
    [[ -n ${LIBCLANG_PATH-} ]] ||
        compgen -G '/usr/lib*/libclang*.so*' >/dev/null || {
        compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null &&
            compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' >/dev/null
    }
}

# The headers of the newest server that is installed; without one, all of the distribution's own version.
postgres_packages() {
    local major
    for ((major = NEWEST_POSTGRES; major >= OLDEST_POSTGRES; major--)); do
        if [[ -x /usr/lib/postgresql/$major/bin/postgres ]]; then
            echo "postgresql-server-dev-$major"
            return
        fi
    done
    echo postgresql
}

# The packages that `postgresql` stands for here; apt has to be up to date to know.
postgres_of_distribution() {
    local major
    major=$(apt-cache depends postgresql | sed -nE 's/^ *Depends: postgresql-([0-9]+)$/\1/p' | head -n 1)
    [[ -n $major ]] || die "no package named postgresql is available to apt: check its sources"
    ((major >= OLDEST_POSTGRES && major <= NEWEST_POSTGRES)) ||
        die "this distribution has PostgreSQL $major; Nexus needs $OLDEST_POSTGRES to $NEWEST_POSTGRES: add the PostgreSQL project's own apt repository and install one of them"
    echo "postgresql-$major postgresql-server-dev-$major"
}

install_packages() {
    local packages
    mapfile -t packages < <(missing_packages "$@" | sort -u)
    ((${#packages[@]})) || return 0
    command -v apt-get >/dev/null ||
        die "this is not Debian or Ubuntu; install the equivalent of these packages yourself: ${packages[*]}"
    can_be_root ||
        die "these packages are missing, and installing them needs root or sudo: apt-get install ${packages[*]}"
    say "Installing Debian packages: ${packages[*]}"
    as_root apt-get update -qq
    local i of_distribution
    for i in "${!packages[@]}"; do
        [[ ${packages[i]} == postgresql ]] || continue
        of_distribution=$(postgres_of_distribution)
        unset "packages[i]"
        # shellcheck disable=SC2206 # two names
        packages+=($of_distribution)
    done
    apt_install "${packages[@]}"
    use_postgres
}

# Where PostgreSQL is new to the machine, no system cluster is made of it: Nexus brings its own.
# Where it was there before, whatever the machine's owner has set stays in force.
apt_install() {
    local drop_in=/etc/postgresql-common/createcluster.d/nexus.conf status=0
    if [[ " $* " == *' postgresql-'* && ! -d /etc/postgresql-common ]]; then
        as_root mkdir -p "${drop_in%/*}"
        echo 'create_main_cluster = false' | as_root tee "$drop_in" >/dev/null
    fi
    # NEEDRESTART_MODE: Ubuntu would otherwise restart services of others
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l \
        apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "$@" >&2 || status=$?
    # only for this one installation: a PostgreSQL that is installed later is its owner's affair
    as_root rm -f "$drop_in"
    ((status == 0)) || die "apt-get could not install: $*"
    # Debian starts pgbouncer with its package; the tests need only the program.
    if [[ " $* " == *' pgbouncer '* && -d /run/systemd/system ]]; then
        as_root systemctl disable --quiet --now pgbouncer.service || true
    fi
}

check_postgres() {
    [[ -n $PG_CONFIG ]] ||
        die "no PostgreSQL $OLDEST_POSTGRES to $NEWEST_POSTGRES with server and headers found; NEXUS_PG_CONFIG can name its pg_config"
    is_complete_postgres "$PG_CONFIG" ||
        die "$PG_CONFIG does not belong to a PostgreSQL with server binaries and server headers (NEXUS_PG_CONFIG names it)"
    ((PG_MAJOR >= OLDEST_POSTGRES && PG_MAJOR <= NEWEST_POSTGRES)) ||
        die "$PG_CONFIG is of PostgreSQL $PG_MAJOR; Nexus needs $OLDEST_POSTGRES to $NEWEST_POSTGRES"
}

make_home() {
    if [[ ! -d $NEXUS_HOME ]]; then
        mkdir -p -- "$NEXUS_HOME"
        # the unprivileged user passes through to its cluster, whatever our umask
        chmod 0755 -- "$NEXUS_HOME"
        if [[ $NEXUS_HOME == /var/lib/nexus/* ]]; then
            chmod 0755 -- /var/lib/nexus
            say "The user $SERVER_USER cannot reach $CHECKOUT: the cluster goes to $NEXUS_HOME"
        fi
    fi
    [[ -O $NEXUS_HOME ]] ||
        die "$NEXUS_HOME belongs to $(stat -c %U -- "$NEXUS_HOME"), not to you: run as that user, or remove it ('make clean-local' as that user)"
    mkdir -p -- "$NEXUS_HOME/log" "$NEXUS_HOME/run"
}

has_cargo_pgrx() { [[ $(cargo pgrx --version 2>/dev/null) == "cargo-pgrx $PGRX_VERSION" ]]; }

install_cargo_pgrx() {
    ! has_cargo_pgrx || return 0
    local log=$NEXUS_HOME/log/cargo-pgrx.log
    say "Installing cargo-pgrx $PGRX_VERSION (once; about five minutes on two cores)"
    # Its own target directory, which cargo removes afterwards. An installed cargo-pgrx of another
    # version is replaced: pgrx refuses to work with any but its own.
    env -u CARGO_TARGET_DIR cargo install cargo-pgrx --version "=$PGRX_VERSION" --locked --force \
        >"$log" 2>&1 &
    show_progress $! "$log"
    wait $! || {
        tail -n 20 "$log" >&2
        die "cargo-pgrx could not be installed; all of its output is in $log"
    }
    has_cargo_pgrx || die "cargo-pgrx $PGRX_VERSION was installed but 'cargo pgrx' starts another one: check PATH"
}

# One line while process $1 runs: rewritten every second on a terminal, else a new one every 15 s.
show_progress() {
    local pid=$1 log=$2 started=$SECONDS shown=0 every=15 end='\n'
    if [[ -t 2 ]]; then every=1 end='\r'; fi
    while kill -0 "$pid" 2>/dev/null; do
        if ((SECONDS - shown >= every)); then
            shown=$SECONDS
            printf '  %3d s, %3d of %d crates compiled%b' "$((SECONDS - started))" \
                "$(grep -c '^ *Compiling ' "$log" || true)" "$PGRX_CRATES" "$end" >&2
        fi
        sleep 1
    done
    [[ ! -t 2 ]] || printf '\n' >&2
}

# So that a plain `cargo build` and an editor see what the make targets see. Never over one's own file.
write_cargo_config() {
    local file=$CHECKOUT/.cargo/config.toml mark='# Written by scripts/setup.sh'
    local content
    content=$(printf '%s\n[env]\nPGRX_PG_CONFIG_PATH = "%s"\n' "$mark" "$PG_CONFIG")
    if [[ -e $file ]]; then
        [[ $(head -n 1 "$file") == "$mark" && $(<"$file") != "$content" ]] || return 0
    fi
    mkdir -p -- "${file%/*}"
    printf '%s\n' "$content" >"$file"
}

main "$@"
