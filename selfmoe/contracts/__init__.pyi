from .backend import (
    Asked as Asked,
    Backend as Backend,
    Manner as Manner,
    Writer as Writer,
    Written as Written,
)
from .base import (
    Base as Base,
)
from .benchmark import (
    Benchmark as Benchmark,
)
from .component import (
    Component as Component,
    ComponentConfig as ComponentConfig,
)
from .composer import (
    ComposeContext as ComposeContext,
    Composer as Composer,
    Gate as Gate,
    Merge as Merge,
    Need as Need,
    Router as Router,
    Site as Site,
    TokenInfo as TokenInfo,
    TwoLevelGate as TwoLevelGate,
)
from .deltas import (
    read_deltas as read_deltas,
)
from .domain import (
    Domain as Domain,
)
from .errors import (
    CompositionError as CompositionError,
    ConfigError as ConfigError,
    DataError as DataError,
    MissingDataError as MissingDataError,
    NotSupportedError as NotSupportedError,
    PluginError as PluginError,
    RunError as RunError,
    SelfmoeError as SelfmoeError,
    StageError as StageError,
    UnknownNameError as UnknownNameError,
    counted as counted,
    did_you_mean as did_you_mean,
    unknown_name as unknown_name,
)
from .executor import (
    Ended as Ended,
    Executor as Executor,
    Unit as Unit,
    Workers as Workers,
)
from .fitting import (
    IGNORE as IGNORE,
    Batch as Batch,
    FitConfig as FitConfig,
    FitOne as FitOne,
    FitReport as FitReport,
    Fitting as Fitting,
    LossOfEach as LossOfEach,
    Penalty as Penalty,
    Progress as Progress,
)
from .formula import (
    Constant as Constant,
    Drawn as Drawn,
    Formula as Formula,
    Formulated as Formulated,
    Scored as Scored,
)
from .hookspecs import (
    API as API,
    hookimpl as hookimpl,
)
from .lines import (
    plain_lines as plain_lines,
)
from .paths import (
    expand as expand,
)
from .prompts import (
    Prompts as Prompts,
)
from .randomness import (
    derive as derive,
    rng_for as rng_for,
)
from .records import (
    Composition as Composition,
    Example as Example,
    Expert as Expert,
    ExpertRef as ExpertRef,
    Instruction as Instruction,
    LoadedBase as LoadedBase,
    PassageRef as PassageRef,
    Rejected as Rejected,
    ScoredSplit as ScoredSplit,
    Seed as Seed,
    Source as Source,
    Template as Template,
    Track as Track,
)
from .text import (
    holds as holds,
    normalise as normalise,
    trimmed as trimmed,
)
from .trainer import (
    Teacher as Teacher,
    TrainContext as TrainContext,
    Trainer as Trainer,
)
