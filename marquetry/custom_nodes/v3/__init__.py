"""ComfyUI's V3 node classes: a schema instead of class attributes. They answer to the V1 names too, and are hosted by them."""
