"""Nodes that exercise everything that ComfyUI promises to the nodes of a pack."""

from . import asynchronous, change, checks, growth, lists, loops, mixing, pictures, progress, seen, waiting

NODE_CLASS_MAPPINGS = {}
NODE_DISPLAY_NAME_MAPPINGS = {}

for module in (asynchronous, change, checks, growth, lists, loops, mixing, pictures, progress, seen, waiting):
    NODE_CLASS_MAPPINGS.update({f"Compat{name}": node_class for name, node_class in module.NODES.items()})
NODE_DISPLAY_NAME_MAPPINGS.update({name: f"{name.removeprefix('Compat')} (testing)" for name in NODE_CLASS_MAPPINGS})
