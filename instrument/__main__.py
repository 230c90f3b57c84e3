"""``python -m instrument``: the same as the command ``instrument``."""

from instrument.cli.main import main

if __name__ == "__main__":
    main()
