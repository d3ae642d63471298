"""The verbs of the server, free of any framework."""
