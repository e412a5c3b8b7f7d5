"""The command line: one file a verb.

A verb's module has `EXAMPLE` (shell lines for its --help), `configure(parser)` which adds its arguments, and
`run(args)` which prints results to stdout and returns an exit code or None. It raises EdgertError for what it expects.
`main.py` lists the verbs and imports only the one that was chosen.
"""
