"""A mixture that decides once a prompt, on a stock llama-server."""
