"""``python -m valkeyctl``."""

from valkeyctl.cli.main import main

if __name__ == "__main__":
    main()
