"""The operator's command. It runs from this folder (`python3 infra/leads`) and packed as one file."""

import sys

if sys.version_info < (3, 9):
    sys.exit("leads needs Python 3.9 or newer; this is %d.%d" % sys.version_info[:2])

from leads.main import main

if __name__ == "__main__":
    sys.exit(main())
