#!/usr/bin/env bash
# Nexus on this machine alone: a private PostgreSQL cluster, the gateway beside it, and the demo.
#
#   scripts/local.sh run     set up, build, start, play the demo, serve until Ctrl-C, stop
#   scripts/local.sh up      the same in the background: returns when ready
#   scripts/local.sh down    stop what `up` started
#   scripts/local.sh clean   down, then remove the cluster, the keys and the logs
#
# NEXUS_PORT is the gateway's port (8080). The gateway may deliver to loopback addresses here, and only here.
# State is in $NEXUS_HOME: cluster/, master.key, platform.key, gateway.password, log/, run/ (pid files).
# What a program needs to talk to all of it is in .nexus/demo.json of the checkout.
set -euo pipefail
# shellcheck source=scripts/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"

readonly SCRIPTS=$CHECKOUT/scripts BIN=$CARGO_TARGET_DIR/release
readonly CLUSTER=$NEXUS_HOME/cluster RUN=$NEXUS_HOME/run LOG=$NEXUS_HOME/log
readonly DEMO_FILE=$CHECKOUT/.nexus/demo.json
readonly READY_TIMEOUT=60 STOP_TIMEOUT=60 # seconds
readonly PORT=${NEXUS_PORT:-8080}
readonly BASE_URL=http://127.0.0.1:$PORT

main() {
    case ${1-} in
    run)
        bring_up
        serve
        ;;
    up)
        bring_up
        trap - EXIT
        say "Nexus is up at $BASE_URL; 'make down' stops it."
        ;;
    down)
        stop_all
        say 'Nexus is down.'
        ;;
    clean)
        stop_all
        remove_state
        ;;
    *) die "usage: $0 run|up|down|clean" ;;
    esac
}

bring_up() {
    if ! [[ $PORT =~ ^[0-9]{1,5}$ ]] || ((PORT < 1 || PORT > 65535)); then
        die "NEXUS_PORT is '$PORT'; it must be a port number"
    fi
    refuse_if_port_is_taken
    "$SCRIPTS/setup.sh"
    use_postgres
    "$SCRIPTS/build.sh"

    umask 077 # what is written from here on is keys, passwords and logs
    exec 8>"$RUN/local.lock"
    flock 8              # of two at once, the second finds the first one's gateway
    refuse_if_port_is_taken # again: the build may have taken minutes
    trap 'exit 130' INT TERM HUP
    trap stop_all EXIT # of a start that fails nothing stays behind
    start_cluster
    prepare_database
    start_gateway
    start_sink
    play_demo
    exec 8>&-
}

# Before the build, because nobody should wait for minutes to be told.
refuse_if_port_is_taken() {
    if is_running gateway; then
        say "Nexus is already up at http://127.0.0.1:$(<"$RUN/gateway.port"); 'make down' stops it."
        exit 0
    fi
    ! port_is_taken "$PORT" ||
        die "port $PORT on 127.0.0.1 is used by another program; choose another one: NEXUS_PORT=$((PORT + 1)) make run"
}

serve() {
    local pid status=0
    read -r pid _ <"$RUN/gateway.pid"
    trap 'exit 0' INT TERM HUP
    say "Serving at $BASE_URL until Ctrl-C; the logs are in $LOG."
    wait "$pid" || status=$?
    if [[ ! -f $RUN/gateway.pid ]]; then # someone said 'make down', which stops the rest too
        trap - EXIT
        exit 0
    fi
    tail -n 20 "$LOG/gateway.log" >&2
    die "the gateway ended by itself with status $status; its log is $LOG/gateway.log"
}

# --- The parts, in the order in which they start --------------------------------------------------------------

start_cluster() {
    set_outdated_cluster_aside
    if [[ ! -d $CLUSTER ]]; then
        say "Creating a private PostgreSQL $PG_MAJOR cluster in $CLUSTER"
        rm -f -- "$NEXUS_HOME/platform.key" # a key of another cluster means nothing to this one
    fi
    "$SCRIPTS/cluster.sh" start "$CLUSTER" 8>&-
    local port
    port=$(<"$CLUSTER/port")
    [[ -s $NEXUS_HOME/gateway.password ]] || random_hex >"$NEXUS_HOME/gateway.password"
    ADMIN_URL=postgres://postgres:$(<"$CLUSTER/password")@127.0.0.1:$port/nexus
    GATEWAY_URL=postgres://nexus_gateway_login:$(<"$NEXUS_HOME/gateway.password")@127.0.0.1:$port/nexus
}

prepare_database() {
    [[ -n $(admin_psql postgres -c "select 1 from pg_database where datname = 'nexus'") ]] ||
        admin_psql postgres -c 'create database nexus'
    NEXUS_GATEWAY_PASSWORD=$(<"$NEXUS_HOME/gateway.password") admin_psql nexus -f "$SCRIPTS/prepare-database.sql" >/dev/null ||
        die "the database could not be prepared (see above)"
    sources_of_database >"$CLUSTER/made-from"
}

# psql as the superuser. The password goes by the environment: arguments are seen by every user of the machine.
admin_psql() (
    set -a
    eval "$("$SCRIPTS/cluster.sh" env "$CLUSTER")"
    # shellcheck disable=SC2034 # read by psql
    PGDATABASE=$1 PGOPTIONS='-c client_min_messages=warning'
    shift
    "$PG_BINDIR/psql" --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 "$@"
)

start_gateway() {
    [[ -s $NEXUS_HOME/master.key ]] || "$BIN/nexus" admin generate-master-key --out "$NEXUS_HOME/master.key" >/dev/null
    echo "$PORT" >"$RUN/gateway.port"
    DATABASE_URL=$GATEWAY_URL NEXUS_LISTEN_URL=$GATEWAY_URL NEXUS_HOST=127.0.0.1 NEXUS_PORT=$PORT \
        NEXUS_MASTER_KEY_FILE=$NEXUS_HOME/master.key NEXUS_ALLOW_PRIVATE_TARGETS=loopback \
        start_process gateway "$BIN/nexus" serve
    wait_until gateway answers_ready
}

answers_ready() { [[ $(http_status "$PORT" /readyz) == 200 ]]; }

# The demo's receiver of jobs and webhooks; it picks a free port and writes it down.
start_sink() {
    stop_process sink
    rm -f -- "$RUN/sink.port"
    start_process sink "$BIN/nexus-demo" sink --port-file "$RUN/sink.port"
    wait_until sink test -s "$RUN/sink.port"
}

play_demo() {
    [[ -s $NEXUS_HOME/platform.key ]] || make_platform_key
    mkdir -p -- "${DEMO_FILE%/*}"
    NEXUS_BASE_URL=$BASE_URL NEXUS_ADMIN_DATABASE_URL=$ADMIN_URL NEXUS_MASTER_KEY_FILE=$NEXUS_HOME/master.key \
        NEXUS_DEMO_SINK_URL=http://127.0.0.1:$(<"$RUN/sink.port") NEXUS_DEMO_FILE=$DEMO_FILE \
        NEXUS_PLATFORM_KEY=$(<"$NEXUS_HOME/platform.key") "$BIN/nexus-demo" play ||
        die "the demo failed (see above); the gateway's log is $LOG/gateway.log"
}

make_platform_key() {
    local key
    key=$(DATABASE_URL=$ADMIN_URL NEXUS_MASTER_KEY_FILE=$NEXUS_HOME/master.key \
        "$BIN/nexus" admin create-key --platform --json |
        sed -nE 's/.*"platform_key" *: *"([^"]+)".*/\1/p')
    [[ -n $key ]] || die "'nexus admin create-key --platform' printed no key"
    echo "$key" >"$NEXUS_HOME/platform.key"
}

# --- A cluster that an earlier checkout made ------------------------------------------------------------------

# What the database was made from: the migrations, and the extension's script. A new migration or a new version
# of the extension is an upgrade like everyone's. A changed one, as between unreleased states of this checkout,
# is not: it would leave a mixture of both.
sources_of_database() {
    (cd -- "$CHECKOUT" && sha256sum sql/migrations/*.sql)
    local script sum
    script=nexus--$(extension_version).sql
    # Its lines sorted: cargo-pgrx writes what does not depend on each other in another order every time.
    sum=$(LC_ALL=C sort -- "$PG_TREE$("$PG_CONFIG" --sharedir)/extension/$script" | sha256sum)
    echo "${sum%% *}  $script"
}

extension_version() {
    sed -nE "s/^default_version *= *'([^']+)'.*/\1/p" "$PG_TREE$("$PG_CONFIG" --sharedir)/extension/nexus.control"
}

set_outdated_cluster_aside() {
    [[ -f $CLUSTER/made-from ]] || return 0
    local changed
    changed=$(comm -23 <(sort "$CLUSTER/made-from") <(sources_of_database | sort) | sed 's/^[^ ]*  //')
    # the script of another version: there are update scripts for that
    changed=$(grep -v -e '^nexus--' <<<"$changed" || grep -Fx "nexus--$(extension_version).sql" <<<"$changed" || true)
    [[ -n $changed || $(<"$CLUSTER/data/PG_VERSION") != "$PG_MAJOR" ]] || return 0
    "$SCRIPTS/cluster.sh" stop "$CLUSTER"
    rm -rf -- "$CLUSTER.previous"
    mv -- "$CLUSTER" "$CLUSTER.previous"
    say "The cluster was made by another state of this checkout; it is kept as $CLUSTER.previous, and a new one is made"
}

# --- Processes ------------------------------------------------------------------------------------------------

# A pid file holds the pid and the time that process started (in ticks since boot), because after a while a pid
# may be another process's.
start_process() {
    local name=$1
    shift
    # A session of its own: Ctrl-C reaches this script alone, which then stops the parts in order.
    setsid "$@" </dev/null >>"$LOG/$name.log" 2>&1 8>&- &
    echo "$! $(started_at $!)" >"$RUN/$name.pid"
}

# The 22nd field of stat; the second one, the name in brackets, may itself contain spaces.
started_at() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    cut -d' ' -f20 <<<"${stat##*) }"
}

is_running() {
    local pid started
    [[ -f $RUN/$1.pid ]] && read -r pid started <"$RUN/$1.pid" &&
        [[ -n $started && $(started_at "$pid") == "$started" ]] && is_alive "$pid"
}

stop_process() {
    local name=$1 pid deadline=$((SECONDS + STOP_TIMEOUT))
    if is_running "$name"; then
        read -r pid _ <"$RUN/$name.pid"
        rm -f -- "$RUN/$name.pid" # tells `run` that this end is wanted
        kill -TERM "$pid"
        while is_alive "$pid"; do
            if ((SECONDS >= deadline)); then
                say "the $name did not stop within $STOP_TIMEOUT s and is killed"
                kill -KILL "$pid"
                return
            fi
            sleep 0.1
        done
    fi
    rm -f -- "$RUN/$name.pid"
}

# A zombie, which some containers never reap, has ended.
is_alive() { [[ -e /proc/$1/stat && $(sed -E 's/^.*\) (.).*/\1/' "/proc/$1/stat" 2>/dev/null) != Z ]]; }

# Waits until a command succeeds; gives up when the process has ended or the time is over.
wait_until() {
    local name=$1 deadline=$((SECONDS + READY_TIMEOUT))
    shift
    until "$@"; do
        if ! is_running "$name" || ((SECONDS >= deadline)); then
            tail -n 20 "$LOG/$name.log" >&2
            die "the $name did not become ready; its log is $LOG/$name.log"
        fi
        sleep 0.1
    done
}

# The status of a GET on our own port, without need of a client program.
http_status() {
    local status
    {
        exec 3<>"/dev/tcp/127.0.0.1/$1" &&
            printf 'GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' "$2" >&3 &&
            read -r -t 5 _ status _ <&3
    } 2>/dev/null || return 0
    echo "$status"
}

# The gateway first, while what it still delivers to and writes to is there.
stop_all() {
    trap '' INT TERM HUP
    stop_process gateway
    stop_process sink
    if [[ -d $CLUSTER && -n $PG_BINDIR ]]; then "$SCRIPTS/cluster.sh" stop "$CLUSTER" 8>&-; fi
}

# Not the copy of PostgreSQL: that holds nothing of anyone's.
remove_state() {
    rm -rf -- "$CLUSTER" "$CLUSTER.previous" "$LOG" "$RUN" "$DEMO_FILE" \
        "$NEXUS_HOME"/{master.key,platform.key,gateway.password}
    say "Removed the cluster, its keys and logs from $NEXUS_HOME"
}

main "$@"
