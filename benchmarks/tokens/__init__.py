"""Comparing tokens: what a tokenizer converted from GGUF makes of texts, and llama.cpp."""
