"""Ask a service on 127.0.0.1 without keys under a foreign host name, as a page does after DNS rebinding."""

import httpx

from benchmarks.faults.service import Service

_PATHS = ("/", "/livez", "/models", "/metrics", "/openapi.json")


def run(service: Service) -> list[tuple[str, str]]:
    """Return the statuses of the paths for a foreign host, and for the hosts that must be allowed."""
    rows = []
    with service.start() as running, httpx.Client(base_url=running.url) as client:
        for host in ("evil.example", "localhost", "127.0.0.1:8000", "[::1]"):
            statuses = [client.get(path, headers={"Host": host}).status_code for path in _PATHS]
            allowed = host != "evil.example"
            service.require(all((status == 200) == allowed for status in statuses), f"{host}: {statuses}")
            shown = ", ".join(str(status) for status in sorted(set(statuses)))
            rows.append((f"Host: {host}, {len(_PATHS)} paths", shown))
    return rows
