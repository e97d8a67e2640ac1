#!/bin/sh
# Makes deploy/secrets/ with random passwords, once; files that are there stay. Needs openssl.
#   deploy/secrets.sh [USER]     USER: who may open the pages (default: operator)
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
mkdir -p "$here/secrets"
chmod 700 "$here/secrets" # keeps this machine's other users out; the services' users may read the files themselves
cd "$here/secrets"
umask 022
user=${1:-operator}
if [ ! -e postgres_password ]; then
    openssl rand -hex 24 | tr -d '\n' > postgres_password
    printf 'postgresql://playbook:%s@postgres:5432/playbook' "$(cat postgres_password)" > database_url
fi
if [ ! -e proxy_passwords ]; then
    password=$(openssl rand -base64 18)
    printf '%s:%s\n' "$user" "$(printf '%s' "$password" | openssl passwd -apr1 -stdin)" > proxy_passwords
    printf 'The pages ask for: %s / %s\nIt is kept nowhere else in clear.\n' "$user" "$password"
fi
[ -e webhook ] || : > webhook # empty: no alerts; put the receiver's URL here, in one line
