#!/bin/sh
# Install the programs of system.txt that are missing, by apt-get, as root or with sudo; say what could not be had.
# Exit code 1 if something is still missing. `--unasked` (from `make test`): ask for no password and end with 0, since
# the tests that need a missing program are skipped by name.
set -u

unasked=no
[ "${1:-}" = --unasked ] && unasked=yes
list="${0%/*}/system.txt"

missing() {
    while read -r program package purpose; do
        case "$program" in '' | '#'*) continue ;; esac
        command -v "$program" >/dev/null 2>&1 || echo "$program $package $purpose"
    done <"$list"
}

finish() {
    [ "$unasked" = yes ] && exit 0
    exit "$1"
}

wanted=$(missing)
if [ -z "$wanted" ]; then
    [ "$unasked" = yes ] || echo "every program of $list is there"
    exit 0
fi

# One by one: a package that this distribution lacks keeps none of the others away.
# RUNLEVEL=1: packages that bring a service (Prometheus) do not start it.
install_all() {
    "$@" apt-get update -qq 2>&1 || return 1
    echo "$wanted" | while read -r _ package _; do
        "$@" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
            apt-get install -y -qq --no-install-recommends "$package" 2>&1 </dev/null
    done
}

as_root=
why=
if ! command -v apt-get >/dev/null 2>&1; then
    why="there is no apt-get here: install them by your system's own means"
elif [ "$(id -u)" = 0 ]; then
    as_root=env
elif ! command -v sudo >/dev/null 2>&1; then
    why="this needs root: run \`make system\` as root"
elif [ "$unasked" = yes ]; then
    if sudo -n true 2>/dev/null; then as_root="sudo -n"; else why="sudo asks for a password: run \`make system\`"; fi
else
    as_root=sudo
fi

said=
if [ -n "$as_root" ]; then
    echo "installing what is missing with apt-get:"
    echo "$wanted" | while read -r program _; do echo "  $program"; done
    # shellcheck disable=SC2086 # `sudo -n` is two words
    said=$(install_all $as_root)
    why="apt-get said last:"
fi

still=$(missing)
if [ -n "$still" ]; then
    echo "$still" | while read -r program package purpose; do
        echo "$program is missing (Debian: apt-get install $package): $purpose"
    done
    echo "$why"
    [ -n "$said" ] && echo "$said" | tail -n 5
    finish 1
fi
exit 0
