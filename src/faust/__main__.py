"""``python -m faust``."""

from faust.cli.main import main

if __name__ == "__main__":
    main()
