"""The base of all answers, and the problem."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")


class Answer(BaseModel):
    """Base of all answers. Fields that this version of the client does not know are ignored.

    Values from a fixed list, such as the name of a metric, are plain strings, so that the answers of a newer
    service with further values can be read.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")


class Problem(BaseModel):
    """An error as the service describes it (RFC 9457). Unknown fields are kept, see `model_extra`."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="allow")

    type: str = Field("about:blank", description="Type of the problem; its last part is stable.")
    title: str = Field("", description="Title of the type.")
    status: int = Field(description="HTTP status.")
    detail: str = Field("", description="What was wrong and what to do. It is for people and may change.")
    instance: str | None = Field(None, description="Path of the request.")
    field: str | None = Field(None, description="Parameter or field that caused the problem, if one did.")
    known: list[str] | None = Field(
        None, description="Names that are valid in place of the unknown one, if a name is unknown."
    )
    limit: int | None = Field(None, description="The exceeded limit, in bytes or pixels, if there is one.")

    @property
    def slug(self) -> str:
        """The last part of `type`, such as `no-face`, whatever the path of the service is."""
        return self.type.rstrip("/").rpartition("/")[2]


class ResultsOf(Answer, Generic[T]):
    """The results for several images."""

    results: list[T | Problem] = Field(
        description="For each image, in the order of the request, its result or its problem."
    )


JsonObject = dict[str, Any]
"""A JSON object with any content."""
