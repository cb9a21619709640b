"""The verbs of the command line, one file a group; each imports what is heavy inside its functions."""
