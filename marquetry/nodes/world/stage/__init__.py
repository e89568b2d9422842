"""The drawn world: from a frozen description of a scene to its picture, its captions and the truth about it."""
