"""Node packs: finding them, loading them, and the module names of ComfyUI that they import."""
