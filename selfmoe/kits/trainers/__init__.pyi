from .adapters import (
    go_on as go_on,
    remove_adapter as remove_adapter,
    save_adapter as save_adapter,
)
from .answers import (
    answers_of as answers_of,
    written as written,
)
from .coverage import (
    ASIDE as ASIDE,
    IDLE as IDLE,
    NO_PRODUCT as NO_PRODUCT,
    OUTSIDE as OUTSIDE,
    Coverage as Coverage,
    coverage_of as coverage_of,
    linears as linears,
)
from .divergences import (
    Direction as Direction,
    Divergence as Divergence,
)
from .ends import (
    Ends as Ends,
    ends_among as ends_among,
)
from .lora import (
    Objective as Objective,
    new_adapter as new_adapter,
    train_lora as train_lora,
    without_training as without_training,
)
from .options import (
    LoraOptions as LoraOptions,
)
from .packing import (
    train_loras as train_loras,
    why_alone as why_alone,
)
from .reading import (
    Responses as Responses,
)
from .targets import (
    chosen as chosen,
)
from .teaching import (
    Demonstrating as Demonstrating,
    KeptStates as KeptStates,
)
