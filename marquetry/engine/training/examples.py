"""What the trainer learns from: pictures with captions, wherever they come from."""

import random
from typing import Protocol

import numpy
from numpy.typing import NDArray


class Examples(Protocol):
    """A fixed set of pictures; a picture's caption may be worded anew each time it is shown."""

    def pictures(self) -> NDArray[numpy.uint8]:
        """All pictures, `[N, H, W, 3]`."""

    def caption(self, index: int, draw: random.Random) -> str:
        """One wording for a picture."""

    def words(self) -> frozenset[str]:
        """Every word that a caption may hold; the rest of the vocabulary stays neutral."""
