"""Checkpoints: single tensors, tokenizers and live models from hub ids, folders, GGUF files and adapters."""
