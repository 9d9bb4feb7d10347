"""The verbs of the command line: a module for each kind of work, whose `VERBS` the command line lists."""
