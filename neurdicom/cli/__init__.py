"""The command line: a module for each group of commands.

It owns options, what is printed, and exit statuses. It may import everything; a command's module is imported when the
command is asked for, and what brings the whole server when the command runs.
"""
