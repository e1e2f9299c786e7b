"""Deploys the replicas on a Ray cluster by Ray Serve, and sends them the calls of this process."""

import logging
import os
import pickle
import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from app.errors import Abandoned, BadModel, NotReady
from app.replicas.calls import Answer, Call, OperationName
from app.replicas.replica import AnalyzerReplica, ReplicaPlan
from app.runtime import ray_connection, spans
from app.runtime.request_context import RequestContext, deadline_exceeded
from app.service.model_info import ModelsResponse

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle, DeploymentResponse

log = logging.getLogger(__name__)

_APPLICATION = _DEPLOYMENT = "facet"

_ATTEMPTS = 2
"""How often a call is sent whose replica is lost. An image that ends its process must not end all of them."""

_MAX_ONGOING = 10_000
"""Calls that a replica accepts; the fronts limit them. At this limit Ray Serve would look for another replica
up to a second later, by which a loaded service with one replica lost two thirds of its throughput.
"""

_HEALTH_PERIOD_S, _HEALTH_TIMEOUT_S = 2.0, 4.0
"""Ray Serve replaces a replica after three failed health checks, so one that hangs after 12 to 18 s."""

_STATUS_PERIOD_S = 5.0
"""Ray Serve takes about 40 ms of CPU time to tell its state."""

_MISSING_S = 15.0
"""Seconds without a replica after which the service is not ready, and refuses calls at once. Most
replacements are ready sooner, and calls wait for them.
"""

_GRACE_S = 5.0
"""Seconds in which a replica that is replaced finishes its calls. What is left is sent to another one. Ray
Serve also waits so long before it ends one that hangs.
"""

_POLL_S = 1.0

_START_S = 20.0
"""Seconds for the first answer of a replica."""

_CONSTRUCTOR_RETRIES = 3


class RayReplicas:
    """The replicas of a Ray cluster. They outlive this process, unless it started the cluster itself.

    Several fronts with equal settings share the replicas. A front with other settings replaces them one by
    one.

    Args:
        address: the cluster: `local` or `host:port`.
        plan: what the replicas are.

    Raises:
        CannotStart: the cluster cannot be used.
        BadModel: no replica has started.
    """

    def __init__(self, address: str, plan: ReplicaPlan) -> None:
        # By value over gRPC an image takes less time than through the object store: on two cores /detect
        # reaches 0.92 of the throughput without Ray, and through the store 0.87.
        os.environ.setdefault("RAY_SERVE_USE_GRPC_BY_DEFAULT", "1")
        ray_connection.connect(address)
        from ray import serve

        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        try:
            serve.start(proxy_location="Disabled", logging_config={"enable_access_log": False})
            self._handle = _handle(plan)
            self._models: ModelsResponse = self._handle.models.remote().result(timeout_s=_START_S)
        except Exception as error:  # Ray raises many kinds
            reason = " ".join(str(error).split())
            ray_connection.disconnect()
            raise BadModel(
                f"The replicas on the Ray cluster {address} do not start: {reason.rstrip('.')}."
            ) from error
        self._seen = time.monotonic()
        self._closed = threading.Event()
        self._follower = threading.Thread(target=self._follow, name="replicas", daemon=True)
        self._follower.start()

    def call(self, operation: OperationName, arguments: tuple[Any, ...], context: RequestContext) -> Answer:
        """Return the answer of a replica; see `Replicas.call` for the arguments.

        Raises:
            NotReady: no replica answers.
            Abandoned: the request was cancelled.
            deadline_exceeded: no replica has answered in time.
        """
        from ray.exceptions import RayActorError, TaskCancelledError
        from ray.serve.exceptions import (
            DeploymentUnavailableError,
            ReplicaUnavailableError,
            RequestCancelledError,
        )

        for _ in range(_ATTEMPTS):
            if self._missing_s() > _MISSING_S:
                break
            timeout_s = None if context.deadline is None else context.deadline - time.monotonic()
            context.check()
            call = Call(operation, arguments, timeout_s, spans.trace_headers())
            response = self._handle.run.remote(pickle.dumps(call))
            try:
                with context.on_cancel(partial(_cancel, response)):
                    answer: Answer = pickle.loads(response.result(timeout_s=timeout_s))
                self._seen = time.monotonic()
                return answer
            except TimeoutError:
                _cancel(response)
                raise deadline_exceeded() from None
            except (RequestCancelledError, TaskCancelledError):
                context.check()
                raise Abandoned("The request was cancelled.") from None
            except (DeploymentUnavailableError, RayActorError, ReplicaUnavailableError) as error:
                log.warning("A replica was lost in a call: %s", type(error).__name__)
        raise NotReady("No replica of the Ray cluster answers. Try again in a moment.")

    def models(self) -> ModelsResponse:
        """Return the information on the models of a replica, as it was at the start."""
        return self._models

    def check_ready(self) -> None:
        """Check that there is a replica.

        Raises:
            NotReady: there was none during the last seconds.
        """
        if self._missing_s() > _MISSING_S:
            raise NotReady("No replica of the Ray cluster is running.")

    def close(self) -> None:
        """End the connection to the cluster, and the cluster if this process started it."""
        self._closed.set()
        self._follower.join()  # Ray ends the process if it is used while it shuts down
        ray_connection.disconnect()

    def _missing_s(self) -> float:
        return time.monotonic() - self._seen

    def _follow(self) -> None:
        """Note when a replica was last running."""
        from ray import serve

        while not self._closed.wait(_STATUS_PERIOD_S):
            try:
                states = serve.status().applications[_APPLICATION].deployments[_DEPLOYMENT].replica_states
                if states.get("RUNNING", 0) > 0:
                    self._seen = time.monotonic()
            except Exception as error:
                log.error(
                    "The Ray cluster does not answer (%s). After a minute of it Ray ends this process.",
                    type(error).__name__,
                )


class _Replica(AnalyzerReplica):
    """A replica that listens on the address of its node only.

    Args:
        plan: what the replica is.
    """

    def __init__(self, plan: ReplicaPlan) -> None:
        ray_connection.listen_on_node_address()
        super().__init__(plan)


def _cancel(response: "DeploymentResponse[Any]") -> None:
    """End a call. If it has failed, Ray raises its error here, too."""
    with suppress(Exception):
        response.cancel()


def _handle(plan: ReplicaPlan) -> "DeploymentHandle[Any]":
    """Return the replicas that are by the plan: those that the cluster has, or new ones.

    If new ones do not start, those that the cluster had are started again, for the fronts that use them.

    Args:
        plan: what the replicas are.

    Raises:
        RuntimeError: the replicas do not start.
    """
    from ray import serve

    before = _plan(serve.get_app_handle(_APPLICATION)) if _has_application() else None
    if before == plan:
        return serve.get_app_handle(_APPLICATION)
    if before is not None:
        log.warning("The cluster has replicas with other settings. They are replaced one by one.")
    handle = _deploy(plan)
    try:
        _await_first(handle, plan)
    except RuntimeError:
        if before is not None:
            log.warning("The replicas that the cluster had are started again.")
            _deploy(before)
        raise
    return handle


def _has_application() -> bool:
    from ray import serve

    return _APPLICATION in serve.status().applications


def _plan(handle: "DeploymentHandle[Any]", timeout_s: float = _START_S) -> ReplicaPlan | None:
    """Return what the replicas are; None if none of them answers, or they are of another version."""
    response = handle.plan.remote()
    try:
        found: ReplicaPlan = response.result(timeout_s=timeout_s)
    except Exception:  # Ray raises many kinds
        _cancel(response)
        return None
    return found


def _deploy(plan: ReplicaPlan) -> "DeploymentHandle[Any]":
    """Return the replicas, which are starting or replace those that there are."""
    from ray import serve

    least, most = plan.count
    count: dict[str, Any] = {"num_replicas": least}
    if most > least:
        count = {
            "autoscaling_config": {
                "min_replicas": least,
                "max_replicas": most,
                "target_ongoing_requests": 2 * plan.threads,
                "upscale_delay_s": 5.0,
                "downscale_delay_s": 120.0,
            }
        }
    deployment = serve.deployment(
        name=_DEPLOYMENT,
        max_ongoing_requests=_MAX_ONGOING,
        health_check_period_s=_HEALTH_PERIOD_S,
        health_check_timeout_s=_HEALTH_TIMEOUT_S,
        graceful_shutdown_timeout_s=_GRACE_S,
        max_constructor_retry_count=_CONSTRUCTOR_RETRIES,
        ray_actor_options={"num_cpus": plan.cpus, "num_gpus": plan.gpus},
        **count,
    )(_Replica)
    target = serve.RunTarget(deployment.bind(plan), name=_APPLICATION, route_prefix=None)
    return serve.run_many([target], wait_for_applications_running=False)[0]


def _await_first(handle: "DeploymentHandle[Any]", plan: ReplicaPlan) -> None:
    """Wait until a replica answers that is by the plan. Others may start later, or never find a place.

    Args:
        handle: the replicas.
        plan: the plan.

    Raises:
        RuntimeError: the replicas do not start.
    """
    from ray import serve

    warn_at = time.monotonic() + _START_S
    while True:
        state = serve.status().applications[_APPLICATION]
        if state.status == "DEPLOY_FAILED":
            raise RuntimeError(_reason(state.deployments[_DEPLOYMENT].message))
        if time.monotonic() > warn_at:
            message = " ".join(state.deployments[_DEPLOYMENT].message.split())
            log.warning("No replica with these settings has started yet. Ray Serve reports: %s", message)
            warn_at += _START_S
        if _plan(handle, _POLL_S) == plan:
            return
        time.sleep(_POLL_S)


def _reason(message: str) -> str:
    """Return the error with which the last replica ended, from what Ray Serve reports."""
    found = [line for line in message.splitlines() if line.startswith("app.errors.")]
    return found[-1].partition(": ")[2] if found else " ".join(message.split()) or "Ray gives no reason"
