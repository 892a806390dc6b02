from .base import Base as Base
from .benchmark import Benchmark as Benchmark
from .component import Component as Component
from .component import ComponentConfig as ComponentConfig
from .composer import (
    ComposeContext as ComposeContext,
)
from .composer import (
    Composer as Composer,
)
from .composer import (
    Gate as Gate,
)
from .composer import (
    Merge as Merge,
)
from .composer import (
    Need as Need,
)
from .composer import (
    Router as Router,
)
from .composer import (
    Site as Site,
)
from .composer import (
    TokenInfo as TokenInfo,
)
from .composer import (
    check_k as check_k,
)
from .deltas import read_deltas as read_deltas
from .domain import Domain as Domain
from .errors import (
    CompositionError as CompositionError,
)
from .errors import (
    ConfigError as ConfigError,
)
from .errors import (
    DataError as DataError,
)
from .errors import (
    MissingDataError as MissingDataError,
)
from .errors import (
    NotSupportedError as NotSupportedError,
)
from .errors import (
    PluginError as PluginError,
)
from .errors import (
    RunError as RunError,
)
from .errors import (
    SelfmoeError as SelfmoeError,
)
from .errors import (
    StageError as StageError,
)
from .errors import (
    UnknownNameError as UnknownNameError,
)
from .errors import (
    counted as counted,
)
from .errors import (
    did_you_mean as did_you_mean,
)
from .errors import (
    unknown_name as unknown_name,
)
from .fitting import (
    IGNORE as IGNORE,
)
from .fitting import (
    Batch as Batch,
)
from .fitting import (
    FitConfig as FitConfig,
)
from .fitting import (
    FitReport as FitReport,
)
from .fitting import (
    Fitting as Fitting,
)
from .fitting import (
    Penalty as Penalty,
)
from .fitting import (
    Progress as Progress,
)
from .hookspecs import API as API
from .hookspecs import hookimpl as hookimpl
from .lines import plain_lines as plain_lines
from .paths import expand as expand
from .prompts import Prompts as Prompts
from .prompts import alpaca as alpaca
from .randomness import (
    derive as derive,
)
from .randomness import (
    permutation as permutation,
)
from .randomness import (
    rng_for as rng_for,
)
from .records import (
    Composition as Composition,
)
from .records import (
    Example as Example,
)
from .records import (
    Expert as Expert,
)
from .records import (
    ExpertRef as ExpertRef,
)
from .records import (
    Instruction as Instruction,
)
from .records import (
    LoadedBase as LoadedBase,
)
from .records import (
    PassageRef as PassageRef,
)
from .records import (
    Rejected as Rejected,
)
from .records import (
    Score as Score,
)
from .records import (
    ScoredSplit as ScoredSplit,
)
from .records import (
    Seed as Seed,
)
from .records import (
    Source as Source,
)
from .records import (
    System as System,
)
from .records import (
    Track as Track,
)
from .text import (
    holds as holds,
)
from .text import (
    normalise as normalise,
)
from .text import (
    trimmed as trimmed,
)
from .trainer import TrainContext as TrainContext
from .trainer import Trainer as Trainer
from .words import size as size
from .words import terms as terms
