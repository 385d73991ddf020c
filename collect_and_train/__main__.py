"""The command line, as `python -m collect_and_train`."""

from cli.main import main

if __name__ == "__main__":
    main()
