"""Pictures as files: reading that survives hostile files, fast writing, and what is written beside the pixels."""

from marquetry.engine.pictures.decoding import Picture as Picture
from marquetry.engine.pictures.decoding import decode as decode
from marquetry.engine.pictures.decoding import sniff as sniff
from marquetry.engine.pictures.decoding import thumbnail as thumbnail
from marquetry.engine.pictures.limits import MAX_RESOLUTION as MAX_RESOLUTION
from marquetry.engine.pictures.limits import require_size as require_size
from marquetry.engine.pictures.metadata import read_workflow as read_workflow
from marquetry.engine.pictures.metadata import strip_metadata as strip_metadata
from marquetry.engine.pictures.png import encode_apng as encode_apng
from marquetry.engine.pictures.png import encode_png as encode_png
from marquetry.engine.pictures.tensors import to_tensor as to_tensor
from marquetry.engine.pictures.tensors import to_uint8 as to_uint8
