from .adapters import (
    remove_adapter as remove_adapter,
    save_adapter as save_adapter,
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
