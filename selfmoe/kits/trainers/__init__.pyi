from .parts import (
    ASIDE as ASIDE,
)
from .parts import (
    IDLE as IDLE,
)
from .parts import (
    NO_PRODUCT as NO_PRODUCT,
)
from .parts import (
    OUTSIDE as OUTSIDE,
)
from .parts import (
    Coverage as Coverage,
)
from .parts import (
    checkpointing as checkpointing,
)
from .parts import (
    coverage_of as coverage_of,
)
from .parts import (
    linears as linears,
)
