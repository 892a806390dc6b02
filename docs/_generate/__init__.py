"""What makes the generated parts of the documentation, one module a subject.

blocks       which block of which file is made by what      (start here)
results      tables from the committed results of the demo
speed        tables and a figure from the committed measurements of speed
commands     the command line, from click
settings     the settings and every component's options, from pydantic
plugins      the installed components
hooks        every hook, with an example that works
failures     the error catalogue, with messages of errors that are really raised
benchmarks   every benchmark: facts, prompt, data format, from its class and the sample data
quotes       code of the examples, as the pages quote it
tour         the reading order of the code
markdown     tables and code blocks
site         what Sphinx needs besides: equations without scripts, line counts
"""
