"""The command line: arguments, and one function a command."""
