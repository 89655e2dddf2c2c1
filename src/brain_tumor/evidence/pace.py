"""How long what is left will take."""

import time
from dataclasses import dataclass, field


@dataclass
class Pace:
    """Time left by the mean time of the steps since it began.

    Attributes:
        total: how many steps there are.
        done: how many of them are done.
    """

    total: int
    done: int = 0
    _began: float = field(default_factory=time.monotonic)

    def step(self) -> str:
        """Count one step; a text such as `3 of 15, about 42 min left`."""
        self.done += 1
        left_s = (time.monotonic() - self._began) / self.done * (self.total - self.done)
        text = f"{self.done} of {self.total}"
        if self.done == self.total:
            return text
        left = f"{left_s / 60:.0f} min" if left_s >= 90 else f"{left_s:.0f} s"
        return f"{text}, about {left} left"
