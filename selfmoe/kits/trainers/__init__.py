"""What trainers are built from: which linears there are, and saving what PEFT has trained."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
