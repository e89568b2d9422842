"""Layouts: under which names published weight files keep the tensors of a network, beside the names of diffusers and transformers."""
