#!/usr/bin/env bash
# A private PostgreSQL cluster in one directory, from the private tree that scripts/build.sh makes.
#
#   scripts/cluster.sh start DIR [PORT]   create DIR and the cluster if need be, and start it on
#                                         127.0.0.1:PORT; without PORT (or 0) on a free one. Returns when
#                                         it accepts connections; does nothing if it already runs
#   scripts/cluster.sh stop DIR [MODE]    stop it; does nothing if it does not run. MODE is pg_ctl's: fast if not
#                                         given; after immediate, the next start recovers as after a power cut
#   scripts/cluster.sh status DIR         "running PID PORT" and 0, or "stopped" and 3
#   scripts/cluster.sh env DIR            PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE, DATABASE_URL,
#                                         PG_BINDIR, PGSOCKETDIR as NAME=value lines for `eval`
#
# CLUSTER_OPTIONS: extra lines for postgresql.conf, used when the cluster is created.
#
# As root, PostgreSQL runs as the user postgres, which then owns DIR and must be able to reach it. DIR holds
# data/, server.log, password (of the superuser postgres), port and socket_dir. The cluster is as safe as a
# production one: fsync and synchronous_commit stay on, data checksums too, every connection needs the password.
set -euo pipefail
# shellcheck source=scripts/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"

readonly START_TIMEOUT=60 # seconds; crash recovery of a small cluster takes a few
readonly SOCKET_PATH_LIMIT=107

main() {
    if (($# < 2 || $# > 3)) || [[ -z $2 ]]; then die "usage: $0 start|stop|status|env DIR [PORT|MODE]"; fi
    DIR=$(realpath -m -- "$2")
    umask 077
    case $1 in
    start)
        make_dir
        exec 9<"$DIR"
        flock 9 # two starts at once: the second finds it running
        start "${3:-0}"
        ;;
    stop) stop "${3:-fast}" ;;
    status) status ;;
    env) print_env ;;
    *) die "unknown command '$1'; see the top of $0" ;;
    esac
}

start() {
    local port=$1
    [[ -x $PG_BINDIR/postgres ]] || die "no private PostgreSQL tree in $NEXUS_HOME: run scripts/build.sh"
    ! running_pid >/dev/null || return 0
    [[ -f $DIR/data/PG_VERSION && -f $DIR/password ]] || create
    [[ $(<"$DIR/data/PG_VERSION") == "$PG_MAJOR" ]] ||
        die "the cluster in $DIR was made by PostgreSQL $(<"$DIR/data/PG_VERSION") and this is $PG_MAJOR: set NEXUS_PG_CONFIG to the former, or remove the cluster"
    remove_stale_pid_file
    make_socket_dir
    if [[ -f $DIR/server.log ]]; then mv -f -- "$DIR/server.log" "$DIR/server.log.1"; fi
    if ((port != 0)); then start_on "$port" || fail; else start_somewhere; fi
}

fail() {
    tail -n 20 "$DIR/server.log" >&2
    die "PostgreSQL in $DIR did not start; its log is $DIR/server.log"
}

# On the port it had before if that is free, so that addresses people noted stay right.
start_somewhere() {
    local port attempt
    for attempt in {1..20}; do
        port=$((15000 + RANDOM % 15000)) # below the range that outgoing connections use
        if ((attempt == 1)) && [[ -f $DIR/port ]]; then port=$(<"$DIR/port"); fi
        ! port_is_taken "$port" || continue
        ! start_on "$port" || return 0
        # Someone took the port in between: try the next. Anything else is a real failure.
        grep -q 'Address already in use' "$DIR/server.log" 2>/dev/null || fail
    done
    fail
}

start_on() {
    local port=$1
    printf "%s = '%s'\n" listen_addresses 127.0.0.1 port "$port" \
        unix_socket_directories "$(sed "s/'/''/g" "$DIR/socket_dir")" | write_file server.conf
    as_server_user "$PG_BINDIR/pg_ctl" start --silent --wait --timeout="$START_TIMEOUT" \
        --pgdata="$DIR/data" --log="$DIR/server.log" >/dev/null 2>&1 </dev/null 9<&- || return
    echo "$port" | write_file port
}

create() {
    random_hex | write_file password
    rm -rf -- "$DIR/data" # what an interrupted creation left
    local output
    output=$(as_server_user "$PG_BINDIR/initdb" --pgdata="$DIR/data" --username=postgres \
        --pwfile="$DIR/password" --auth=scram-sha-256 --encoding=UTF8 --locale="$(utf8_locale)" \
        --data-checksums 2>&1) || die "initdb failed: $output"
    {
        echo "include '../server.conf'"
        echo "password_encryption = 'scram-sha-256'"
        printf '%s\n' "${CLUSTER_OPTIONS-}"
    } | as_server_user tee -a "$DIR/data/postgresql.conf" >/dev/null
}

make_dir() {
    (umask 022 && mkdir -p -- "$DIR") # parents that the server's user may enter
    if ((EUID == 0)); then chown "$SERVER_USER": "$DIR"; fi
    chmod 0700 -- "$DIR"
    as_server_user test -w "$DIR" -a -x "$DIR" ||
        die "the user $SERVER_USER cannot reach $DIR: choose a directory whose parents it may enter"
}

# A socket's path has a limit that deep checkouts exceed; such a cluster gets its sockets in /tmp.
make_socket_dir() {
    local dir=$DIR/socket
    if ((${#dir} + ${#PG_MAJOR} + 18 > SOCKET_PATH_LIMIT)); then # 18: /.s.PGSQL.65535.lock
        dir=$(cat "$DIR/socket_dir" 2>/dev/null || true)
        as_server_user test -d "$dir" -a -O "$dir" || dir=$(as_server_user mktemp -d /tmp/nexus-XXXXXXXX)
    fi
    as_server_user mkdir -p -- "$dir"
    # A killed server leaves its socket and a lock file with its pid, which again may be anyone's.
    as_server_user find "$dir" -mindepth 1 -name '.s.PGSQL.*' -delete
    echo "$dir" | write_file socket_dir
}

# Content comes on stdin; the file belongs to the server's user, as all in DIR.
write_file() { as_server_user tee "$DIR/$1" >/dev/null; }

utf8_locale() {
    if locale -a 2>/dev/null | grep -qix 'c.utf-\?8'; then echo C.UTF-8; else echo C; fi
}

# The pid of our server if it runs. The process is looked at, because after a crash or a reboot the pid in
# the file may be anyone's.
running_pid() {
    local pid
    pid=$(head -n 1 "$DIR/data/postmaster.pid" 2>/dev/null) && [[ $pid =~ ^[0-9]+$ ]] || return
    [[ $(cat "/proc/$pid/comm" 2>/dev/null) == postgres ]] || return
    # a server's working directory is its data directory
    [[ /proc/$pid/cwd -ef $DIR/data ]] || return
    echo "$pid"
}

# The pid file of a killed server names a pid that may be anyone's by now, and then PostgreSQL refuses to
# start. It may go only when no process of the old server is left: two servers would ruin the data.
remove_stale_pid_file() {
    [[ -f $DIR/data/postmaster.pid ]] || return 0
    local deadline=$((SECONDS + START_TIMEOUT))
    while any_process_in_data; do
        ((SECONDS < deadline)) ||
            die "processes of a server that was killed still work in $DIR/data: end them, then start again"
        sleep 0.1
    done
    rm -f -- "$DIR/data/postmaster.pid"
}

any_process_in_data() {
    local cwd
    for cwd in /proc/[0-9]*/cwd; do
        [[ ! $cwd -ef $DIR/data ]] || return 0
    done
    return 1
}

stop() {
    running_pid >/dev/null || return 0
    as_server_user "$PG_BINDIR/pg_ctl" stop --silent --wait --timeout=60 --mode="$1" --pgdata="$DIR/data" ||
        die "PostgreSQL in $DIR did not stop within 60 s; its log is $DIR/server.log"
    # A socket directory outside DIR goes with the server that used it.
    local dir
    dir=$(<"$DIR/socket_dir")
    if [[ $dir == /tmp/nexus-* ]]; then as_server_user rm -rf -- "$dir"; fi
}

status() {
    local pid
    if pid=$(running_pid); then
        echo "running $pid $(<"$DIR/port")"
    else
        echo stopped
        return 3
    fi
}

print_env() {
    [[ -f $DIR/port && -f $DIR/password ]] || die "there is no cluster in $DIR: start it first"
    local port password
    port=$(<"$DIR/port") password=$(<"$DIR/password")
    printf '%s=%q\n' PGHOST 127.0.0.1 PGPORT "$port" PGUSER postgres PGPASSWORD "$password" \
        PGDATABASE postgres DATABASE_URL "postgres://postgres:$password@127.0.0.1:$port/postgres" \
        PG_BINDIR "$PG_BINDIR" PGSOCKETDIR "$(<"$DIR/socket_dir")"
}

main "$@"
