"""`python -m omnicost` is the command line."""

from omnicost.cli import main

if __name__ == "__main__":
    main()
