"""Bases in GGUF, llama.cpp's format: converted once into a folder as transformers writes it."""
