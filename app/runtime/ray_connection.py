"""The connection of this process to a Ray cluster. Ray is optional: the extra `ray`."""

import ctypes
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.errors import CannotStart

LOCAL = "local"
"""The address that stands for a cluster of this machine's cores only, which lives as long as the process."""

_OBJECT_STORE_BYTES = 100 << 20
"""Memory of the own cluster for large messages between its processes."""

_CONNECT_S = 10
"""Maximum seconds until something at the address of a cluster takes a connection."""

_LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""With this setting, meant for the firewalls of other systems, Ray listens on the loopback address only."""

_ONE_TRY = {"RAY_NUM_REDIS_GET_RETRIES": "1"}
"""By default, Ray tries 20 times for half a minute to use what accepts connections but is no cluster."""

_SIGACTION_BYTES = 256
"""More than the size of `struct sigaction`, which is 152 bytes on Linux."""

_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_DEDUP_LOGS": "0"}


def connect(address: str) -> None:
    """Connect this process to a cluster. Ray reports no usage statistics, and starts no dashboard.

    Args:
        address: `local` or `host:port`.

    Raises:
        CannotStart: there is no cluster at the address, or it does not take this process.
    """
    os.environ.update(_QUIET)
    if address == LOCAL:
        os.environ.update(_LOOPBACK_ONLY)
    else:
        _check_address(address)
        os.environ.update(_ONE_TRY)
    import ray

    local: dict[str, Any] = {
        "num_cpus": len(os.sched_getaffinity(0)),
        "object_store_memory": _OBJECT_STORE_BYTES,
        "include_dashboard": False,
    }
    try:
        with _without_dashboard(), _own_sigterm():
            ray.init(
                address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                **(local if address == LOCAL else {}),
            )
    except Exception as error:  # Ray raises many kinds, also Exception itself; the message names each
        raise CannotStart(_unusable(address, " ".join(str(error).split()))) from error


def disconnect() -> None:
    """End the connection to the cluster, and the cluster if it is the own one."""
    import ray

    ray.shutdown()


def listen_on_node_address() -> None:
    """Let the replica in this process listen on the address of its node only.

    Its server takes calls from the fronts and unpickles them, so whoever reaches it can run code. Ray Serve
    lets it listen on all addresses, also on a cluster that is on the loopback address otherwise.
    """
    import ray
    from ray.serve._private import replica

    add_port = replica.add_port_to_grpc_server
    address = ray.util.get_node_ip_address()
    host = f"[{address}]" if ":" in address else address
    replica.add_port_to_grpc_server = lambda server, _: add_port(server, f"{host}:0")


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep the handler of SIGTERM of the service, which finishes its requests.

    Ray installs one, also from another thread than the main one. It calls the previous handler, but aborts
    the process three seconds later. Python can restore a handler in the main thread only.

    Yields:
        None.
    """
    if threading.current_thread() is threading.main_thread():  # a command, which ends at once
        yield
        return
    sigaction = ctypes.CDLL(None).sigaction
    own = ctypes.create_string_buffer(_SIGACTION_BYTES)
    sigaction(int(signal.SIGTERM), None, own)
    try:
        yield
    finally:
        sigaction(int(signal.SIGTERM), own, None)


def _check_address(address: str) -> None:
    """Check that something listens at an address, because Ray waits many minutes for it.

    Raises:
        CannotStart: nothing does.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _CONNECT_S).close()
    except (OSError, OverflowError) as error:  # the pattern of the setting allows ports up to 99999
        raise CannotStart(_unusable(address, getattr(error, "strerror", None) or str(error))) from error


def _unusable(address: str, reason: str) -> str:
    return (
        f"The Ray cluster {address} cannot be used: {reason.rstrip('.')}. Start it, set "
        "RAY_AUTH_MODE=token if it demands a token, or name another one by "
        "FACE_RAY_ADDRESS, or --ray-address of facet bulk: local or host:port."
    )


@contextmanager
def _without_dashboard() -> Iterator[None]:
    """Keep Ray from starting the process of its dashboard, which `include_dashboard=False` does not prevent.

    This process asks the metadata services of clouds where it runs, also if it reports no usage. Ray goes on
    without it where it cannot start.

    Yields:
        None.
    """
    from ray._private import services

    start = services.start_api_server
    services.start_api_server = lambda *_, **__: (None, None)
    try:
        yield
    finally:
        services.start_api_server = start
