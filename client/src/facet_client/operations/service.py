"""Operations on the service itself: models, versions, health, metrics and problem types."""

from __future__ import annotations

from facet_client.calls import Call, Retry, json_of
from facet_client.models.service import ModelsResponse, ProblemType, Status, VersionResponse
from facet_client.operations.operation import operation


class ServiceOperations:
    """The state of the service."""

    @operation("GET /models")
    def models(self) -> Call[ModelsResponse]:
        """Return the loaded models with their licences, sources, thresholds and execution providers.

        Returns:
            The models, and which weights the service may use.
        """
        return Call(json_of(ModelsResponse), retry=Retry.ALWAYS)

    @operation("GET /version")
    def version(self) -> Call[VersionResponse]:
        """Return the versions of Facet, ONNX Runtime and Python.

        Returns:
            The versions.
        """
        return Call(json_of(VersionResponse), retry=Retry.ALWAYS)

    @operation("GET /livez")
    def livez(self) -> Call[Status]:
        """Return the status of the process, which is up if this returns. The call is not sent again.

        Returns:
            The status `ok`.
        """
        return Call(json_of(Status), retry=Retry.NEVER)

    @operation("GET /readyz")
    def readyz(self) -> Call[Status]:
        """Return the status of the service if it accepts requests. The call is not sent again.

        Returns:
            The status `ready` or `degraded`. A service that is not ready is the exception `Unavailable`.
        """
        return Call(json_of(Status), retry=Retry.NEVER)

    @operation("GET /metrics")
    def metrics(self) -> Call[str]:
        """Return the metrics of the service in the text format of Prometheus.

        Returns:
            The text.
        """
        return Call(lambda response: response.text, accept="text/plain", retry=Retry.ALWAYS)

    @operation("GET /problems/{name}")
    def problem_type(self, name: str) -> Call[ProblemType]:
        """Return the meaning of a problem type.

        Args:
            name: last part of the type, such as `no-face`.

        Returns:
            The type, its title, its HTTP status and its meaning.
        """
        return Call(json_of(ProblemType), path={"name": name}, retry=Retry.ALWAYS)
