"""The command line: a module for each group of commands.

Owns options, output and exit statuses. May import everything; a command's module is imported when the command is
called, and modules that import the whole server when it runs.
"""
