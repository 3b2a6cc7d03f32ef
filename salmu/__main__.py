"""`python -m salmu`: the command line."""

from salmu.flows.command_line.cli import main

if __name__ == "__main__":
    main()
