"""A router of its own: as many experts a token as are more probable than by chance."""

from selfmoe.contracts import hookimpl
from selfmoe.kits.routers import SoftmaxConfig, SoftmaxRouter

SELFMOE_API = 1


class AboveChance(SoftmaxRouter):
    """Every token takes the experts that are at least as probable as by chance."""

    name = "above-chance"
    Config = SoftmaxConfig

    def trains_all(self):
        return True

    def softmax_gate(self, options, tensors):
        from selfmoe.kits.routers import SoftmaxGate

        class Gate(SoftmaxGate):
            def keep(self, probabilities):
                return probabilities * (probabilities >= 1 / self.n_experts)

        return Gate(options, tensors)


@hookimpl
def register_routers():
    return [AboveChance]
