"""Run the command line: `python -m rollway.cli`."""

from rollway.cli import main

if __name__ == "__main__":
    main()
