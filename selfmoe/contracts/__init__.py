"""What a plugin provides and is given: components, records, errors, prompts; needs no torch.

A component has a ``name``, a docstring whose first line says what it is, a nested ``Config``
(pydantic, unknown keys forbidden) and a few methods. ``options`` holds the validated config.
Components that need torch import it inside their methods.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
