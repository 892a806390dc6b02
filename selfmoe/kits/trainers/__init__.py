"""What trainers are built from.

Which linears there are; training a LoRA adapter by any objective, and saving what PEFT has trained;
the base with demonstrations in context as a teacher.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
