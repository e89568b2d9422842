"""Text encoders: tokenizers, prompts with weights, and what each kind of network makes of them."""
