from .api.claims.claims import claims as claims
from .api.continual.continual import continual as continual
from .api.evaluation.evaluate import evaluate as evaluate
from .api.export import export as export
from .api.growth import add_expert as add_expert
from .api.growth import remove_expert as remove_expert
from .api.load import load as load
from .api.load import prompt_ids as prompt_ids
from .api.merge import merge as merge
from .api.run import run as run
from .config.model import RunConfig as RunConfig
from .contracts.errors import SelfmoeError as SelfmoeError
from .contracts.hookspecs import hookimpl as hookimpl
from .evaluation.sandbox import run_sandboxed as run_sandboxed
from .mixture.compose import compose as compose
from .mixture.loading import load_mixture as load_mixture
from .mixture.saving import save_mixture as save_mixture
from .reporting.logs.comparing import compare_logs as compare_logs

__version__: str
