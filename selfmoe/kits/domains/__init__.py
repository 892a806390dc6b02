"""What domains are built from: readers of files, benchmarks, procedural problems, answers, code."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
