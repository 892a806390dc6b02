from .algebra import (
    algebra_version as algebra_version,
    equivalent_math as equivalent_math,
)
from .answers import (
    GROUPED as GROUPED,
    any_math as any_math,
    boxed as boxed,
    digits_of as digits_of,
    final_math as final_math,
    final_number as final_number,
    letter as letter,
    marked_number as marked_number,
    plain_notation as plain_notation,
    rational as rational,
    same_math as same_math,
    short as short,
    stated as stated,
)
from .code import (
    bound_names as bound_names,
    code_pieces as code_pieces,
    defines as defines,
    imported as imported,
    parse_code as parse_code,
    passes as passes,
    python_in as python_in,
)
from .datafiles import (
    csv_rows as csv_rows,
    hub_rows as hub_rows,
    json_file as json_file,
    jsonl_rows as jsonl_rows,
    locate as locate,
    read_jsonl as read_jsonl,
    read_text as read_text,
    tidy as tidy,
)
from .fact_families import (
    facts as facts,
    lookup as lookup,
    member as member,
    multiple_choice as multiple_choice,
    outsider as outsider,
)
from .isolation import (
    Verdict as Verdict,
    best_tier as best_tier,
    run_many as run_many,
)
from .mini_track import (
    MiniBenchmark as MiniBenchmark,
    MiniDomain as MiniDomain,
)
from .procedural import (
    SPLITS as SPLITS,
    STYLES as STYLES,
    Family as Family,
    Item as Item,
    Level as Level,
    Problem as Problem,
    Split as Split,
    Style as Style,
    draw as draw,
    gold_response as gold_response,
    sample as sample,
    wording as wording,
)
from .protocols import (
    item_keys as item_keys,
    stock_file as stock_file,
    stock_settings as stock_settings,
)
from .tables import (
    csv_table as csv_table,
)
from .upstream import (
    UpstreamBenchmark as UpstreamBenchmark,
)
