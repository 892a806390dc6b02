"""Two models compared by the samples that lm-eval or selfmoe kept of them."""
