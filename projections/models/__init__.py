"""Read models of one's own: one file each, and a line in `REGISTERED`. docs/analysts.md tells how.

They are folded from position 0 of the log and then follow it, beside the product's own views, by `tidings models`.
"""

from __future__ import annotations

from projections.models.activity import Activity
from projections.models.port import ReadModel

REGISTERED: tuple[ReadModel, ...] = (Activity(),)
