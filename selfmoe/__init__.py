"""selfmoe: mixtures of self-specialised experts from one base LLM (arXiv 2406.12034)."""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
