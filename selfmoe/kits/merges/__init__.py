"""What merges are built from: merging the experts' weight deltas, layer by layer."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
