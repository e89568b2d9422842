"""A pack that is one file, with a space in its name."""


class Alone:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {"default": ""})}}

    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "show"
    CATEGORY = "testing"

    def show(self, text):
        return {"ui": {"text": [text.upper()]}}


NODE_CLASS_MAPPINGS = {"CompatAlone": Alone}
