# The image of PostgreSQL sources this script once, when its volume is empty. The role facet owns its database, and is no
# superuser; it may do what erasing deleted vectors needs. The administrator loses its password, so that it can connect over
# the Unix socket in the container only.
psql --set ON_ERROR_STOP=1 --username postgres --no-password --quiet --set password="$POSTGRES_PASSWORD" <<'SQL'
CREATE ROLE facet LOGIN PASSWORD :'password';
CREATE DATABASE facet OWNER facet;
GRANT pg_checkpoint TO facet;
ALTER ROLE postgres PASSWORD NULL;
\connect facet
CREATE EXTENSION vector;
GRANT EXECUTE ON FUNCTION pg_switch_wal() TO facet;
SQL
