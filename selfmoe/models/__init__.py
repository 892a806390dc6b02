"""The base model: found, read, understood, made to write and to learn."""
