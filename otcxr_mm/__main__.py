"""`python -m otcxr_mm`: the command `otcxr`, as torchrun starts it."""

from .cli import main

if __name__ == "__main__":
    main()
