"""An average of the parameters over training: it generates better samples than the last ones."""

import contextlib
from collections.abc import Iterator

from tinygen._checks import expect
from tinygen._types import Array
from tinygen.autograd.parallel import in_place
from tinygen.optim.optimizers import Params, Stateful

__all__ = ["EMA"]


@in_place
def _approach(average: Array, p: Array, decay: float) -> None:
    average += (1 - decay) * (p - average)


class EMA(Stateful):
    """An exponential moving average of the parameters: a ← d a + (1 − d) p after each step

    d is `decay`; with `warm_up` it is at most (1 + t) / (10 + t) after t updates.
    """

    kinds = ("average",)
    _applied = False

    def __init__(self, params: Params, decay: float = 0.999, warm_up: bool = True) -> None:
        super().__init__(params)
        expect("EMA", "in [0, 1)", decay=decay)
        self.decay, self.warm_up = float(decay), warm_up
        self.state["average"] = [p.data.copy() for p in self.params]

    def _averages(self) -> list[Array]:
        if self._applied:
            raise RuntimeError("EMA: the averages are in use; leave `with applied()` first")
        return self.state["average"]

    def update(self) -> None:
        """Move the averages towards the parameters."""
        self.check("average", self._averages())
        early = (1 + self.steps) / (10 + self.steps) if self.warm_up else 1
        decay = min(self.decay, early)
        for average, p in zip(self._averages(), self.params, strict=True):
            _approach(average, p.data, decay)
        self.steps += 1

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """`with ema.applied():` swap parameters and averages; swap them back afterwards."""
        self._swap(self._averages())
        try:
            yield
        finally:
            self._swap(self.state["average"])

    def _swap(self, averages: list[Array]) -> None:
        self._applied = not self._applied
        for i, p in enumerate(self.params):
            p.data, averages[i] = averages[i], p.data

    def copy_to_params(self) -> None:
        """Set the parameters to the averages permanently."""
        for average, p in zip(self._averages(), self.params, strict=True):
            p.data = average.copy()

    def state_dict(self) -> dict[str, Array]:
        self._averages()
        return super().state_dict()
