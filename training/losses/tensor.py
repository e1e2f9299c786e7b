"""The types of tensors and of loss functions."""

from collections.abc import Callable
from typing import Any, TypeAlias

Tensor: TypeAlias = Any
"""A tensor of the Keras backend."""

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Labels and outputs to a loss or a metric."""
