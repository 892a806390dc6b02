"""A router: a learned softmax over the experts, of which every token takes all."""

from selfmoe.contracts import hookimpl
from selfmoe.kits.routers import SoftmaxConfig, SoftmaxRouter

SELFMOE_API = 1


class Soft(SoftmaxRouter):
    """Every token takes all experts, each by its probability."""

    name = "soft"
    Config = SoftmaxConfig

    def trains_all(self):
        return True

    def softmax_gate(self, options, tensors):
        from selfmoe.kits.routers import SoftmaxGate

        class Gate(SoftmaxGate):
            def keep(self, probabilities):
                return probabilities

        return Gate(options, tensors)


@hookimpl
def register_routers():
    return [Soft]
