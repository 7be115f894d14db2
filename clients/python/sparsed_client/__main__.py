"""`python -m sparsed_client` is the command `sparsed-client`."""

import sys

from ._cli import main

sys.exit(main())
