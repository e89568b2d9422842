"""The built-in model's lessons: renders of every scene that is not held out, worded anew each time they are shown."""

import random
from typing import TYPE_CHECKING

from marquetry.nodes.world.captions import caption, caption_words, with_filler
from marquetry.nodes.world.render import PICTURE_SIZE, render
from marquetry.nodes.world.scene import Scene, all_contents, is_held_out, jittered

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

FILLER_SHARE = 0.1


class WorldLessons:
    """A fixed set of scenes; each combination of attributes comes up equally often."""

    def __init__(self, count: int, seed: int) -> None:
        contents = [content for content in all_contents() if not is_held_out(content)]
        self.scenes: list[Scene] = [jittered(contents[index % len(contents)], seed * 1_000_003 + index) for index in range(count)]

    def pictures(self) -> "NDArray[numpy.uint8]":
        """All renders, `[N, 64, 64, 3]`."""
        import numpy

        pictures = numpy.empty((len(self.scenes), PICTURE_SIZE, PICTURE_SIZE, 3), dtype=numpy.uint8)
        for index, scene in enumerate(self.scenes):
            pictures[index] = numpy.asarray(render(scene))
        return pictures

    def caption(self, index: int, draw: random.Random) -> str:
        """One wording for a scene; now and then with a word in it that was never taught."""
        text = caption(self.scenes[index].content, draw)
        return with_filler(text, draw) if draw.random() < FILLER_SHARE else text

    def words(self) -> frozenset[str]:
        """Every word of every wording."""
        return caption_words()
