"""ComfyUI's module names, for packs only: `custom_nodes.installation.install` puts this folder on the path."""
