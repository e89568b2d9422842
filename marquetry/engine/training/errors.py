"""What can go wrong in training, beside what can go wrong anywhere in the engine."""

from __future__ import annotations

from marquetry.engine.errors import EngineError


class TrainingFailed(EngineError):
    """A training cannot begin or go on; the message says why and what to change."""

    code = "training_failed"
