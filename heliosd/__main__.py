"""`python -m heliosd`: the same as the `heliosd` command."""

from heliosd.cli.main import main

if __name__ == "__main__":
    main()
