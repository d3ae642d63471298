"""`python -m neurdicom`."""

from neurdicom.cli import main

if __name__ == "__main__":
    main()
