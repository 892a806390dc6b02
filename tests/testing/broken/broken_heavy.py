"""A domain whose module imports torch."""

import torch

from selfmoe.testing import ToyDomain


class Heavy(ToyDomain):
    """Needs torch to say what it is."""

    fails = "test_entry_point_module_is_light"
    dtype = torch.float32
