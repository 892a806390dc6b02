from .extending import (
    check_extends as check_extends,
)
from .extending import (
    grown as grown,
)
from .extending import (
    newcomers as newcomers,
)
from .gates import (
    LinearGate as LinearGate,
)
from .gates import (
    at_unit_mean_square as at_unit_mean_square,
)
from .gates import (
    keep_largest as keep_largest,
)
from .gates import (
    unit_logits as unit_logits,
)
from .labelled import ignored as ignored
from .labelled import own_examples as own_examples
from .learned import LearnedRouter as LearnedRouter
from .learning import learn as learn
from .learning import told as told
from .parts import (
    Factors as Factors,
)
from .parts import (
    RoutedDelta as RoutedDelta,
)
from .parts import (
    attach as attach,
)
from .parts import (
    by_site as by_site,
)
from .parts import (
    checkpointing as checkpointing,
)
from .parts import (
    collate as collate,
)
from .parts import (
    encode_all as encode_all,
)
from .parts import (
    factors_of as factors_of,
)
from .parts import (
    final_width as final_width,
)
from .parts import (
    find_decoder as find_decoder,
)
from .parts import (
    own_states as own_states,
)
from .parts import (
    padding as padding,
)
from .parts import (
    references as references,
)
from .parts import (
    text_config as text_config,
)
from .parts import (
    write_factors as write_factors,
)
from .penalties import RoutingPenalty as RoutingPenalty
from .softmax import SoftmaxConfig as SoftmaxConfig
from .softmax import SoftmaxRouter as SoftmaxRouter
from .softmax_gate import SoftmaxGate as SoftmaxGate
