"""Entry point of `python -m neurdicom`."""

from neurdicom.cli.main import main

if __name__ == "__main__":
    main()
