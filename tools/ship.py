"""Write the weight average of a run as the model that ships: python tools/ship.py runs/default [OUT.safetensors]."""

import json
import sys
from pathlib import Path

from stale_diffusion.model.files import SHIPPED
from stale_diffusion.model.weights import read_model, write_model
from stale_diffusion.version import VERSION


def main() -> None:
    run = Path(sys.argv[1])
    default = Path(__file__).parent.parent / "src/stale_diffusion" / SHIPPED
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else default
    model, _ = read_model(run)
    state = json.loads((max(run.glob("step-*[0-9]")) / "state.json").read_text())
    for table, key in (("train", "start"), ("data", "clips")):  # whose disk it lay on is nobody's business
        path = state["config"][table][key]
        state["config"][table][key] = Path(path).name if path else ""
    about = {
        "program": VERSION,
        "step": str(state["step"]),
        "config": json.dumps(state["config"]),
        "licence": "Apache-2.0",
    }
    write_model(model.state_dict(), model.shape.to_json(), out, about)
    print(out, out.stat().st_size)


if __name__ == "__main__":
    main()
