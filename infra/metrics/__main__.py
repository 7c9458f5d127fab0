"""Write docs/metrics.md: `python -m infra.metrics`."""

from pathlib import Path

from infra.metrics.catalogue import page

(Path(__file__).parents[2] / "docs/metrics.md").write_text(page())
