"""The fields of a body: which ones a route takes, and errors that name the right one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.errors import BadParameter
from app.service.boxes import FIELD as BOXES
from app.service.boxes import ONE_FIELD as BOX
from app.service.names import nearest

_MAX_NAME = 80


@dataclass(frozen=True)
class Fields:
    """The fields that a route takes.

    Attributes:
        images: names of the fields with an image, all of which are required.
        parameters: names of the query parameters of the route, which clients send as fields by mistake.
        path: path of the request.
        boxes: whether the route takes the field `boxes`.
        box: whether the route takes the field `box`, in a batch once for each image.
        batch: whether the route takes several images under the one name.
        has_batch: whether a second route, whose path ends in `/batch`, takes several images.
    """

    images: tuple[str, ...]
    parameters: tuple[str, ...]
    path: str
    boxes: bool = False
    box: bool = False
    batch: bool = False
    has_batch: bool = False

    @property
    def known(self) -> tuple[str, ...]:
        """The names of all fields."""
        return (*self.images, *(BOXES,) * self.boxes, *(BOX,) * self.box)

    @property
    def listed(self) -> str:
        """The names of the image fields, for messages."""
        return " and ".join(self.images)

    def check(self, names: Iterable[str]) -> None:
        """Check the names of the fields of a body.

        Raises:
            BadParameter: a field is unknown, missing, or sent more than once.
        """
        found = list(names)
        for name in found:
            if name not in self.known:
                shown = name[:_MAX_NAME]
                known = ", ".join(self.known)
                raise BadParameter(
                    f"The field {shown!r} is unknown. {self._hint(name, found)}Known fields: {known}.", shown
                )
        for name in self.known:
            if (times := found.count(name)) > 1 and not self.batch:
                detail = f"The field {name} was sent {times} times. {self._once(name)}"
                raise BadParameter(detail, name)
        for name in self.images:
            if name not in found:
                detail = f"The request has no field {name}. {self._send_images()}"
                raise BadParameter(detail, name)
        boxes, images = found.count(BOX), len(found) - found.count(BOX)
        if self.batch and boxes not in (0, images):
            raise BadParameter(
                f"The number of parts named {BOX} is {boxes}, and that of the images is {images}. Send a box "
                "for each image, in the same order, or no box. An empty part stands for the largest face.",
                BOX,
            )

    def _hint(self, name: str, found: Sequence[str]) -> str:
        """Return what to send in place of an unknown field, as sentences; empty if nobody knows.

        Args:
            name: the name of the field.
            found: the names of all fields of the body.
        """
        like = nearest(name, (*self.known, *self.parameters))
        if like in self.parameters:
            where = f"{self.path}?{like}=VALUE"
            return f"The parameter {like} belongs in the query string, not in the body: {where}. "
        if name == BOXES and not self.box:
            return "Only /landmarks and /embed take boxes. "
        if like in (BOXES, BOX):
            return f"Did you mean {like}? "
        missing = any(image not in found for image in self.images)
        return f"{self._send_images()} " if missing or like in self.images else ""

    def _once(self, name: str) -> str:
        several = f" {self.path}/batch takes several images." if self.has_batch else ""
        return f"Send it once.{several}"

    def _send_images(self) -> str:
        if self.batch:
            return f"Send each image as a part named {self.listed}."
        if len(self.images) > 1:
            return f"Send the two images as the fields {self.listed}."
        return f"Send the image as the field {self.listed}."
