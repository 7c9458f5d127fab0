"""Write the schemas of the newest event versions."""

import json
from pathlib import Path

from events.schemas import generated

for (kind, version), schema in generated().items():
    path = Path(__file__).parent / f"{kind}.v{version}.json"
    path.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n")
    print(path.name)
