"""The readiness of the service."""

import pytest

from app.errors import NotReady, OutOfMemory
from app.runtime.admission import Admission
from app.service.face_service import FaceService
from app.service.operations import Operations
from app.settings import Settings
from app.wiring import limits_of
from tests.fakes import fake_analyzer


def test_the_service_is_ready_from_the_end_of_its_start_until_it_stops() -> None:
    admission = Admission(1, 1)
    service = FaceService(limits_of(Settings()), admission)
    with pytest.raises(NotReady):
        service.check_ready()
    service.open(Operations(fake_analyzer(), service.limits))
    service.check_ready()
    admission.drain()
    with pytest.raises(NotReady):
        service.check_ready()
    admission.close()


def test_the_service_is_not_ready_without_memory_for_a_small_request() -> None:
    admission = Admission(1, 1)
    service = FaceService(limits_of(Settings()), admission, small_request_bytes=1 << 60)
    service.open(Operations(fake_analyzer(), service.limits))
    with pytest.raises(OutOfMemory):
        service.check_ready()
    admission.close()
