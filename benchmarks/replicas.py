"""Kill and stop replicas under load, and write what their clients saw.

    .venv/bin/python -m benchmarks.replicas                # needs HAProxy and the development environment
    .venv/bin/python -m benchmarks.replicas --minutes 5

Three processes of the service share a gallery in PostgreSQL behind the balancer of docker/replicas. Clients
detect, identify and enrol. One replica is killed and started again, then another one is stopped and started
again. The exit status is 1 if an answered enrolment is missing, or if a request is lost that was not in the
killed replica's hands.
"""

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import report
from tests.postgres import Server
from tests.replica_faults import Fault, lost_without_reason, missing_faces, rehearse
from tests.replica_load import Record
from tests.replica_set import replica_set

DELAY_S = 3.0
"""FACE_DRAIN_DELAY_S, as in docker-compose.yml."""


def main(
    minutes: Annotated[float, typer.Option(help="Duration of the load.")] = 2.0,
    clients: Annotated[int, typer.Option(help="Number of clients.")] = 12,
    out: Annotated[Path, typer.Option(help="Folder for the table and the figures.")] = report.RESULTS,
) -> None:
    """Kill and stop replicas under load.

    Raises:
        Exit: with status 1, if a requirement is not met.
    """
    server = Server()
    try:
        server.start()
        with tempfile.TemporaryDirectory() as folder:
            settings = {"drain_delay_s": DELAY_S, "threads": 1, "models": "cascade,fused"}
            with replica_set(3, server.uri(), Path(folder), **settings) as running:
                record, faults = rehearse(running, minutes * 60, clients)
                missing = missing_faces(running, record)
                retries = sum(
                    int(row["wretr"]) + int(row["wredis"]) for row in running.balancer.statistics().values()
                )
    finally:
        server.remove()
    text, met = _report(record, faults, missing, retries)
    load = ", ".join(f"{average:.1f}" for average in os.getloadavg())
    figures = {"statuses": record.statuses(), "missing": missing, "wrong": record.wrong}
    report.write("replicas", f"{text}\n\nLoad averages of the machine at the end: {load}.", figures, out)
    raise typer.Exit(0 if met else 1)


def _report(record: Record, faults: list[Fault], missing: list[str], retries: int) -> tuple[str, bool]:
    unreasonable = lost_without_reason(record, faults)
    slowest = max(record.samples, key=lambda sample: sample.end - sample.start)
    rows: list[tuple[str, object]] = [
        ("requests through the balancer", len(record.samples)),
        *((f"{kind}: answers by status", str(counts)) for kind, counts in record.statuses().items()),
        ("requests that the balancer sent to another replica", retries),
        ("lost requests that the killed replica had", len(record.lost) - len(unreasonable)),
        ("other lost requests", len(unreasonable)),
        ("slowest answer", f"{slowest.end - slowest.start:.2f} s ({slowest.kind})"),
        ("enrolments answered with success", len(record.enrolled)),
        ("of these missing in a list of a replica, or there twice, at the end", len(missing)),
        ("searches in one replica right after an enrolment", record.checks),
        ("answers that lacked an enrolment answered before", len(record.wrong)),
    ]
    for fault in faults:
        rows += [
            (f"{fault.what}: requests in its hands", fault.in_hands),
            (f"{fault.what}: seconds until the balancer noticed", f"{fault.noticed:.2f}"),
            (f"{fault.what}: seconds until the process had ended", f"{fault.ended:.2f}"),
            (f"{fault.what}: seconds from its new start to its first requests", f"{fault.back:.1f}"),
        ]
    for line in [*unreasonable, *missing, *record.wrong]:
        typer.echo(f"A requirement is not met: {line}", err=True)
    return report.table(("measure", "value"), rows), not (unreasonable or missing or record.wrong)


if __name__ == "__main__":
    typer.run(main)
