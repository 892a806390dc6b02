"""Where experts can go: the linears of a base that they may change, and whether they fit there."""
