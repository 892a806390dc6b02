from .choice import (
    choice as choice,
)
from .choice import (
    facts as facts,
)
from .choice import (
    lookup as lookup,
)
from .choice import (
    member as member,
)
from .choice import (
    outsider as outsider,
)
from .datafiles import (
    csv_rows as csv_rows,
)
from .datafiles import (
    hub_rows as hub_rows,
)
from .datafiles import (
    json_file as json_file,
)
from .datafiles import (
    jsonl_rows as jsonl_rows,
)
from .datafiles import (
    locate as locate,
)
from .datafiles import (
    tidy as tidy,
)
from .mini import MiniBenchmark as MiniBenchmark
from .mini import MiniDomain as MiniDomain
from .procedural import (
    STYLES as STYLES,
)
from .procedural import (
    Family as Family,
)
from .procedural import (
    Item as Item,
)
from .procedural import (
    Problem as Problem,
)
from .procedural import (
    Style as Style,
)
from .procedural import (
    render as render,
)
from .procedural import (
    sample as sample,
)
from .procedural import (
    wording as wording,
)
from .scoring import (
    GROUPED as GROUPED,
)
from .scoring import (
    Verdict as Verdict,
)
from .scoring import (
    any_math as any_math,
)
from .scoring import (
    best_tier as best_tier,
)
from .scoring import (
    bound_names as bound_names,
)
from .scoring import (
    boxed as boxed,
)
from .scoring import (
    code_pieces as code_pieces,
)
from .scoring import (
    defines as defines,
)
from .scoring import (
    digits_of as digits_of,
)
from .scoring import (
    final_math as final_math,
)
from .scoring import (
    final_number as final_number,
)
from .scoring import (
    imported as imported,
)
from .scoring import (
    item_keys as item_keys,
)
from .scoring import (
    letter as letter,
)
from .scoring import (
    marked_number as marked_number,
)
from .scoring import (
    mathverify as mathverify,
)
from .scoring import (
    parse_code as parse_code,
)
from .scoring import (
    passes as passes,
)
from .scoring import (
    plain_notation as plain_notation,
)
from .scoring import (
    python_in as python_in,
)
from .scoring import (
    rational as rational,
)
from .scoring import (
    read_jsonl as read_jsonl,
)
from .scoring import (
    read_text as read_text,
)
from .scoring import (
    run_many as run_many,
)
from .scoring import (
    same_math as same_math,
)
from .scoring import (
    short as short,
)
from .scoring import (
    stated as stated,
)
from .scoring import (
    stock_file as stock_file,
)
from .scoring import (
    stock_settings as stock_settings,
)
from .tables import csv_table as csv_table
from .upstream import UpstreamBenchmark as UpstreamBenchmark
