"""Serving: the systems of a run behind OpenAI's protocol, in a terminal, on a page, for lm-eval.

`systems` puts every system on one base; `engine` lets those that are asked take turns, row by row;
`worker` runs it beside an event loop; `app` speaks the protocol.
"""
