"""Run the command line: `python -m routers.cli`."""

from routers.cli import main

if __name__ == "__main__":
    main()
