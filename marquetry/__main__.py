"""`python -m marquetry` is the command line."""

from __future__ import annotations

from marquetry.server.command_line import main

if __name__ == "__main__":
    main()
