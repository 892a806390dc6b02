"""The claims of the paper (Self-MoE, arXiv 2406.12034) and what its review would check next.

Numbers are the paper's averages over its four targets, as shares; of Figures 3 and 5 it prints bars
only. ``COMPARABLE`` is the margin of claims that one thing is as good as another.
"""

from __future__ import annotations

from selfmoe.api.claims.claim import Claim, Side, answers, routed

COMPARABLE = -0.02
"""What may be lost where the paper says that two things are about the same: two points."""

LISTS = ("list-0", "list-1", "list-2")
"""Variants that show other solved examples."""

_MIXTURE, _BASE, _INSTANCE = answers("mixture"), answers("base"), answers("instance")

TABLE_1 = (
    Claim(
        "specialists-at-home", "Table 1", "A specialist beats the base in its own domain.",
        Side("home"), _BASE, (0.52850, 0.47775),
    ),
    Claim(
        "specialists-away", "Table 1", "Specialists lose to the base in the domains of others.",
        _BASE, Side("away"), (0.47775, 0.46217),
    ),
    Claim(
        "mixture-over-base", "Table 1", "MiXSE beats the base.",
        _MIXTURE, _BASE, (0.543, 0.478),
    ),
    Claim(
        "mixture-over-instance", "Table 1", "MiXSE beats one adapter trained on all data.",
        _MIXTURE, _INSTANCE, (0.543, 0.524),
    ),
    Claim(
        "mixture-over-ties", "Table 1", "MiXSE beats merging by TIES.",
        _MIXTURE, answers("ties"), (0.543, 0.479),
    ),
    Claim(
        "mixture-over-dare", "Table 1", "MiXSE beats merging by DARE.",
        _MIXTURE, answers("dare"), (0.543, 0.443),
    ),
    Claim(
        "synergy", "Table 1", "MiXSE beats the best single expert of each benchmark.",
        _MIXTURE, Side("best"), (0.543, 0.52850),
    ),
)  # fmt: skip

TABLE_2 = (
    Claim(
        "one-as-two", "Table 2", "One expert a token does about as well as two.",
        _MIXTURE, answers("two-a-token"), (0.543, 0.543), COMPARABLE,
    ),
    Claim(
        "one-over-all", "Table 2", "One expert a token does better than all at once.",
        _MIXTURE, answers("all-a-token"), (0.543, 0.530),
    ),
    Claim(
        "learned-over-random", "Table 2", "A learned router beats random routing.",
        _MIXTURE, answers("random"), (0.543, 0.508),
    ),
    Claim(
        "experts-over-joint", "Table 2", "Semantic experts beat experts trained with the router.",
        _MIXTURE, answers("joint"), (0.543, 0.505),
    ),
)  # fmt: skip

TABLE_3 = (
    Claim(
        "others-over-base", "Table 3", "MiXSE keeps the base's skill on non-target benchmarks.",
        _MIXTURE, _BASE, (0.506, 0.504), COMPARABLE, "non-targets",
    ),
    Claim(
        "others-over-instance", "Table 3", "On these MiXSE beats one adapter trained on all data.",
        _MIXTURE, _INSTANCE, (0.506, 0.477), on="non-targets",
    ),
    Claim(
        "lacking-as-base", "Table 3", "Without its expert, a domain keeps the base's skill.",
        answers("but-the-last"), _BASE, margin=COMPARABLE, on="lacking",
    ),
)  # fmt: skip

TABLE_4 = (
    Claim(
        "second-expert", "Table 4", "A second expert makes a mixture better.",
        answers("first-2"), answers("first-1"), (0.498, 0.436),
    ),
    Claim(
        "third-expert", "Table 4", "A third expert makes a mixture better.",
        answers("first-3"), answers("first-2"), (0.529, 0.498),
    ),
    Claim(
        "last-expert", "Table 4", "The last expert makes a mixture better.",
        _MIXTURE, answers("but-the-last"), (0.543, 0.529),
    ),
)  # fmt: skip

TABLE_8 = (
    Claim(
        "made-over-seeds", "Table 8", "MiXSE from self-made data beats MiXSE from the seeds alone.",
        _MIXTURE, answers("mixture", "seeds"), (0.543, 0.484),
    ),
)  # fmt: skip

FIGURE_3 = (
    Claim(
        "own-expert-most", "Figure 3", "A domain's own expert has more weight than any other.",
        routed("own"), routed("strongest"),
    ),
    Claim(
        "router-names-domain", "Figure 3", "The expert with the most weight names the domain.",
        routed("named"), Side("constant"),
    ),
)  # fmt: skip

FIGURE_5 = (
    Claim(
        "more-data", "Figure 5", "More self-made data makes MiXSE better.",
        _MIXTURE, answers("mixture", "quarter"),
    ),
    Claim(
        "little-data", "Figure 5", "With little data, too, MiXSE beats one adapter trained on all.",
        answers("mixture", "quarter"), answers("instance", "quarter"),
    ),
)  # fmt: skip

FIGURE_C3 = (
    Claim(
        "lists-over-base", "Figure C.3", "MiXSE beats the base, whatever examples are shown.",
        answers("mixture", *LISTS), answers("base", *LISTS), (0.536, 0.479), on="shown",
    ),
    Claim(
        "lists-over-instance", "Figure C.3", "So it does one adapter trained on all data.",
        answers("mixture", *LISTS), answers("instance", *LISTS), (0.536, 0.516), on="shown",
    ),
)  # fmt: skip

REVIEW = (
    Claim(
        "steady-routing", "Review", "Other words leave nine tasks of ten with their expert.",
        routed("steady"), Side("constant", value=0.9),
    ),
    Claim(
        "made-as-gold", "Review", "Self-made answers teach experts about as much as gold ones.",
        Side("home"), Side("home", variants=("gold",)), margin=COMPARABLE,
    ),
    Claim(
        "learned-as-told", "Review", "The router does about as well as being told the domain.",
        _MIXTURE, answers("oracle"), margin=COMPARABLE,
    ),
    Claim(
        "untouched-items", "Review", "MiXSE beats the base on items that its data never touches.",
        _MIXTURE, _BASE, on="untouched",
    ),
)  # fmt: skip

CLAIMS: tuple[Claim, ...] = (
    *TABLE_1, *TABLE_2, *TABLE_3, *TABLE_4, *TABLE_8, *FIGURE_3, *FIGURE_5, *FIGURE_C3, *REVIEW,
)  # fmt: skip
"""All claims, in the paper's order."""
