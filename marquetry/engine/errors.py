"""What can go wrong in the engine; every error has a stable `code` and a message for a person."""

from __future__ import annotations


class EngineError(Exception):
    """Base of every error that the engine raises on purpose."""

    code = "engine_error"

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class GraphError(EngineError):
    """A graph is not of the form that the engine reads."""

    code = "invalid_graph"


class UnknownNodeType(EngineError):
    """A graph names a node type that nobody provides."""

    code = "unknown_node_type"


class DeclarationError(EngineError):
    """A node's declaration is wrong; found when its module is loaded."""

    code = "invalid_declaration"


class Interrupted(EngineError):
    """The job was cancelled while this node ran."""

    code = "interrupted"


class OutOfMemory(EngineError):
    """A device has not enough memory for what was asked, also after everything idle was freed."""

    code = "out_of_memory"


class ModelNotFound(EngineError):
    """No file of that name stands in the model folders."""

    code = "model_not_found"


class ModelFormatError(EngineError):
    """A weight file is damaged, unsafe or of a format or architecture that is not supported."""

    code = "invalid_model_file"


class UnsafePath(EngineError):
    """A path leaves the folder that it must stay in."""

    code = "unsafe_path"


class NodeFailed(EngineError):
    """A node refuses its inputs at run time, with a reason for the person who built the graph."""

    code = "node_failed"


class InvalidPicture(EngineError):
    """A picture file is damaged, too large, or of a format that isn't read here."""

    code = "invalid_picture"
