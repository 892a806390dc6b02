from .adapters import (
    Factors as Factors,
    by_site as by_site,
    factors_of as factors_of,
    write_factors as write_factors,
)
from .attaching import (
    RoutedDelta as RoutedDelta,
    attach as attach,
)
from .batches import (
    ResponseLoss as ResponseLoss,
    collate as collate,
    encode_all as encode_all,
    padding as padding,
)
from .extending import (
    check_extends as check_extends,
    joined as joined,
    newcomers as newcomers,
)
from .gates import (
    at_unit_mean_square as at_unit_mean_square,
    keep_largest as keep_largest,
    prompt_mean as prompt_mean,
    unit_logits as unit_logits,
    unit_scale as unit_scale,
    weigh_kept as weigh_kept,
)
from .labelled import (
    count_ignored as count_ignored,
    own_examples as own_examples,
)
from .learned import (
    LearnedRouter as LearnedRouter,
)
from .learning import (
    learn as learn,
)
from .models import (
    final_width as final_width,
    find_decoder as find_decoder,
    own_states as own_states,
    text_config as text_config,
)
from .penalties import (
    RoutingPenalty as RoutingPenalty,
)
from .softmax import (
    SoftmaxConfig as SoftmaxConfig,
    SoftmaxRouter as SoftmaxRouter,
    TopKConfig as TopKConfig,
)
from .softmax_gate import (
    SoftmaxGate as SoftmaxGate,
    TopKGate as TopKGate,
)
from .statistics import (
    batches_by_expert as batches_by_expert,
    solve_ridge as solve_ridge,
    watched as watched,
)
from .untrained import (
    UntrainedRouter as UntrainedRouter,
)
from .weighing import (
    Weight as Weight,
    WeightConfig as WeightConfig,
)
