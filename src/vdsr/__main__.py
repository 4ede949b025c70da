"""`python -m vdsr` is the command `vdsr`."""

from vdsr.cli.main import main

if __name__ == "__main__":
    main()
