#!/bin/sh
# Creates dcmon's role and database when the volume of docker-compose.yml is new. The role is no superuser, but may create
# the roles of organizations (docs/security.md). The superuser loses its password, so it can't log in over the network:
# `docker compose exec postgres psql -U postgres` is an administrator's way in.
set -eu
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv password POSTGRES_PASSWORD
create role dcmon login createrole password :'password';
create database dcmon owner dcmon;
alter role current_user password null;
SQL
