"""A copy of the rows of a matrix in the memory of a device."""

import numpy as np
import onnxruntime as ort
from jaxtyping import Float32
from numpy import ndarray

from app.errors import OutOfMemory, is_out_of_memory
from app.runtime.device import Device


class DeviceRows:
    """A copy of the rows of a matrix in the memory of a device. A search reads it without a transfer.

    Args:
        shape: number of rows and their length.
        device: the device.

    Raises:
        OutOfMemory: the device does not have enough memory.
    """

    def __init__(self, shape: tuple[int, int], device: Device) -> None:
        self._shape = shape
        self._memory, self._index = device.memory_name, device.index
        try:
            self._value = ort.OrtValue.ortvalue_from_shape_and_type(
                shape, np.float32, self._memory, device.index
            )
        except Exception as error:  # onnxruntime raises exceptions of many unrelated types
            if is_out_of_memory(error):
                raise OutOfMemory("The device does not have enough memory for the gallery.") from error
            raise

    def store(self, rows: Float32[ndarray, "n d"]) -> None:
        """Overwrite all rows."""
        self._value.update_inplace(rows)

    def erase(self) -> None:
        """Overwrite all rows with zeros."""
        self.store(np.zeros(self._shape, np.float32))

    def bind(self, binding: ort.IOBinding, name: str, rows: int) -> None:
        """Bind the first rows to the input of a call.

        Args:
            binding: the binding of the call.
            name: name of the input.
            rows: number of rows.
        """
        shape = [rows, self._shape[1]]
        binding.bind_input(name, self._memory, self._index, np.float32, shape, self._value.data_ptr())
